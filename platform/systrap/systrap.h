#pragma once

// The default platform: application code runs in stub processes under seccomp filters that notify
// the Sentry of every system call. See README.md.

#include <memory>

#include "platform/platform.h"

namespace platform::systrap {

// ENOSYS: the host lacks what it needs (Linux 5.19 with seccomp notifications, a CPU with
// FSGSBASE); EBUSY: this process is itself under a seccomp notifier. The ptrace platform works on
// both.
// Call it while the process has one thread, on the thread that lives as long as the process: its
// end kills the stubs.
Result<std::unique_ptr<Platform>> Create(const Platform::Options& options);

}  // namespace platform::systrap
