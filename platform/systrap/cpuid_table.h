#pragma once

// What cpuid says, in a page that all stubs can read: in a virtual machine each cpuid is an exit to the hypervisor, 6 us, and
// the C library's start-up makes 70. The loader replaces them by an interrupt instruction of the same length that no program
// uses; its fault is answered by StubHandler from this table, and the first time by the Sentry, which adds to it.
//
// Under the kernel lock; the stubs read while the Sentry adds.

#include <array>
#include <cstddef>
#include <cstdint>

#include "platform/platform.h"
#include "platform/systrap/stub_layout.h"

namespace platform::systrap {

// int $0xa2: a general protection fault, as the gate of no vector but 3 and 4 is open to user mode.
inline constexpr std::array<uint8_t, 2> kCpuidReplacement = {0xcd, STUB_CPUID_VECTOR};
// Whether a SIGSEGV is that of such an instruction.
inline bool IsReplacedCpuid(uint64_t trap_number, uint64_t error_code) {
  return trap_number == STUB_CPUID_TRAP && error_code == STUB_CPUID_ERROR;
}

class CpuidTable {
 public:
  // `page`: STUB_CPUID_SIZE bytes that the stubs see at STUB_CPUID.
  void SetPage(char* page) { page_ = page; }
  // Does what the instruction does to the registers, and remembers it while there is room.
  void Execute(Registers& registers);

 private:
  struct Entry {
    uint32_t kind;  // STUB_CPUID_*
    uint32_t leaf, subleaf;
    uint32_t eax, ebx, ecx, edx;
    uint32_t unused;
  };
  static_assert(sizeof(Entry) == STUB_CPUID_ENTRY);
  // The last entry stays free: it ends the table.
  static constexpr size_t kMaxEntries = STUB_CPUID_SIZE / STUB_CPUID_ENTRY - 1;

  char* page_ = nullptr;
  size_t count_ = 0;
};

}  // namespace platform::systrap
