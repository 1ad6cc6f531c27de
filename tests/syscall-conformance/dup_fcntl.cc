// dup(2), fcntl(2) except locks, ioctl(2) on any file
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "util/check.h"
#include "util/child.h"
#include "util/clock.h"
#include "util/fd.h"
#include "util/memory.h"
#include "util/signals.h"
#include "util/temp_dir.h"

namespace conformance {
namespace {

TEST(Dup, SharesOffsetAndStatusFlagsNotCloexec) {
  TempDir dir;
  Fd fd(open(dir.File("f", "abc").c_str(), O_RDWR | O_CLOEXEC)), copy(dup(fd));
  ASSERT_OK(copy.get());
  EXPECT_EQ(fcntl(copy, F_GETFD), 0);
  ASSERT_EQ(lseek(fd, 2, SEEK_SET), 2);
  EXPECT_EQ(lseek(copy, 0, SEEK_CUR), 2);
  ASSERT_OK(fcntl(fd, F_SETFL, O_APPEND | O_NONBLOCK));
  EXPECT_EQ(fcntl(copy, F_GETFL) & (O_APPEND | O_NONBLOCK), O_APPEND | O_NONBLOCK);
}

TEST(Dup, BadDescriptors) {
  EXPECT_ERRNO(dup(-1), EBADF);
  EXPECT_ERRNO(dup(9999), EBADF);
  EXPECT_ERRNO(dup2(9999, 5), EBADF);
  EXPECT_ERRNO(dup2(0, -1), EBADF);
  EXPECT_ERRNO(dup2(0, 1 << 30), EBADF);
}

TEST(Dup2, ClosesTheTarget) {
  int ends[2];
  ASSERT_OK(pipe(ends));
  Fd reader(ends[0]), writer(ends[1]);
  Fd other(open("/", O_RDONLY));
  EXPECT_EQ(dup2(other, writer), writer.get());
  char c;
  EXPECT_EQ(read(reader, &c, 1), 0) << "the last writer is gone";
}

TEST(Dup2, SameDescriptorDoesNothing) {
  Fd fd(open("/", O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(dup2(fd, fd), fd.get());
  EXPECT_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
  EXPECT_ERRNO(dup2(9999, 9999), EBADF);
}

TEST(Dup3, SameDescriptorAndFlags) {
  Fd fd(open("/", O_RDONLY));
  EXPECT_ERRNO(dup3(fd, fd, 0), EINVAL);
  EXPECT_ERRNO(dup3(fd, fd + 1, O_NONBLOCK), EINVAL);
  Fd copy(dup3(fd, 77, O_CLOEXEC));
  EXPECT_EQ(copy.get(), 77);
  EXPECT_EQ(fcntl(copy, F_GETFD), FD_CLOEXEC);
}

TEST(Fcntl, DupfdTakesLowestAtLeast) {
  Fd fd(open("/", O_RDONLY)), a(fcntl(fd, F_DUPFD, 50)), b(fcntl(fd, F_DUPFD_CLOEXEC, 50));
  EXPECT_EQ(a.get(), 50);
  EXPECT_EQ(b.get(), 51);
  EXPECT_EQ(fcntl(a, F_GETFD), 0);
  EXPECT_EQ(fcntl(b, F_GETFD), FD_CLOEXEC);
  EXPECT_ERRNO(fcntl(fd, F_DUPFD, -1), EINVAL);
  EXPECT_ERRNO(fcntl(fd, F_DUPFD, 1 << 30), EINVAL);
}

TEST(Fcntl, SetflChangesOnlyStatusFlags) {
  TempDir dir;
  Fd fd(open(dir.File("f").c_str(), O_RDONLY));
  ASSERT_OK(fcntl(fd, F_SETFL, O_RDWR | O_CREAT | O_TRUNC | O_NONBLOCK));
  int flags = fcntl(fd, F_GETFL);
  EXPECT_EQ(flags & O_ACCMODE, O_RDONLY);
  EXPECT_EQ(flags & (O_CREAT | O_TRUNC), 0);
  EXPECT_EQ(flags & O_NONBLOCK, O_NONBLOCK);
}

TEST(Fcntl, SetfdKeepsOnlyCloexec) {
  Fd fd(open("/", O_RDONLY));
  ASSERT_OK(fcntl(fd, F_SETFD, ~0));
  EXPECT_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
  ASSERT_OK(fcntl(fd, F_SETFD, 0));
  EXPECT_EQ(fcntl(fd, F_GETFD), 0);
}

TEST(Fcntl, UnknownCommandIsEinval) {
  EXPECT_ERRNO(fcntl(0, 9999), EINVAL);
  EXPECT_ERRNO(fcntl(9999, F_GETFD), EBADF);
}

TEST(Fcntl, PipeSizeIsAtLeastAPage) {
  int ends[2];
  ASSERT_OK(pipe(ends));
  Fd reader(ends[0]), writer(ends[1]);
  EXPECT_EQ(fcntl(reader, F_GETPIPE_SZ), 65536);
  EXPECT_EQ(fcntl(writer, F_SETPIPE_SZ, 1), 4096);
  EXPECT_EQ(fcntl(reader, F_GETPIPE_SZ), 4096);
  EXPECT_EQ(fcntl(writer, F_SETPIPE_SZ, 5000), 8192);
  Fd file(open("/", O_RDONLY));
  EXPECT_ERRNO(fcntl(file, F_GETPIPE_SZ), EBADF);
}

TEST(Fcntl, PipeCannotShrinkBelowItsContent) {
  int ends[2];
  ASSERT_OK(pipe(ends));
  Fd reader(ends[0]), writer(ends[1]);
  std::string data(3 * 4096, 'x');
  ASSERT_EQ(write(writer, data.data(), data.size()), static_cast<ssize_t>(data.size()));
  EXPECT_ERRNO(fcntl(writer, F_SETPIPE_SZ, 4096), EBUSY);
}

TEST(Fcntl, OwnerIsKept) {
  int ends[2];
  ASSERT_OK(pipe(ends));
  Fd reader(ends[0]), writer(ends[1]);
  EXPECT_EQ(fcntl(reader, F_GETOWN), 0);
  ASSERT_OK(fcntl(reader, F_SETOWN, getpid()));
  EXPECT_EQ(fcntl(reader, F_GETOWN), getpid());
  EXPECT_ERRNO(fcntl(reader, F_SETOWN, 0x7ffffff0), ESRCH);
}

volatile sig_atomic_t sigio_count;
void CountSigio(int) { sigio_count = sigio_count + 1; }

TEST(Fcntl, AsyncSendsSigioWhenReadable) {
  // The handler outlives the sockets, because closing one is an event for the other.
  ScopedHandler handler(SIGIO, CountSigio);
  int ends[2];
  ASSERT_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
  Fd a(ends[0]), b(ends[1]);
  sigio_count = 0;
  ASSERT_OK(fcntl(a, F_SETOWN, getpid()));
  ASSERT_OK(fcntl(a, F_SETFL, O_ASYNC));
  ASSERT_EQ(write(b, "x", 1), 1);
  for (int i = 0; i < 100 && sigio_count == 0; i++) SleepMs(10);
  EXPECT_GE(sigio_count, 1);
}

TEST(Ioctl, FionreadCountsBytes) {
  int ends[2], count = -1;
  ASSERT_OK(pipe(ends));
  Fd reader(ends[0]), writer(ends[1]);
  ASSERT_EQ(write(writer, "hello", 5), 5);
  EXPECT_OK(ioctl(reader, FIONREAD, &count));
  EXPECT_EQ(count, 5);
  TempDir dir;
  Fd file(open(dir.File("f", "0123456789").c_str(), O_RDONLY));
  ASSERT_EQ(lseek(file, 4, SEEK_SET), 4);
  EXPECT_OK(ioctl(file, FIONREAD, &count));
  EXPECT_EQ(count, 6);
}

TEST(Ioctl, FionbioAndFioclex) {
  int ends[2], on = 1;
  ASSERT_OK(pipe(ends));
  Fd reader(ends[0]), writer(ends[1]);
  EXPECT_OK(ioctl(reader, FIONBIO, &on));
  EXPECT_TRUE(fcntl(reader, F_GETFL) & O_NONBLOCK);
  EXPECT_OK(ioctl(reader, FIOCLEX));
  EXPECT_EQ(fcntl(reader, F_GETFD), FD_CLOEXEC);
  EXPECT_OK(ioctl(reader, FIONCLEX));
  EXPECT_EQ(fcntl(reader, F_GETFD), 0);
}

TEST(Ioctl, UnknownRequestIsEnotty) {
  TempDir dir;
  Fd file(open(dir.File("f").c_str(), O_RDONLY));
  EXPECT_ERRNO(ioctl(file, 0xdeadbeef), ENOTTY);
  EXPECT_ERRNO(ioctl(file, TIOCGWINSZ, BadPointer()), ENOTTY);
  EXPECT_ERRNO(ioctl(-1, FIONREAD), EBADF);
}

}  // namespace
}  // namespace conformance
