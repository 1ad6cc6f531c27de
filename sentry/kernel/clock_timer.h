#pragma once

// A timer on CLOCK_MONOTONIC or on a processor-time clock: setitimer(2), timer_create(2), RLIMIT_CPU.

#include <functional>

#include "absl/functional/any_invocable.h"
#include "base/event_loop.h"

namespace kernel {

class ClockTimer {
 public:
  // Null: CLOCK_MONOTONIC. Else a clock that runs at most as fast as all processors together.
  using Clock = std::function<int64_t()>;
  ClockTimer(Clock clock, absl::AnyInvocable<void()> callback);

  int64_t Now() const { return clock_ ? clock_() : base::MonotonicNow(); }
  void Arm(int64_t deadline_ns);  // on its clock
  void Cancel() {
    armed_ = false;
    timer_.Cancel();
  }
  bool armed() const { return armed_; }
  int64_t deadline() const { return deadline_; }
  // At least 1 while armed, else 0.
  int64_t Left() const { return armed_ ? std::max<int64_t>(deadline_ - Now(), 1) : 0; }

 private:
  void Check();

  const Clock clock_;
  absl::AnyInvocable<void()> callback_;
  base::Timer timer_;
  bool armed_ = false;
  int64_t deadline_ = 0;
};

}  // namespace kernel
