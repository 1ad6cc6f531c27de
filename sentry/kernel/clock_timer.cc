#include "sentry/kernel/clock_timer.h"

#include <algorithm>

#include "sentry/kernel/kernel.h"

namespace kernel {

ClockTimer::ClockTimer(Clock clock, absl::AnyInvocable<void()> callback)
    : clock_(std::move(clock)), callback_(std::move(callback)), timer_([this] { Check(); }) {}

void ClockTimer::Arm(int64_t deadline_ns) {
  armed_ = true;
  deadline_ = deadline_ns;
  if (!clock_) {
    timer_.Arm(deadline_ns);
    return;
  }
  // No host timer runs on the Sentry's accounting: looks again when the time could have come if all processors worked for it.
  constexpr int64_t kFinest = 1'000'000;
  int64_t left = std::max(deadline_ns - clock_(), int64_t{0});
  int64_t wait = left == 0 ? 0 : std::max(left / Kernel::Get().cpu_count(), kFinest);
  int64_t now = base::MonotonicNow();
  timer_.Arm(wait > base::kNoDeadline - now ? base::kNoDeadline : now + wait);
}

void ClockTimer::Check() {
  if (clock_ && clock_() < deadline_) {
    Arm(deadline_);
    return;
  }
  armed_ = false;
  callback_();
}

}  // namespace kernel
