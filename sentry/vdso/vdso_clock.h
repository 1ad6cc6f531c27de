#pragma once

// Keeps the vDSO's idea of time together with the Sentry's (base::MonotonicNow, base::RealtimeNow),
// so that applications read clocks without a system call.
//
// The vDSO computes a line: monotonic = base + (tsc - base_tsc) * factor. Refresh compares it with
// the Sentry's clock about once a second: a line that is behind is moved up, one that is ahead is
// made flatter until the two meet, so that CLOCK_MONOTONIC never goes back. The factor is measured
// over a baseline of seconds. A line is only used for a little longer than a refresh takes to be
// due, then the vDSO makes the system call: an idle Sentry needs no timer, and no error grows with
// time. Both ends read the same counter, so the difference stays at some ten nanoseconds.
//
// Under the kernel lock.

#include <cstdint>
#include <span>

#include "sentry/vdso/params.h"

namespace vdso {

// The ELF image, a whole number of pages, to be mapped read-only and executable directly behind the
// parameter page.
std::span<const uint8_t> Image();

inline constexpr uint64_t kParamsSize = 4096;

class VdsoClock {
 public:
  // `page` is 4096 bytes of memory that applications see read-only; it outlives the clock.
  explicit VdsoClock(void* page);
  VdsoClock(const VdsoClock&) = delete;
  VdsoClock& operator=(const VdsoClock&) = delete;
  ~VdsoClock();

  // To be called with base::MonotonicNow() where the Sentry is entered, at the least by the system
  // calls that the vDSO falls back to.
  void Refresh(int64_t now) {
    if (now >= next_refresh_) [[unlikely]]
      RefreshNow();
  }

  // Starts over, with applications making system calls until calibrated: when the Sentry's clocks
  // were changed (restore).
  void Reset();

  // getcpu answers with host CPU numbers below `count` (0, the start: always by system call).
  void SetNativeCpus(uint32_t count) { params_->native_cpus = count; }

  bool ready() const { return params_->ready != 0; }

  // Whether CPUID promises that the TSC runs at one rate, always. The clock has doubts of its own
  // too.
  static bool TscUsable();

 private:
  struct Sample {
    uint64_t tsc;
    int64_t monotonic;
    uint64_t width;  // ticks that reading the clock took
  };
  static Sample TakeSample();

  void RefreshNow();
  int64_t LineAt(uint64_t tsc) const;
  // Nanoseconds per tick between two samples, in Params::factor's format.
  static uint64_t Factor(const Sample& from, const Sample& to);
  void UpdateOffsets();
  void Publish(const Sample& now, uint64_t factor, int64_t valid_for);
  void Withdraw();

  Params* params_;
  bool usable_;
  int resets_ = 0;
  int64_t next_refresh_ = 0;
  Sample anchor_ = {};       // the factor is measured from here
  Sample next_anchor_ = {};  // becomes anchor_ when it is old enough; monotonic 0: none
  Sample last_ = {};
  int64_t realtime_offset_ = 0;
  int64_t boottime_offset_ = 0;
};

}  // namespace vdso
