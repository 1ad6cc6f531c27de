// timerfd_create(2)
#include <fcntl.h>
#include <poll.h>
#include <sys/timerfd.h>

#include "util/check.h"
#include "util/clock.h"
#include "util/fd.h"
#include "util/memory.h"

namespace conformance {
namespace {

itimerspec Spec(int64_t value_ms, int64_t interval_ms = 0) {
  return {{interval_ms / 1000, interval_ms % 1000 * 1'000'000},
          {value_ms / 1000, value_ms % 1000 * 1'000'000}};
}
uint64_t Take(int fd) {
  uint64_t value = 0;
  return read(fd, &value, 8) == 8 ? value : 0;
}

TEST(Timerfd, OneShotExpiresOnce) {
  Fd fd(timerfd_create(CLOCK_MONOTONIC, 0));
  itimerspec spec = Spec(50);
  int64_t start = NowMs();
  ASSERT_OK(timerfd_settime(fd, 0, &spec, nullptr));
  EXPECT_EQ(Take(fd), 1u);
  EXPECT_GE(NowMs() - start, 49);
  ASSERT_OK(timerfd_gettime(fd, &spec));
  EXPECT_EQ(ToNs(spec.it_value), 0);
}

TEST(Timerfd, PeriodicCountsMissedExpirations) {
  Fd fd(timerfd_create(CLOCK_MONOTONIC, 0));
  itimerspec spec = Spec(10, 10);
  ASSERT_OK(timerfd_settime(fd, 0, &spec, nullptr));
  SleepMs(105);
  EXPECT_GE(Take(fd), 10u);
}

TEST(Timerfd, AbsoluteTimeInThePastExpiresAtOnce) {
  for (clockid_t clock : {CLOCK_MONOTONIC, CLOCK_REALTIME, CLOCK_BOOTTIME}) {
    Fd fd(timerfd_create(clock, 0));
    itimerspec spec = {{0, 0}, {0, 1}};
    ASSERT_OK(timerfd_settime(fd, TFD_TIMER_ABSTIME, &spec, nullptr));
    EXPECT_EQ(Take(fd), 1u);
  }
}

TEST(Timerfd, AbsoluteTimeAhead) {
  Fd fd(timerfd_create(CLOCK_REALTIME, 0));
  int64_t at = NowNs(CLOCK_REALTIME) + 50'000'000, start = NowMs();
  itimerspec spec = {{0, 0}, {at / 1'000'000'000, at % 1'000'000'000}};
  ASSERT_OK(timerfd_settime(fd, TFD_TIMER_ABSTIME, &spec, nullptr));
  EXPECT_EQ(Take(fd), 1u);
  EXPECT_GE(NowMs() - start, 48);
}

TEST(Timerfd, GettimeShowsTheRestAndOldValue) {
  Fd fd(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK));
  itimerspec spec = Spec(10000, 500), now = {}, old = {};
  ASSERT_OK(timerfd_settime(fd, 0, &spec, nullptr));
  ASSERT_OK(timerfd_gettime(fd, &now));
  EXPECT_GT(ToNs(now.it_value), 9'000'000'000);
  EXPECT_LE(ToNs(now.it_value), 10'000'000'000);
  EXPECT_EQ(ToNs(now.it_interval), 500'000'000);
  spec = Spec(0);
  ASSERT_OK(timerfd_settime(fd, 0, &spec, &old));
  EXPECT_GT(ToNs(old.it_value), 9'000'000'000);
  uint64_t value;
  EXPECT_ERRNO(read(fd, &value, 8), EAGAIN);
}

TEST(Timerfd, PollWaitsForIt) {
  Fd fd(timerfd_create(CLOCK_MONOTONIC, 0));
  itimerspec spec = Spec(50);
  ASSERT_OK(timerfd_settime(fd, 0, &spec, nullptr));
  pollfd event = {fd, POLLIN, 0};
  EXPECT_EQ(poll(&event, 1, 0), 0);
  EXPECT_EQ(poll(&event, 1, 5000), 1);
  EXPECT_EQ(Take(fd), 1u);
  EXPECT_EQ(poll(&event, 1, 0), 0);
}

TEST(Timerfd, Errors) {
  EXPECT_ERRNO(timerfd_create(99, 0), EINVAL);
  EXPECT_ERRNO(timerfd_create(CLOCK_MONOTONIC, 1), EINVAL);
  Fd fd(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC)), other(open("/", O_RDONLY));
  EXPECT_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
  itimerspec bad = {{0, 0}, {0, 1'000'000'000}}, good = Spec(10);
  EXPECT_ERRNO(timerfd_settime(fd, 0, &bad, nullptr), EINVAL);
  EXPECT_ERRNO(timerfd_settime(fd, 0x80, &good, nullptr), EINVAL);
  EXPECT_ERRNO(timerfd_settime(other, 0, &good, nullptr), EINVAL);
  EXPECT_ERRNO(timerfd_settime(-1, 0, &good, nullptr), EBADF);
  EXPECT_ERRNO(timerfd_settime(fd, 0, BadPointer<itimerspec>(), nullptr), EFAULT);
  char small[4];
  EXPECT_ERRNO(read(fd, small, 4), EINVAL);
  EXPECT_ERRNO(write(fd, "12345678", 8), EINVAL);
}

}  // namespace
}  // namespace conformance
