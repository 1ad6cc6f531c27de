// signal(7): which blocking calls a handler interrupts and which go on
#include <poll.h>
#include <sys/socket.h>

#include <atomic>

#include "util/check.h"
#include "util/child.h"
#include "util/clock.h"
#include "util/fd.h"
#include "util/interrupt.h"
#include "util/signals.h"

namespace conformance {
namespace {

std::atomic<int> count;
void Count(int) { count++; }

struct Restart : testing::Test {
  Restart() { count = 0; }
};

TEST_F(Restart, ReadOfPipeIsEintrWithoutSaRestart) {
  int ends[2];
  ASSERT_OK(pipe(ends));
  Fd reader(ends[0]), writer(ends[1]);
  ScopedHandler handler(SIGUSR1, Count);
  char c;
  EXPECT_ERRNO(Interrupted([&] { return read(reader, &c, 1); }, [] {}), EINTR);
  EXPECT_EQ(count, 1);
}

TEST_F(Restart, ReadOfPipeContinuesWithSaRestart) {
  int ends[2];
  ASSERT_OK(pipe(ends));
  Fd reader(ends[0]), writer(ends[1]);
  ScopedHandler handler(SIGUSR1, Count, SA_RESTART);
  char c;
  EXPECT_EQ(Interrupted([&] { return read(reader, &c, 1); },
                        [&] { EXPECT_EQ(write(writer, "x", 1), 1); }),
            1);
  EXPECT_EQ(count, 1);
}

TEST_F(Restart, PollNeverRestarts) {
  ScopedHandler handler(SIGUSR1, Count, SA_RESTART);
  EXPECT_ERRNO(Interrupted([] { return poll(nullptr, 0, 5000); }, [] {}), EINTR);
}

TEST_F(Restart, NanosleepReportsTheRest) {
  ScopedHandler handler(SIGUSR1, Count, SA_RESTART);
  timespec time = {5, 0}, rest = {};
  EXPECT_ERRNO(Interrupted([&] { return nanosleep(&time, &rest); }, [] {}), EINTR);
  EXPECT_GE(rest.tv_sec, 4);
}

TEST_F(Restart, IgnoredSignalDoesNotInterrupt) {
  ScopedHandler handler(SIGUSR1, SIG_IGN);
  int64_t start = NowMs();
  EXPECT_EQ(Interrupted([] { return poll(nullptr, 0, 200); }, [] {}), 0);
  EXPECT_GE(NowMs() - start, 195);
}

TEST_F(Restart, StopAndContinueDoNotInterruptARead) {
  int ends[2];
  ASSERT_OK(pipe(ends));
  Fd reader(ends[0]), writer(ends[1]);
  pid_t pid = Fork([&] {
    char c;
    return read(reader, &c, 1) == 1 ? 0 : 1;
  });
  int status;
  SleepMs(30);
  ASSERT_OK(kill(pid, SIGSTOP));
  ASSERT_EQ(waitpid(pid, &status, WUNTRACED), pid);
  ASSERT_OK(kill(pid, SIGCONT));
  SleepMs(30);
  ASSERT_EQ(write(writer, "x", 1), 1);
  EXPECT_EXITED(Wait(pid), 0);
}

TEST_F(Restart, SocketWithReceiveTimeoutDoesNotRestart) {
  int ends[2];
  ASSERT_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
  Fd a(ends[0]), b(ends[1]);
  timeval limit = {5, 0};
  ASSERT_OK(setsockopt(a, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)));
  ScopedHandler handler(SIGUSR1, Count, SA_RESTART);
  char c;
  EXPECT_ERRNO(Interrupted([&] { return recv(a, &c, 1, 0); }, [] {}), EINTR);
}

}  // namespace
}  // namespace conformance
