#include "platform/ptrace/tracee_unsafe.h"

#include <elf.h>
#include <errno.h>
#include <sys/uio.h>

#include "base/host.h"

namespace platform::ptrace {

namespace {

constexpr long kOptions =
    PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK;

Result<void> Request(__ptrace_request request, pid_t tid, uint64_t address, uint64_t data) {
  TRY(HOST(::ptrace(request, tid, address, data)));
  return {};
}

uint64_t Address(const void* pointer) { return reinterpret_cast<uint64_t>(pointer); }

}  // namespace

Result<void> Seize(pid_t tid) { return Request(PTRACE_SEIZE, tid, 0, kOptions); }
Result<void> RequestStop(pid_t tid) { return Request(PTRACE_INTERRUPT, tid, 0, 0); }
Result<void> Detach(pid_t tid) { return Request(PTRACE_DETACH, tid, 0, 0); }

Result<void> GetRegisters(pid_t tid, user_regs_struct* registers) {
  return Request(PTRACE_GETREGS, tid, 0, Address(registers));
}
Result<void> SetRegisters(pid_t tid, const user_regs_struct& registers) {
  return Request(PTRACE_SETREGS, tid, 0, Address(&registers));
}
Result<void> SetResultRegister(pid_t tid, uint64_t rax) {
  return Request(PTRACE_POKEUSER, tid, offsetof(user_regs_struct, rax), rax);
}

Result<size_t> GetXstate(pid_t tid, std::span<uint8_t> state) {
  iovec vector = {state.data(), state.size()};
  TRY(Request(PTRACE_GETREGSET, tid, NT_X86_XSTATE, Address(&vector)));
  return vector.iov_len;
}
Result<void> SetXstate(pid_t tid, std::span<const uint8_t> state) {
  iovec vector = {const_cast<uint8_t*>(state.data()), state.size()};
  return Request(PTRACE_SETREGSET, tid, NT_X86_XSTATE, Address(&vector));
}

Result<void> GetSignalInfo(pid_t tid, siginfo_t* info) {
  return Request(PTRACE_GETSIGINFO, tid, 0, Address(info));
}
Result<void> GetSyscallInfo(pid_t tid, __ptrace_syscall_info* info) {
  return Request(PTRACE_GET_SYSCALL_INFO, tid, sizeof *info, Address(info));
}

Result<uint64_t> PeekWord(pid_t tid, uint64_t address) {
  errno = 0;
  long word = ::ptrace(PTRACE_PEEKDATA, tid, address, 0);
  if (word == -1 && errno != 0) return static_cast<Errno>(errno);
  return static_cast<uint64_t>(word);
}

Result<uint64_t> EventMessage(pid_t tid) {
  unsigned long message = 0;
  TRY(Request(PTRACE_GETEVENTMSG, tid, 0, Address(&message)));
  return message;
}

Result<void> Continue(pid_t tid) { return Request(PTRACE_CONT, tid, 0, 0); }
Result<void> ContinueEmulated(pid_t tid) { return Request(PTRACE_SYSEMU, tid, 0, 0); }

}  // namespace platform::ptrace
