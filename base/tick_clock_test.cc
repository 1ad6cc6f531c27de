#include "base/tick_clock.h"

#include <algorithm>
#include <cstdlib>

#include "base/event_loop.h"
#include "gtest/gtest.h"

namespace base {
namespace {

TEST(TickClock, KeepsUpWithTheMonotonicClock) {
  // Until it must have been calibrated.
  const int64_t start = MonotonicNow();
  for (int64_t last = TickNow(); MonotonicNow() - start < 30'000'000;) {
    const int64_t now = TickNow();
    EXPECT_GT(now, last - 1'000);
    last = now;
  }
  int64_t nearest = INT64_MAX;
  for (int i = 0; i < 1000; i++) {
    nearest = std::min<int64_t>(nearest, std::abs(TickNow() - MonotonicNow()));
  }
  EXPECT_LT(nearest, 20'000);
}

}  // namespace
}  // namespace base
