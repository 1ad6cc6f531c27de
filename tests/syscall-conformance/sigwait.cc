// sigsuspend(2), sigtimedwait(2), pause(2), rt_sigqueueinfo(2)
#include <sys/syscall.h>

#include <atomic>

#include "util/check.h"
#include "util/child.h"
#include "util/clock.h"
#include "util/interrupt.h"
#include "util/signals.h"

namespace conformance {
namespace {

std::atomic<int> count;
void Count(int) { count++; }

struct Sigwait : testing::Test {
  Sigwait() { count = 0; }
};
using Sigqueue = Sigwait;

TEST_F(Sigwait, SuspendSwapsTheMaskAtomically) {
  ScopedHandler handler(SIGUSR1, Count);
  ScopedBlock block({SIGUSR1});
  raise(SIGUSR1);
  sigset_t empty;
  sigemptyset(&empty);
  EXPECT_ERRNO(sigsuspend(&empty), EINTR);
  EXPECT_EQ(count, 1);
  sigset_t mask;
  sigprocmask(SIG_BLOCK, nullptr, &mask);
  EXPECT_TRUE(sigismember(&mask, SIGUSR1)) << "the old mask is back";
}

TEST_F(Sigwait, TimedwaitTakesWithoutHandler) {
  ScopedHandler handler(SIGUSR1, Count);
  ScopedBlock block({SIGUSR1});
  ASSERT_OK(sigqueue(getpid(), SIGUSR1, sigval{.sival_int = 77}));
  sigset_t set = SignalSet({SIGUSR1});
  siginfo_t info;
  timespec limit = {1, 0};
  EXPECT_EQ(sigtimedwait(&set, &info, &limit), SIGUSR1);
  EXPECT_EQ(info.si_code, SI_QUEUE);
  EXPECT_EQ(info.si_int, 77);
  EXPECT_EQ(count, 0);
}

TEST_F(Sigwait, TimedwaitTimesOut) {
  ScopedBlock block({SIGUSR1});
  sigset_t set = SignalSet({SIGUSR1});
  timespec limit = {0, 50'000'000};
  int64_t start = NowMs();
  EXPECT_ERRNO(sigtimedwait(&set, nullptr, &limit), EAGAIN);
  EXPECT_GE(NowMs() - start, 49);
  limit = {0, 1'000'000'000};
  EXPECT_ERRNO(sigtimedwait(&set, nullptr, &limit), EINVAL);
}

TEST_F(Sigwait, TimedwaitIsInterruptedByOtherHandler) {
  ScopedHandler handler(SIGUSR1, Count);
  sigset_t set = SignalSet({SIGUSR2});
  timespec limit = {5, 0};
  EXPECT_ERRNO(Interrupted([&] { return sigtimedwait(&set, nullptr, &limit); }, [] {}), EINTR);
}

TEST_F(Sigwait, PauseReturnsEintrAfterHandler) {
  ScopedHandler handler(SIGUSR1, Count, SA_RESTART);
  EXPECT_ERRNO(Interrupted([] { return pause(); }, [] {}), EINTR);
}

TEST_F(Sigqueue, ForgedCodesAreRefusedToOthers) {
  pid_t pid = Fork([] {
    for (;;) pause();
    return 0;
  });
  siginfo_t info = {};
  info.si_code = SI_USER;
  EXPECT_ERRNO(syscall(SYS_rt_sigqueueinfo, pid, SIGUSR1, &info), EPERM);
  info.si_code = SI_KERNEL;
  EXPECT_ERRNO(syscall(SYS_rt_sigqueueinfo, pid, SIGUSR1, &info), EPERM);
  info.si_code = SI_QUEUE;
  EXPECT_OK(syscall(SYS_rt_sigqueueinfo, pid, SIGTERM, &info));
  EXPECT_KILLED(Wait(pid), SIGTERM);
}

}  // namespace
}  // namespace conformance
