#include "platform/systrap/cpuid_table.h"

#include <cpuid.h>

#include <atomic>
#include <cstring>

namespace platform::systrap {

namespace {

// Leaves whose answer does not depend on ecx. Those that are unknown count as if it did.
bool IgnoresSubleaf(uint32_t leaf) {
  return leaf <= 3 || leaf == 5 || leaf == 6 || leaf == 9 || leaf == 10 || leaf == 0x15 || leaf == 0x16 ||
         (leaf >= 0x80000000 && leaf <= 0x80000008);
}

}  // namespace

void CpuidTable::Execute(Registers& registers) {
  Entry entry = {};
  entry.leaf = static_cast<uint32_t>(registers.rax);
  entry.subleaf = static_cast<uint32_t>(registers.rcx);
  entry.kind = IgnoresSubleaf(entry.leaf) ? STUB_CPUID_ANY : STUB_CPUID_EXACT;
  __cpuid_count(entry.leaf, entry.subleaf, entry.eax, entry.ebx, entry.ecx, entry.edx);
  registers.rax = entry.eax;
  registers.rbx = entry.ebx;
  registers.rcx = entry.ecx;
  registers.rdx = entry.edx;
  if (page_ == nullptr || count_ == kMaxEntries) return;
  char* slot = page_ + count_++ * sizeof(Entry);
  memcpy(slot + sizeof entry.kind, &entry.leaf, sizeof entry - sizeof entry.kind);
  std::atomic_ref<uint32_t>(*reinterpret_cast<uint32_t*>(slot)).store(entry.kind, std::memory_order_release);
}

}  // namespace platform::systrap
