#pragma once

// The parameter page: what the Sentry tells the vDSO about time. Mapped read-only in the
// application directly before the image; the Sentry writes it through a mapping of its own.
// Included by the freestanding vDSO source.

#include <stdint.h>

namespace vdso {

// Nanoseconds per TSC tick are `factor` / 2^kFactorShift: for any TSC above 62.5 MHz the factor
// fits 64 bits, and one step of it is 1e-18.
inline constexpr int kFactorShift = 60;

struct Params {
  // Odd while the Sentry writes. Readers try again, and make the system call if that does not help
  // soon.
  uint32_t sequence;
  // 0: make the system call.
  uint32_t ready;
  // CLOCK_MONOTONIC was `monotonic` at `tsc`. The line holds for `max_delta` ticks; after that the
  // system call is made, which also brings the page up to date. So neither an error of the factor
  // nor a sleeping Sentry adds up.
  uint64_t tsc;
  uint64_t max_delta;
  uint64_t factor;
  int64_t monotonic;
  // What to add to CLOCK_MONOTONIC.
  int64_t realtime_offset;
  int64_t boottime_offset;
  // CPU numbers below it are told without a system call.
  uint32_t native_cpus;
  uint32_t reserved;
};
static_assert(sizeof(Params) <= 4096);

}  // namespace vdso
