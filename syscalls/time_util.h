#pragma once

// Conversions between the time structures of system calls and nanoseconds, and clocks.

#include <sys/time.h>
#include <time.h>

#include <functional>

#include "base/event_loop.h"
#include "base/fiber.h"
#include "base/result.h"
#include "sentry/kernel/task.h"

namespace syscalls {

inline constexpr int64_t kSecond = 1'000'000'000;

// EINVAL for negative or denormal values; saturates instead of overflowing.
Result<int64_t> ToNs(const timespec& ts);
Result<int64_t> ToNs(const timeval& tv);
inline timespec ToTimespec(int64_t ns) { return {ns / kSecond, ns % kSecond}; }
inline timeval ToTimeval(int64_t ns) { return {ns / kSecond, ns % kSecond / 1000}; }

// CLOCK_MONOTONIC deadline that lies `ts` from now; kNoDeadline where that is beyond time.
Result<int64_t> RelativeDeadline(const timespec& ts);
int64_t DeadlineIn(int64_t ns);

// The time of a clock as `task` sees it. EINVAL for a clock that does not exist.
// What a timer on `clock` counts by: null where that is real time. EINVAL.
Result<std::function<int64_t()>> CpuClock(Task& task, clockid_t clock);
Result<int64_t> ReadClock(kernel::Task& task, clockid_t clock);
// The CLOCK_MONOTONIC instant at which `clock` reaches `ns`.
Result<int64_t> MonotonicDeadline(kernel::Task& task, clockid_t clock, int64_t ns);

}  // namespace syscalls
