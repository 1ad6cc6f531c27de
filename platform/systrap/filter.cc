#include "platform/systrap/filter.h"

#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>

#include <cstddef>
#include <span>

#include "platform/systrap/stub_layout.h"

namespace platform::systrap {

namespace {

constexpr uint32_t kNrOffset = offsetof(seccomp_data, nr);
constexpr uint32_t kArchOffset = offsetof(seccomp_data, arch);
constexpr uint32_t kIpLowOffset = offsetof(seccomp_data, instruction_pointer);
constexpr uint32_t kIpHighOffset = kIpLowOffset + 4;

sock_filter Load(uint32_t offset) { return BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset); }
sock_filter Return(uint32_t action) { return BPF_STMT(BPF_RET | BPF_K, action); }
// Skip `yes` or `no` instructions.
sock_filter IfEqual(uint32_t value, uint8_t yes, uint8_t no) {
  return BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, yes, no);
}
sock_filter IfAtLeast(uint32_t value, uint8_t yes, uint8_t no) {
  return BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, value, yes, no);
}
uint32_t Low(uint64_t value) { return static_cast<uint32_t>(value); }
uint32_t High(uint64_t value) { return static_cast<uint32_t>(value >> 32); }

// Binary search of sorted `numbers`, so that hot calls pass few instructions: trap or notify.
void EmitSearch(std::vector<sock_filter>& out, std::span<const uint32_t> numbers) {
  if (numbers.size() <= 3) {
    for (size_t i = 0; i < numbers.size(); i++)
      out.push_back(IfEqual(numbers[i], numbers.size() - i, 0));
    out.push_back(Return(SECCOMP_RET_USER_NOTIF));
    out.push_back(Return(SECCOMP_RET_TRAP));
    return;
  }
  const size_t middle = numbers.size() / 2;
  std::vector<sock_filter> low;
  EmitSearch(low, numbers.subspan(0, middle));
  // Conditional jumps reach only 255 instructions, `ja` everything.
  out.push_back(IfAtLeast(numbers[middle], 0, 1));
  out.push_back(BPF_STMT(BPF_JMP | BPF_JA | BPF_K, static_cast<uint32_t>(low.size())));
  out.insert(out.end(), low.begin(), low.end());
  EmitSearch(out, numbers.subspan(middle));
}

}  // namespace

std::vector<sock_filter> AppFilter(const SyscallSet& full_state) {
  std::vector<uint32_t> numbers;
  for (uint32_t nr = 0; nr < full_state.size(); nr++) {
    if (full_state[nr]) numbers.push_back(nr);
  }
  std::vector<sock_filter> filter = {
      Load(kArchOffset),
      IfEqual(AUDIT_ARCH_X86_64, 1, 0),
      Return(SECCOMP_RET_USER_NOTIF),
      Load(kIpHighOffset),
      IfEqual(High(STUB_CODE), 0, 12),
      Load(kIpLowOffset),
      IfEqual(Low(StubAddress(StubSigreturnSite)), 4, 0),
      IfEqual(Low(StubAddress(StubYieldSite)), 6, 0),
      IfEqual(Low(StubAddress(StubCloneSite)), 1, 0),
      IfEqual(Low(StubAddress(StubSigaltstackSite)), 0, 7),
      Return(SECCOMP_RET_USER_NOTIF),  // these two are approved one by one
      Load(kNrOffset),
      IfEqual(SYS_rt_sigreturn, 0, 4),
      Return(SECCOMP_RET_ALLOW),
      Load(kNrOffset),
      IfEqual(SYS_sched_yield, 0, 1),
      Return(SECCOMP_RET_ALLOW),
      Load(kNrOffset),
  };
  EmitSearch(filter, numbers);
  return filter;
}

std::vector<sock_filter> HelperDoorbellFilter() {
  return {Load(kNrOffset), IfEqual(STUB_DOORBELL, 0, 1), Return(SECCOMP_RET_USER_NOTIF),
          Return(SECCOMP_RET_ALLOW)};
}

std::vector<sock_filter> HelperFilter() {
  std::vector<sock_filter> filter = {
      Load(kArchOffset),
      IfEqual(AUDIT_ARCH_X86_64, 1, 0),
      Return(SECCOMP_RET_KILL_PROCESS),
      Load(kIpHighOffset),
      IfEqual(High(STUB_CODE), 1, 0),
      Return(SECCOMP_RET_KILL_PROCESS),
      Load(kIpLowOffset),
      IfAtLeast(Low(STUB_CODE), 1, 0),
      Return(SECCOMP_RET_KILL_PROCESS),
      IfAtLeast(Low(STUB_CODE + STUB_CODE_SIZE), 0, 1),
      Return(SECCOMP_RET_KILL_PROCESS),
      Load(kNrOffset),
  };
  for (uint32_t nr : {SYS_mmap, SYS_munmap, SYS_mprotect, STUB_DOORBELL}) {
    filter.push_back(IfEqual(nr, 0, 1));
    filter.push_back(Return(SECCOMP_RET_ALLOW));
  }
  filter.push_back(Return(SECCOMP_RET_KILL_PROCESS));
  return filter;
}

}  // namespace platform::systrap
