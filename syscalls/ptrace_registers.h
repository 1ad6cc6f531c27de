#pragma once

// The registers of a tracee as ptrace(2) gives and takes them: struct user, the classic requests and register sets.

#include <cstdint>
#include <vector>

#include "sentry/kernel/task.h"

namespace syscalls {

using kernel::Task;

// `target` is in a stop (Trace::accessible): its context has the registers.

// EIO: a value that no application could have, a 32-bit segment for one.
Result<void> SetGeneralRegisters(Task& target, const platform::Registers& wanted);
// One word at an offset of struct user. EIO. Debug registers read as zero and take nothing but zero.
Result<uint64_t> PeekUser(Task& target, uint64_t offset);
Result<void> PokeUser(Task& target, uint64_t offset, uint64_t value);
// struct user_fpregs_struct: the FXSAVE image.
std::vector<uint8_t> GetFpRegisters(Task& target);
Result<void> SetFpRegisters(Task& target, const std::vector<uint8_t>& image);
// PTRACE_GETREGSET and PTRACE_SETREGSET of set `type` through the iovec at `vector`. EINVAL: no such set.
Result<uint64_t> RegisterSet(Task& task, Task& target, uint64_t type, UserAddress vector, bool set);

}  // namespace syscalls
