#pragma once

// For durations where a clock is read on every system call: from the processor's time stamp counter, at half of what
// clock_gettime costs.

#include <cstdint>

namespace base {

// Nanoseconds of CLOCK_MONOTONIC, from which it may drift by parts of ten thousand: not to be compared with times of
// other clocks. Without a steady counter it is CLOCK_MONOTONIC.
int64_t TickNow();

}  // namespace base
