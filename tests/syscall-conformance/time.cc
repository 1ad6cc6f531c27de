// clock_gettime(2), nanosleep(2), clock_nanosleep(2), getitimer(2), alarm(2), times(2)
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/times.h>

#include <atomic>

#include "util/check.h"
#include "util/child.h"
#include "util/clock.h"
#include "util/interrupt.h"
#include "util/memory.h"
#include "util/signals.h"

namespace conformance {
namespace {

void Spin(int64_t ms) {
  int64_t end = NowMs() + ms;
  while (NowMs() < end) {
  }
}

TEST(ClockGettime, AllClocksRunForward) {
  for (clockid_t clock : {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW, CLOCK_BOOTTIME,
                          CLOCK_REALTIME_COARSE, CLOCK_MONOTONIC_COARSE, CLOCK_TAI}) {
    int64_t before = NowNs(clock);
    SleepMs(30);
    int64_t passed = NowNs(clock) - before;
    EXPECT_GT(passed, 15'000'000) << clock;
    EXPECT_LT(passed, 5'000'000'000) << clock;
  }
}

TEST(ClockGettime, MonotonicNeverGoesBackOnAnyThread) {
  std::atomic<int64_t> latest = 0;
  std::atomic<int> backward = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; t++) {
    threads.emplace_back([&] {
      for (int i = 0; i < 20000; i++) {
        int64_t seen = latest, now = NowNs();
        if (now < seen) backward++;
        while (now > seen && !latest.compare_exchange_weak(seen, now)) {
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(backward, 0);
}

TEST(ClockGettime, LibraryAndSystemCallAgree) {
  for (clockid_t clock : {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME}) {
    timespec direct = {};
    int64_t before = NowNs(clock);
    ASSERT_OK(syscall(SYS_clock_gettime, clock, &direct));
    int64_t after = NowNs(clock);
    EXPECT_LE(before, ToNs(direct)) << clock;
    EXPECT_LE(ToNs(direct), after) << clock;
  }
}

TEST(ClockGettime, RealTimeAgreesWithTimeAndGettimeofday) {
  timeval tv;
  time_t seconds = NowNs(CLOCK_REALTIME) / 1'000'000'000;
  ASSERT_OK(gettimeofday(&tv, nullptr));
  EXPECT_NEAR(tv.tv_sec, seconds, 1);
  EXPECT_NEAR(time(nullptr), seconds, 1);
  EXPECT_GT(seconds, 1'700'000'000);
}

TEST(ClockGettime, CpuClocksCountOnlyWork) {
  int64_t process = NowNs(CLOCK_PROCESS_CPUTIME_ID), thread = NowNs(CLOCK_THREAD_CPUTIME_ID);
  SleepMs(200);
  EXPECT_LT(NowNs(CLOCK_THREAD_CPUTIME_ID) - thread, 100'000'000);
  thread = NowNs(CLOCK_THREAD_CPUTIME_ID);
  std::thread other([] {
    while (NowNs(CLOCK_THREAD_CPUTIME_ID) < 150'000'000) {
    }
  });
  other.join();
  // Far apart, so that a busy machine does not blur them.
  EXPECT_LT(NowNs(CLOCK_THREAD_CPUTIME_ID) - thread, 75'000'000);
  EXPECT_GE(NowNs(CLOCK_PROCESS_CPUTIME_ID) - process, 150'000'000);
}

TEST(ClockGettime, CpuClockOfAnotherProcess) {
  clockid_t clock;
  ASSERT_EQ(clock_getcpuclockid(getpid(), &clock), 0);
  EXPECT_GT(NowNs(clock), 0);
}

TEST(ClockGettime, Errors) {
  timespec ts;
  EXPECT_ERRNO(clock_gettime(99, &ts), EINVAL);
  EXPECT_ERRNO(syscall(SYS_clock_gettime, CLOCK_REALTIME, BadPointer()), EFAULT);
  EXPECT_ERRNO(clock_getres(99, &ts), EINVAL);
  ts = {0, 1'000'000'000};
  EXPECT_ERRNO(clock_settime(CLOCK_REALTIME, &ts), EINVAL);
  EXPECT_ERRNO(clock_settime(CLOCK_MONOTONIC, &ts), EINVAL);
}

TEST(ClockGetres, IsFineOrCoarse) {
  timespec ts;
  ASSERT_OK(clock_getres(CLOCK_MONOTONIC, &ts));
  EXPECT_EQ(ToNs(ts), 1);
  ASSERT_OK(clock_getres(CLOCK_MONOTONIC_COARSE, &ts));
  EXPECT_GE(ToNs(ts), 1'000'000);
}

TEST(Nanosleep, SleepsAtLeastThatLong) {
  for (int64_t ms : {0, 1, 20, 100}) {
    int64_t start = NowNs();
    timespec ts = {0, ms * 1'000'000};
    ASSERT_OK(nanosleep(&ts, nullptr));
    EXPECT_GE(NowNs() - start, ms * 1'000'000);
  }
}

TEST(Nanosleep, Errors) {
  timespec bad = {0, 1'000'000'000};
  EXPECT_ERRNO(nanosleep(&bad, nullptr), EINVAL);
  bad = {-1, 0};
  EXPECT_ERRNO(nanosleep(&bad, nullptr), EINVAL);
  EXPECT_ERRNO(nanosleep(BadPointer<timespec>(), nullptr), EFAULT);
  timespec ts = {0, 1};
  EXPECT_EQ(clock_nanosleep(99, 0, &ts, nullptr), EINVAL);
}

TEST(ClockNanosleep, AbsoluteDeadline) {
  for (clockid_t clock : {CLOCK_MONOTONIC, CLOCK_REALTIME}) {
    int64_t until = NowNs(clock) + 50'000'000;
    timespec ts = {until / 1'000'000'000, until % 1'000'000'000};
    EXPECT_EQ(clock_nanosleep(clock, TIMER_ABSTIME, &ts, nullptr), 0);
    EXPECT_GE(NowNs(clock), until);
    ts = {1, 0};
    EXPECT_EQ(clock_nanosleep(clock, TIMER_ABSTIME, &ts, nullptr), 0) << "the past";
  }
}

TEST(ClockNanosleep, AbsoluteSleepReportsNoRest) {
  ScopedHandler handler(SIGUSR1, +[](int) {});
  int64_t until = NowNs() + 5'000'000'000;
  timespec ts = {until / 1'000'000'000, until % 1'000'000'000}, rest = {77, 77};
  EXPECT_EQ(Interrupted(
                [&] { return clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, &rest); }, [] {}),
            EINTR);
  EXPECT_EQ(rest.tv_sec, 77);
}

TEST(Nanosleep, StopAndContinueResumesTheSleep) {
  pid_t pid = Fork([] {
    int64_t start = NowMs();
    timespec ts = {0, 300'000'000};
    CHILD_CHECK(nanosleep(&ts, nullptr) == 0);
    CHILD_CHECK(NowMs() - start >= 299);
    return 0;
  });
  SleepMs(50);
  kill(pid, SIGSTOP);
  SleepMs(50);
  kill(pid, SIGCONT);
  EXPECT_EXITED(Wait(pid), 0);
}

std::atomic<int> ticks;
void Tick(int) { ticks++; }

struct Itimer : testing::Test {
  Itimer() { ticks = 0; }
  static void Arm(int which, int64_t us, int64_t interval_us = 0) {
    itimerval value = {{interval_us / 1000000, interval_us % 1000000},
                       {us / 1000000, us % 1000000}};
    EXPECT_OK(setitimer(static_cast<__itimer_which>(which), &value, nullptr));
  }
};

TEST_F(Itimer, RealIsPeriodic) {
  ScopedHandler handler(SIGALRM, Tick);
  int64_t start = NowMs();
  Arm(ITIMER_REAL, 20000, 20000);
  while (ticks < 5 && NowMs() - start < 5000) pause();
  EXPECT_GE(NowMs() - start, 99);
  Arm(ITIMER_REAL, 0);
}

TEST_F(Itimer, GetShowsTheRestAndSetReturnsIt) {
  ScopedHandler handler(SIGALRM, Tick);
  Arm(ITIMER_REAL, 5'000'000, 1'000'000);
  itimerval now = {}, old = {}, off = {};
  ASSERT_OK(getitimer(ITIMER_REAL, &now));
  EXPECT_GE(now.it_value.tv_sec, 4);
  EXPECT_EQ(now.it_interval.tv_sec, 1);
  ASSERT_OK(setitimer(ITIMER_REAL, &off, &old));
  EXPECT_GE(old.it_value.tv_sec, 4);
  ASSERT_OK(getitimer(ITIMER_REAL, &now));
  EXPECT_EQ(now.it_value.tv_sec + now.it_value.tv_usec, 0);
}

TEST_F(Itimer, VirtualAndProfCountWork) {
  ScopedHandler virtual_handler(SIGVTALRM, Tick);
  Arm(ITIMER_VIRTUAL, 20000);
  SleepMs(60);
  EXPECT_EQ(ticks, 0) << "sleeping is no work";
  int64_t start = NowMs();
  while (ticks == 0 && NowMs() - start < 5000) {
    for (int i = 0; i < 100000; i++) asm volatile("");  // User time, which a clock read is not.
  }
  EXPECT_EQ(ticks, 1);
  ScopedHandler prof_handler(SIGPROF, Tick);
  Arm(ITIMER_PROF, 20000);
  start = NowMs();
  while (ticks == 1 && NowMs() - start < 5000) Spin(1);
  EXPECT_EQ(ticks, 2);
}

TEST_F(Itimer, Errors) {
  itimerval value = {{0, 0}, {0, 1000000}};
  EXPECT_ERRNO(setitimer(ITIMER_REAL, &value, nullptr), EINVAL);
  value = {{0, 0}, {-1, 0}};
  EXPECT_ERRNO(setitimer(ITIMER_REAL, &value, nullptr), EINVAL);
  EXPECT_ERRNO(syscall(SYS_getitimer, 9, &value), EINVAL);
  EXPECT_ERRNO(syscall(SYS_getitimer, ITIMER_REAL, BadPointer()), EFAULT);
}

TEST(Alarm, ReturnsTheRestAndIsTheRealTimer) {
  EXPECT_EXITED(RunChild([] {
                  alarm(0);
                  CHILD_CHECK(alarm(100) == 0);
                  CHILD_CHECK(alarm(5) == 100);
                  itimerval now = {};
                  CHILD_CHECK(getitimer(ITIMER_REAL, &now) == 0 && now.it_value.tv_sec >= 4);
                  CHILD_CHECK(alarm(0) == 5);
                  return 0;
                }),
                0);
}

TEST(Alarm, KillsByDefault) {
  EXPECT_KILLED(RunChild([] {
                  alarm(0);
                  itimerval soon = {{0, 0}, {0, 30000}};
                  CHILD_CHECK(setitimer(ITIMER_REAL, &soon, nullptr) == 0);
                  for (;;) pause();
                  return 0;
                }),
                SIGALRM);
}

TEST(Times, TicksOfTheProcess) {
  tms before = {}, after = {};
  clock_t start = times(&before);
  ASSERT_NE(start, -1);
  Spin(60);
  clock_t end = times(&after);
  EXPECT_GE(end - start, 5) << "a tick is ten milliseconds";
  EXPECT_GE(after.tms_utime + after.tms_stime, before.tms_utime + before.tms_stime);
  EXPECT_ERRNO(syscall(SYS_times, BadPointer()), EFAULT);
}

}  // namespace
}  // namespace conformance
