// timer_create(2), timer_settime(2)
#include <sys/syscall.h>

#include <atomic>

#include "util/check.h"
#include "util/child.h"
#include "util/clock.h"
#include "util/memory.h"
#include "util/signals.h"

namespace conformance {
namespace {

itimerspec Spec(int64_t value_ms, int64_t interval_ms = 0) {
  return {{interval_ms / 1000, interval_ms % 1000 * 1'000'000},
          {value_ms / 1000, value_ms % 1000 * 1'000'000}};
}

struct Timer {
  explicit Timer(int signal, int value = 0, clockid_t clock = CLOCK_MONOTONIC) {
    sigevent event = {};
    event.sigev_notify = signal == 0 ? SIGEV_NONE : SIGEV_SIGNAL;
    event.sigev_signo = signal;
    event.sigev_value.sival_int = value;
    EXPECT_OK(timer_create(clock, &event, &id));
  }
  ~Timer() { timer_delete(id); }
  void Set(const itimerspec& spec, int flags = 0) {
    EXPECT_OK(timer_settime(id, flags, &spec, nullptr));
  }
  timer_t id = {};
};

int WaitFor(int signal, siginfo_t* info, int64_t ms) {
  sigset_t set = SignalSet({signal});
  timespec limit = {ms / 1000, ms % 1000 * 1'000'000};
  return sigtimedwait(&set, info, &limit);
}

TEST(PosixTimer, SignalCarriesItsValue) {
  ScopedBlock block({SIGUSR1});
  Timer timer(SIGUSR1, 42);
  int64_t start = NowMs();
  timer.Set(Spec(50));
  siginfo_t info;
  EXPECT_EQ(WaitFor(SIGUSR1, &info, 5000), SIGUSR1);
  EXPECT_GE(NowMs() - start, 49);
  EXPECT_EQ(info.si_code, SI_TIMER);
  EXPECT_EQ(info.si_value.sival_int, 42);
  EXPECT_EQ(info.si_overrun, 0);
}

TEST(PosixTimer, OverrunsAreCounted) {
  ScopedBlock block({SIGUSR1});
  Timer timer(SIGUSR1);
  timer.Set(Spec(10, 10));
  SleepMs(105);
  siginfo_t info;
  ASSERT_EQ(WaitFor(SIGUSR1, &info, 1000), SIGUSR1);
  EXPECT_GE(info.si_overrun, 8);
  EXPECT_EQ(timer_getoverrun(timer.id), info.si_overrun);
  timer.Set(Spec(0));
  WaitFor(SIGUSR1, nullptr, 0);  // it may have expired again
}

TEST(PosixTimer, DisarmKeepsItQuiet) {
  ScopedBlock block({SIGUSR1});
  Timer timer(SIGUSR1);
  timer.Set(Spec(50));
  timer.Set(Spec(0));
  EXPECT_ERRNO(WaitFor(SIGUSR1, nullptr, 100), EAGAIN);
}

TEST(PosixTimer, AbsoluteTime) {
  ScopedBlock block({SIGUSR1});
  Timer timer(SIGUSR1, 0, CLOCK_REALTIME);
  int64_t at = NowNs(CLOCK_REALTIME) + 50'000'000;
  timer.Set({{0, 0}, {at / 1'000'000'000, at % 1'000'000'000}}, TIMER_ABSTIME);
  EXPECT_EQ(WaitFor(SIGUSR1, nullptr, 5000), SIGUSR1);
  EXPECT_GE(NowNs(CLOCK_REALTIME), at);
}

TEST(PosixTimer, GettimeAndOldValue) {
  Timer timer(0);
  timer.Set(Spec(10000, 300));
  itimerspec now = {}, old = {}, off = Spec(0);
  ASSERT_OK(timer_gettime(timer.id, &now));
  EXPECT_GT(ToNs(now.it_value), 9'000'000'000);
  EXPECT_EQ(ToNs(now.it_interval), 300'000'000);
  ASSERT_OK(timer_settime(timer.id, 0, &off, &old));
  EXPECT_GT(ToNs(old.it_value), 9'000'000'000);
}

TEST(PosixTimer, ThreadIdTargetsOneThread) {
  static std::atomic<pid_t> got;
  got = 0;
  ScopedHandler handler(SIGUSR1, +[](int) { got = syscall(SYS_gettid); });
  std::atomic<bool> stop = false;
  std::thread other([&] {
    sigevent event = {};
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = SIGUSR1;
    event._sigev_un._tid = syscall(SYS_gettid);
    timer_t id;
    EXPECT_OK(timer_create(CLOCK_MONOTONIC, &event, &id));
    itimerspec spec = Spec(20);
    EXPECT_OK(timer_settime(id, 0, &spec, nullptr));
    for (int i = 0; i < 1000 && got == 0; i++) SleepMs(2);
    EXPECT_EQ(got, syscall(SYS_gettid));
    timer_delete(id);
  });
  other.join();
}

TEST(PosixTimer, ProcessCpuClock) {
  ScopedBlock block({SIGUSR1});
  Timer timer(SIGUSR1, 0, CLOCK_PROCESS_CPUTIME_ID);
  timer.Set(Spec(30));
  EXPECT_ERRNO(WaitFor(SIGUSR1, nullptr, 60), EAGAIN);
  int64_t used = NowNs(CLOCK_PROCESS_CPUTIME_ID);
  while (NowNs(CLOCK_PROCESS_CPUTIME_ID) - used < 60'000'000) {
  }
  EXPECT_EQ(WaitFor(SIGUSR1, nullptr, 1000), SIGUSR1);
}

TEST(PosixTimer, NotInheritedByFork) {
  Timer timer(0);
  EXPECT_EXITED(RunChild([&] {
                  itimerspec now;
                  CHILD_ERRNO(timer_gettime(timer.id, &now), EINVAL);
                  return 0;
                }),
                0);
}

TEST(PosixTimer, Errors) {
  timer_t id;
  sigevent event = {};
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = 99;
  EXPECT_ERRNO(timer_create(CLOCK_MONOTONIC, &event, &id), EINVAL);
  EXPECT_ERRNO(syscall(SYS_timer_create, 99, nullptr, &id), EINVAL);
  EXPECT_ERRNO(syscall(SYS_timer_create, CLOCK_MONOTONIC, nullptr, BadPointer()), EFAULT);
  EXPECT_ERRNO(syscall(SYS_timer_delete, 12345), EINVAL);
  Timer timer(0);
  itimerspec bad = {{0, 0}, {0, 1'000'000'000}};
  EXPECT_ERRNO(timer_settime(timer.id, 0, &bad, nullptr), EINVAL);
  EXPECT_ERRNO(timer_settime(timer.id, 0, BadPointer<itimerspec>(), nullptr), EFAULT);
}

}  // namespace
}  // namespace conformance
