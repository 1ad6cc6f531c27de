// poll(2), ppoll(2), select(2), pselect(2)
#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/syscall.h>

#include <atomic>

#include "util/check.h"
#include "util/child.h"
#include "util/clock.h"
#include "util/fd.h"
#include "util/memory.h"
#include "util/signals.h"
#include "util/temp_dir.h"

namespace conformance {
namespace {

struct PipeTest : testing::Test {
  PipeTest() {
    int ends[2];
    EXPECT_OK(pipe(ends));
    reader.Reset(ends[0]);
    writer.Reset(ends[1]);
  }
  void Put() { EXPECT_EQ(write(writer, "x", 1), 1); }
  Fd reader, writer;
};
using Poll = PipeTest;
using Select = PipeTest;

TEST_F(Poll, ClosedDescriptorIsPollnvalNegativeIsIgnored) {
  pollfd fds[3] = {{9999, POLLIN, 0}, {-1, POLLIN, 77}, {writer, POLLOUT, 0}};
  EXPECT_EQ(poll(fds, 3, 0), 2);
  EXPECT_EQ(fds[0].revents, POLLNVAL);
  EXPECT_EQ(fds[1].revents, 0);
  EXPECT_EQ(fds[2].revents, POLLOUT);
}

TEST_F(Poll, RegularFilesAreAlwaysReady) {
  TempDir dir;
  Fd file(open(dir.File("f").c_str(), O_RDWR));
  pollfd fd = {file, POLLIN | POLLOUT | POLLPRI, 0};
  EXPECT_EQ(poll(&fd, 1, 0), 1);
  EXPECT_EQ(fd.revents, POLLIN | POLLOUT);
}

TEST_F(Poll, TimeoutAndZeroDescriptors) {
  int64_t start = NowMs();
  pollfd fd = {reader, POLLIN, 0};
  EXPECT_EQ(poll(&fd, 1, 50), 0);
  EXPECT_EQ(poll(nullptr, 0, 50), 0);
  EXPECT_GE(NowMs() - start, 98);
}

TEST_F(Poll, BlockedPollWakes) {
  std::thread other([this] {
    SleepMs(50);
    Put();
  });
  pollfd fd = {reader, POLLIN, 0};
  EXPECT_EQ(poll(&fd, 1, -1), 1);
  EXPECT_EQ(fd.revents, POLLIN);
  other.join();
}

TEST_F(Poll, OnlyAskedEventsWake) {
  Put();
  pollfd fd = {reader, 0, 0};
  EXPECT_EQ(poll(&fd, 1, 0), 0);
}

TEST_F(Poll, Errors) {
  EXPECT_ERRNO(poll(BadPointer<pollfd>(), 1, 0), EFAULT);
  EXPECT_EXITED(RunChild([] {
                  rlimit limit = {16, 16};
                  CHILD_CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
                  pollfd fds[17] = {};
                  for (auto& fd : fds) fd.fd = -1;
                  CHILD_CHECK(poll(fds, 16, 0) == 0);
                  CHILD_ERRNO(poll(fds, 17, 0), EINVAL);
                  return 0;
                }),
                0);
}

TEST_F(Poll, PpollMaskLetsASignalIn) {
  static std::atomic<int> count;
  count = 0;
  ScopedHandler handler(SIGUSR1, +[](int) { count++; });
  ScopedBlock block({SIGUSR1});
  raise(SIGUSR1);
  sigset_t empty;
  sigemptyset(&empty);
  timespec limit = {5, 0};
  EXPECT_ERRNO(ppoll(nullptr, 0, &limit, &empty), EINTR);
  EXPECT_EQ(count, 1);
  limit = {0, -1};
  EXPECT_ERRNO(ppoll(nullptr, 0, &limit, nullptr), EINVAL);
}

TEST_F(Poll, PpollWritesTheRemainingTime) {
  timespec limit = {5, 0};
  Put();
  pollfd fd = {reader, POLLIN, 0};
  EXPECT_EQ(syscall(SYS_ppoll, &fd, 1, &limit, nullptr, 8), 1);
  EXPECT_LE(limit.tv_sec, 5);
  EXPECT_GE(limit.tv_sec, 4);
  limit = {0, 20'000'000};
  EXPECT_EQ(syscall(SYS_ppoll, nullptr, 0, &limit, nullptr, 8), 0);
  EXPECT_EQ(ToNs(limit), 0);
}

TEST_F(Select, ReportsReadWriteAndClearsOthers) {
  Put();
  fd_set in, out;
  FD_ZERO(&in);
  FD_ZERO(&out);
  FD_SET(reader, &in);
  FD_SET(writer, &out);
  timeval limit = {0, 0};
  EXPECT_EQ(select(writer + 1, &in, &out, nullptr, &limit), 2);
  char c;
  ASSERT_EQ(read(reader, &c, 1), 1);
  EXPECT_EQ(select(writer + 1, &in, nullptr, nullptr, &limit), 0);
  EXPECT_FALSE(FD_ISSET(reader, &in));
}

TEST_F(Select, EndOfFileIsReadable) {
  writer.Reset();
  fd_set in;
  FD_ZERO(&in);
  FD_SET(reader, &in);
  timeval limit = {0, 0};
  EXPECT_EQ(select(reader + 1, &in, nullptr, nullptr, &limit), 1);
}

TEST_F(Select, ClosedDescriptorIsEbadf) {
  int closed = writer;
  writer.Reset();
  fd_set in;
  FD_ZERO(&in);
  FD_SET(closed, &in);
  timeval limit = {0, 0};
  EXPECT_ERRNO(select(closed + 1, &in, nullptr, nullptr, &limit), EBADF);
  EXPECT_EQ(select(closed, &in, nullptr, nullptr, &limit), 0) << "it is beyond the count";
}

TEST_F(Select, Errors) {
  timeval limit = {0, 0};
  EXPECT_ERRNO(select(-1, nullptr, nullptr, nullptr, &limit), EINVAL);
  limit = {-1, 0};
  EXPECT_ERRNO(select(0, nullptr, nullptr, nullptr, &limit), EINVAL);
  limit = {0, 0};
  EXPECT_ERRNO(select(10, BadPointer<fd_set>(), nullptr, nullptr, &limit), EFAULT);
}

TEST_F(Select, TimeoutIsUpdatedByLinux) {
  timeval limit = {0, 50'000};
  int64_t start = NowMs();
  EXPECT_EQ(select(0, nullptr, nullptr, nullptr, &limit), 0);
  EXPECT_GE(NowMs() - start, 49);
  EXPECT_EQ(limit.tv_sec * 1000000 + limit.tv_usec, 0);
  limit = {5, 0};
  Put();
  fd_set in;
  FD_ZERO(&in);
  FD_SET(reader, &in);
  EXPECT_EQ(select(reader + 1, &in, nullptr, nullptr, &limit), 1);
  EXPECT_EQ(limit.tv_sec, 4);
}

TEST_F(Select, PselectMaskIsAtomic) {
  static std::atomic<int> count;
  count = 0;
  ScopedHandler handler(SIGUSR1, +[](int) { count++; });
  ScopedBlock block({SIGUSR1});
  raise(SIGUSR1);
  sigset_t empty;
  sigemptyset(&empty);
  timespec limit = {5, 0};
  EXPECT_ERRNO(pselect(0, nullptr, nullptr, nullptr, &limit, &empty), EINTR);
  EXPECT_EQ(count, 1);
  EXPECT_EQ(limit.tv_sec, 5) << "the library does not change its argument";
}

TEST_F(Select, HighDescriptors) {
  Fd high(fcntl(reader, F_DUPFD, 1000));
  ASSERT_EQ(high.get(), 1000);
  Put();
  fd_set in;
  FD_ZERO(&in);
  FD_SET(high, &in);
  timeval limit = {0, 0};
  EXPECT_EQ(select(1001, &in, nullptr, nullptr, &limit), 1);
  EXPECT_TRUE(FD_ISSET(1000, &in));
}

}  // namespace
}  // namespace conformance
