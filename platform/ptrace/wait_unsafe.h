#pragma once

// Waiting for tracees in a way that another thread can end without a race.

#include <sys/types.h>

#include <atomic>

#include "base/result.h"

namespace platform::ptrace {

// Like wait4(-1, status, __WALL | __WNOTHREAD), but returns EINTR when `*wake` is set: also when it
// is set, and the thread signalled with WakeSignal(), at any moment after the call began.
Result<pid_t> WaitForAny(std::atomic<int>& wake, int* status);

// Like the same without `wake`. ECHILD when the thread has no tracee.
Result<pid_t> WaitForAny(int* status);

int WakeSignal();
void InstallWakeHandler();

}  // namespace platform::ptrace
