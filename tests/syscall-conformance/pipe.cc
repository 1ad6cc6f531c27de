// pipe(2), pipe(7), fifo(7)
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/stat.h>

#include <atomic>

#include "util/check.h"
#include "util/child.h"
#include "util/clock.h"
#include "util/fd.h"
#include "util/interrupt.h"
#include "util/memory.h"
#include "util/signals.h"
#include "util/temp_dir.h"

namespace conformance {
namespace {

struct Pipe : testing::Test {
  Pipe() { Make(0); }
  void Make(int flags) {
    int ends[2] = {-1, -1};
    EXPECT_OK(pipe2(ends, flags));
    reader.Reset(ends[0]);
    writer.Reset(ends[1]);
  }
  Fd reader, writer;
};

TEST_F(Pipe, BytesArriveInOrder) {
  ASSERT_EQ(write(writer, "ab", 2), 2);
  ASSERT_EQ(write(writer, "cd", 2), 2);
  char buffer[8];
  EXPECT_EQ(read(reader, buffer, 3), 3);
  EXPECT_EQ(std::string(buffer, 3), "abc");
  EXPECT_EQ(read(reader, buffer, 8), 1);
}

TEST_F(Pipe, EndOfFileWhenLastWriterCloses) {
  Fd second(dup(writer));
  ASSERT_EQ(write(writer, "x", 1), 1);
  writer.Reset();
  ASSERT_OK(fcntl(reader, F_SETFL, O_NONBLOCK));
  char c;
  EXPECT_EQ(read(reader, &c, 1), 1);
  EXPECT_ERRNO(read(reader, &c, 1), EAGAIN);
  second.Reset();
  EXPECT_EQ(read(reader, &c, 1), 0);
}

TEST_F(Pipe, WriteWithoutReaderIsEpipeAndSigpipe) {
  reader.Reset();
  ScopedHandler ignore(SIGPIPE, SIG_IGN);
  EXPECT_ERRNO(write(writer, "x", 1), EPIPE);
  int end = writer;
  EXPECT_KILLED(RunChild([end] {
                  signal(SIGPIPE, SIG_DFL);
                  return static_cast<int>(write(end, "x", 1));
                }),
                SIGPIPE);
}

TEST_F(Pipe, NonblockingCapacityIs64k) {
  Make(O_NONBLOCK);
  std::string data(100000, 'x');
  EXPECT_EQ(write(writer, data.data(), data.size()), 65536);
  EXPECT_ERRNO(write(writer, "x", 1), EAGAIN);
}

TEST_F(Pipe, SmallWritesAreAtomicWhenNearlyFull) {
  Make(O_NONBLOCK);
  std::string data(65536 - 100, 'x');
  ASSERT_EQ(write(writer, data.data(), data.size()), static_cast<ssize_t>(data.size()));
  // The last buffer has 100 free bytes: PIPE_BUF does not fit and must not be split.
  std::string atomic(PIPE_BUF, 'y');
  EXPECT_ERRNO(write(writer, atomic.data(), atomic.size()), EAGAIN);
}

TEST_F(Pipe, PipeFlags) {
  Make(O_CLOEXEC | O_NONBLOCK);
  for (int fd : {reader.get(), writer.get()}) {
    EXPECT_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    EXPECT_TRUE(fcntl(fd, F_GETFL) & O_NONBLOCK);
  }
  EXPECT_EQ(fcntl(reader, F_GETFL) & O_ACCMODE, O_RDONLY);
  EXPECT_EQ(fcntl(writer, F_GETFL) & O_ACCMODE, O_WRONLY);
  int ends[2];
  EXPECT_ERRNO(pipe2(ends, O_APPEND), EINVAL);
  EXPECT_ERRNO(pipe(BadPointer<int>()), EFAULT);
}

TEST_F(Pipe, WrongEndIsEbadf) {
  char c = 0;
  EXPECT_ERRNO(write(reader, &c, 1), EBADF);
  EXPECT_ERRNO(read(writer, &c, 1), EBADF);
}

TEST_F(Pipe, ReadBlocksUntilDataComes) {
  std::thread later([this] {
    SleepMs(50);
    EXPECT_EQ(write(writer, "x", 1), 1);
  });
  int64_t start = NowMs();
  char c;
  EXPECT_EQ(read(reader, &c, 1), 1);
  EXPECT_GE(NowMs() - start, 40);
  later.join();
}

TEST_F(Pipe, BlockedWriterContinuesAsReaderDrains) {
  std::string data(1 << 20, 'x');
  for (size_t i = 0; i < data.size(); i++) data[i] = static_cast<char>(i * 7 / 5);
  std::thread sender([this, &data] {
    EXPECT_EQ(write(writer, data.data(), data.size()), static_cast<ssize_t>(data.size()));
    writer.Reset();
  });
  std::string got = ReadAll(reader);
  sender.join();
  EXPECT_TRUE(got == data);
}

TEST_F(Pipe, BlockedReadSeesEofWhenWriterCloses) {
  std::thread later([this] {
    SleepMs(50);
    writer.Reset();
  });
  char c;
  EXPECT_EQ(read(reader, &c, 1), 0);
  later.join();
}

TEST_F(Pipe, BlockedWriteFailsWhenReaderCloses) {
  ScopedHandler ignore(SIGPIPE, SIG_IGN);
  std::string data(65536, 'x');
  ASSERT_EQ(write(writer, data.data(), data.size()), 65536);
  std::thread later([this] {
    SleepMs(50);
    reader.Reset();
  });
  EXPECT_ERRNO(write(writer, "x", 1), EPIPE);
  later.join();
}

TEST_F(Pipe, PollStates) {
  pollfd fds[2] = {{reader, POLLIN, 0}, {writer, POLLOUT, 0}};
  EXPECT_EQ(poll(fds, 2, 0), 1);
  EXPECT_EQ(fds[0].revents, 0);
  EXPECT_EQ(fds[1].revents, POLLOUT);
  ASSERT_EQ(write(writer, "x", 1), 1);
  EXPECT_EQ(poll(fds, 1, 0), 1);
  EXPECT_EQ(fds[0].revents, POLLIN);
  writer.Reset();
  EXPECT_EQ(poll(fds, 1, 0), 1);
  EXPECT_EQ(fds[0].revents, POLLIN | POLLHUP);
  Make(0);
  reader.Reset();
  fds[1] = {writer, POLLOUT, 0};
  EXPECT_EQ(poll(fds + 1, 1, 0), 1);
  EXPECT_TRUE(fds[1].revents & POLLERR);
}

TEST_F(Pipe, ConcurrentWritersDoNotTearPipeBufMessages) {
  constexpr int kWriters = 4, kMessages = 200, kSize = 512;
  std::vector<std::thread> threads;
  for (int w = 0; w < kWriters; w++) {
    threads.emplace_back([&, w] {
      std::string message(kSize, 'a' + w);
      for (int i = 0; i < kMessages; i++) {
        EXPECT_EQ(write(writer, message.data(), kSize), kSize);
      }
    });
  }
  std::thread closer([&] {
    for (auto& thread : threads) thread.join();
    writer.Reset();
  });
  std::string got = ReadAll(reader);
  closer.join();
  ASSERT_EQ(got.size(), size_t{kWriters * kMessages * kSize});
  for (size_t i = 0; i < got.size(); i += kSize) {
    ASSERT_EQ(got.find_first_not_of(got[i], i) >= i + kSize, true) << "torn at " << i;
  }
}

TEST_F(Pipe, ReopenThroughProcGivesTheOtherEnd) {
  Fd again(open(("/proc/self/fd/" + std::to_string(reader)).c_str(), O_WRONLY));
  ASSERT_OK(again.get());
  ASSERT_EQ(write(again, "x", 1), 1);
  char c;
  EXPECT_EQ(read(reader, &c, 1), 1);
}

TEST_F(Pipe, ReopenDoesNotWaitForTheOtherEnd) {
  ASSERT_EQ(write(writer, "x", 1), 1);
  writer.Reset();
  Fd again(open(("/proc/self/fd/" + std::to_string(reader)).c_str(), O_RDONLY));
  ASSERT_OK(again.get());
  char c;
  EXPECT_EQ(read(again, &c, 1), 1);
  EXPECT_EQ(read(again, &c, 1), 0);
}

TEST_F(Pipe, StatIsAFifo) {
  struct stat st;
  ASSERT_OK(fstat(reader, &st));
  EXPECT_TRUE(S_ISFIFO(st.st_mode));
}

TEST(Fifo, OpenWaitsForTheOtherEnd) {
  TempDir dir;
  std::string path = dir / "p";
  ASSERT_OK(mkfifo(path.c_str(), 0600));
  std::atomic<bool> opened = false;
  std::thread other([&] {
    Fd reader(open(path.c_str(), O_RDONLY));
    opened = true;
    EXPECT_EQ(ReadAll(reader), "hi");
  });
  SleepMs(50);
  EXPECT_FALSE(opened);
  Fd writer(open(path.c_str(), O_WRONLY));
  EXPECT_EQ(write(writer, "hi", 2), 2);
  writer.Reset();
  other.join();
}

TEST(Fifo, ReadWriteOpenDoesNotBlock) {
  TempDir dir;
  std::string path = dir / "p";
  ASSERT_OK(mkfifo(path.c_str(), 0600));
  Fd both(open(path.c_str(), O_RDWR));
  ASSERT_EQ(write(both, "x", 1), 1);
  char c;
  EXPECT_EQ(read(both, &c, 1), 1);
}

TEST(Fifo, InterruptedOpenIsEintr) {
  TempDir dir;
  std::string path = dir / "p";
  ASSERT_OK(mkfifo(path.c_str(), 0600));
  ScopedHandler handler(SIGUSR1, +[](int) {});
  EXPECT_ERRNO(Interrupted([&] { return open(path.c_str(), O_RDONLY); }, [] {}), EINTR);
}

}  // namespace
}  // namespace conformance
