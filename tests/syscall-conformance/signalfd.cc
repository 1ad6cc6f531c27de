// signalfd(2)
#include <fcntl.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>

#include "util/check.h"
#include "util/child.h"
#include "util/clock.h"
#include "util/fd.h"
#include "util/signals.h"

namespace conformance {
namespace {

struct Signalfd : testing::Test {
  ScopedBlock block{SIGUSR1, SIGUSR2, SIGCHLD};
  sigset_t set = SignalSet({SIGUSR1});
  Fd fd{signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC)};
  signalfd_siginfo info = {};
};

TEST_F(Signalfd, TakesThePendingSignal) {
  EXPECT_ERRNO(read(fd, &info, sizeof(info)), EAGAIN);
  ASSERT_OK(kill(getpid(), SIGUSR1));
  EXPECT_EQ(read(fd, &info, sizeof(info)), 128);
  EXPECT_EQ(info.ssi_signo, unsigned{SIGUSR1});
  EXPECT_EQ(info.ssi_pid, static_cast<uint32_t>(getpid()));
  EXPECT_EQ(info.ssi_code, SI_USER);
  EXPECT_ERRNO(read(fd, &info, sizeof(info)), EAGAIN);
}

TEST_F(Signalfd, QueuedValueIsDelivered) {
  ASSERT_OK(sigqueue(getpid(), SIGUSR1, sigval{.sival_int = -5}));
  ASSERT_EQ(read(fd, &info, sizeof(info)), 128);
  EXPECT_EQ(info.ssi_int, -5);
  EXPECT_EQ(info.ssi_code, SI_QUEUE);
}

TEST_F(Signalfd, OtherSignalsAreNotSeenUntilTheMaskChanges) {
  ASSERT_OK(kill(getpid(), SIGUSR2));
  EXPECT_ERRNO(read(fd, &info, sizeof(info)), EAGAIN);
  set = SignalSet({SIGUSR2});
  EXPECT_EQ(signalfd(fd, &set, 0), fd.get());
  EXPECT_EQ(read(fd, &info, sizeof(info)), 128);
  EXPECT_EQ(info.ssi_signo, unsigned{SIGUSR2});
}

TEST_F(Signalfd, SeveralInOneRead) {
  set = SignalSet({SIGUSR1, SIGUSR2});
  ASSERT_OK(signalfd(fd, &set, 0));
  kill(getpid(), SIGUSR1);
  kill(getpid(), SIGUSR2);
  signalfd_siginfo infos[3];
  EXPECT_EQ(read(fd, infos, sizeof(infos)), 2 * 128);
}

TEST_F(Signalfd, PollAndBlockingRead) {
  ASSERT_OK(fcntl(fd, F_SETFL, 0));
  pollfd event = {fd, POLLIN, 0};
  EXPECT_EQ(poll(&event, 1, 0), 0);
  pid_t parent = getpid();
  pid_t pid = Fork([parent] {
    SleepMs(50);
    return kill(parent, SIGUSR1);
  });
  EXPECT_EQ(read(fd, &info, sizeof(info)), 128);
  EXPECT_EQ(info.ssi_pid, static_cast<uint32_t>(pid));
  EXPECT_EXITED(Wait(pid), 0);
  kill(getpid(), SIGUSR1);
  EXPECT_EQ(poll(&event, 1, 0), 1);
  EXPECT_EQ(read(fd, &info, sizeof(info)), 128);
}

TEST_F(Signalfd, SigchldCarriesTheStatus) {
  set = SignalSet({SIGCHLD});
  Fd chld(signalfd(-1, &set, 0));
  // Earlier cases may have left one pending.
  ASSERT_OK(fcntl(chld, F_SETFL, O_NONBLOCK));
  while (read(chld, &info, sizeof(info)) > 0) {
  }
  ASSERT_OK(fcntl(chld, F_SETFL, 0));
  pid_t pid = Fork([] { return 6; });
  ASSERT_EQ(read(chld, &info, sizeof(info)), 128);
  EXPECT_EQ(info.ssi_status, 6);
  EXPECT_EQ(info.ssi_code, CLD_EXITED);
  Wait(pid);
}

TEST_F(Signalfd, Errors) {
  char small[64];
  EXPECT_ERRNO(read(fd, small, sizeof(small)), EINVAL);
  EXPECT_ERRNO(signalfd(-1, &set, 0x40), EINVAL);
  EXPECT_ERRNO(signalfd(9999, &set, 0), EBADF);
  EXPECT_ERRNO(signalfd(0, &set, 0), EINVAL);
  EXPECT_ERRNO(syscall(SYS_signalfd4, -1, &set, 4, 0), EINVAL);
  EXPECT_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
}

}  // namespace
}  // namespace conformance
