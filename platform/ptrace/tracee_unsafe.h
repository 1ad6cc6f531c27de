#pragma once

// ptrace(2) requests to one stopped thread, as Results. Only the tracer thread may make them. Each
// fails with ESRCH when the thread was killed in the meantime; its exit status then is on its way.

#include <signal.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/user.h>

#include <cstdint>
#include <span>

#include "base/result.h"

namespace platform::ptrace {

Result<void> Seize(pid_t tid);
Result<void> RequestStop(pid_t tid);  // PTRACE_INTERRUPT
Result<void> Detach(pid_t tid);
Result<void> GetRegisters(pid_t tid, user_regs_struct* registers);
Result<void> SetRegisters(pid_t tid, const user_regs_struct& registers);
Result<void> SetResultRegister(pid_t tid, uint64_t rax);
// NT_X86_XSTATE; returns how many bytes the host gave.
Result<size_t> GetXstate(pid_t tid, std::span<uint8_t> state);
Result<void> SetXstate(pid_t tid, std::span<const uint8_t> state);
Result<void> GetSignalInfo(pid_t tid, siginfo_t* info);
Result<void> GetSyscallInfo(pid_t tid, __ptrace_syscall_info* info);
Result<uint64_t> PeekWord(pid_t tid, uint64_t address);
Result<uint64_t> EventMessage(pid_t tid);
// Runs until a signal or an event / the same, stopping before each system call, which is not made.
Result<void> Continue(pid_t tid);
Result<void> ContinueEmulated(pid_t tid);

}  // namespace platform::ptrace
