#pragma once

// A host process beyond the life of its pid: pid and start time, so that another process that got
// the same number later is never taken for it.

#include <sys/types.h>

#include <cstdint>

#include "sentry/boot/status.h"

namespace cli {

struct ProcessId {
  pid_t pid = 0;
  uint64_t start_time = 0;  // clock ticks since boot (proc(5), stat field 22)
};

// Who runs as `pid` now.
boot::StatusOr<ProcessId> Identify(pid_t pid);

// False for zombies too.
bool IsAlive(const ProcessId& process);

// Waits until the process ends by itself, at most `timeout_ms`; reaps it when it is a child. True
// when it is gone.
bool AwaitExit(const ProcessId& process, int timeout_ms);

// Sends SIGKILL and waits until the process is gone, at most some seconds; reaps it when it is a
// child. True when it is gone.
bool KillAndWait(const ProcessId& process);

}  // namespace cli
