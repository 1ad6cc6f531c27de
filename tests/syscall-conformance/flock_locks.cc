// flock(2), fcntl(2) record locks and open file description locks, leases excluded
#include <fcntl.h>
#include <sys/file.h>

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

struct LockTest : testing::Test {
  TempDir dir;
  std::string path = dir.File("f", "0123456789");
  Fd fd{open(path.c_str(), O_RDWR)};
};
using Flock = LockTest;
using RecordLock = LockTest;
using OfdLock = LockTest;

int Lock(int fd, int command, short type, off_t start = 0, off_t length = 0) {
  struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length,
                       .l_pid = 0};
  return fcntl(fd, command, &lock);
}

TEST_F(Flock, ExclusiveConflictsWithAnotherOpen) {
  Fd other(open(path.c_str(), O_RDONLY)), same(dup(fd));
  ASSERT_OK(flock(fd, LOCK_EX));
  EXPECT_ERRNO(flock(other, LOCK_EX | LOCK_NB), EAGAIN);
  EXPECT_ERRNO(flock(other, LOCK_SH | LOCK_NB), EAGAIN);
  EXPECT_OK(flock(same, LOCK_EX | LOCK_NB)) << "the duplicate is the same owner";
  ASSERT_OK(flock(same, LOCK_UN));
  EXPECT_OK(flock(other, LOCK_EX | LOCK_NB));
}

TEST_F(Flock, SharedCoexistAndUpgrade) {
  Fd other(open(path.c_str(), O_RDONLY));
  ASSERT_OK(flock(fd, LOCK_SH));
  ASSERT_OK(flock(other, LOCK_SH | LOCK_NB));
  EXPECT_ERRNO(flock(fd, LOCK_EX | LOCK_NB), EAGAIN);
  other.Reset();
  EXPECT_OK(flock(fd, LOCK_EX | LOCK_NB));
}

TEST_F(Flock, HeldUntilTheLastDuplicateCloses) {
  Fd other(open(path.c_str(), O_RDONLY)), same(dup(fd));
  ASSERT_OK(flock(fd, LOCK_EX));
  fd.Reset();
  EXPECT_ERRNO(flock(other, LOCK_EX | LOCK_NB), EAGAIN);
  same.Reset();
  EXPECT_OK(flock(other, LOCK_EX | LOCK_NB));
}

TEST_F(Flock, BlocksUntilReleasedAndEintr) {
  ASSERT_OK(flock(fd, LOCK_EX));
  Fd other(open(path.c_str(), O_RDONLY));
  std::thread releaser([&] {
    SleepMs(50);
    EXPECT_OK(flock(fd, LOCK_UN));
  });
  EXPECT_OK(flock(other, LOCK_EX));
  releaser.join();
  ScopedHandler handler(SIGUSR1, +[](int) {});
  EXPECT_ERRNO(Interrupted([&] { return flock(fd, LOCK_EX); }, [] {}), EINTR);
}

TEST_F(Flock, Errors) {
  EXPECT_ERRNO(flock(fd, 0), EINVAL);
  EXPECT_ERRNO(flock(fd, 77), EINVAL);
  EXPECT_ERRNO(flock(-1, LOCK_EX), EBADF);
  Fd path_fd(open(path.c_str(), O_PATH));
  EXPECT_ERRNO(flock(path_fd, LOCK_EX), EBADF);
}

TEST_F(RecordLock, ConflictsBetweenProcessesOnly) {
  ASSERT_OK(Lock(fd, F_SETLK, F_WRLCK, 2, 4));
  Fd other(open(path.c_str(), O_RDWR));
  EXPECT_OK(Lock(other, F_SETLK, F_WRLCK, 2, 4)) << "same process, same owner";
  EXPECT_EXITED(RunChild([&] {
                  CHILD_ERRNO(Lock(fd, F_SETLK, F_RDLCK, 5, 1), EAGAIN);
                  CHILD_CHECK(Lock(fd, F_SETLK, F_WRLCK, 0, 2) == 0);
                  CHILD_CHECK(Lock(fd, F_SETLK, F_WRLCK, 6, 0) == 0);
                  return 0;
                }),
                0);
}

TEST_F(RecordLock, GetlkNamesTheHolder) {
  ASSERT_OK(Lock(fd, F_SETLK, F_WRLCK, 2, 4));
  EXPECT_EXITED(RunChild([&] {
                  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0,
                                       .l_len = 0, .l_pid = 0};
                  CHILD_CHECK(fcntl(fd, F_GETLK, &lock) == 0);
                  CHILD_CHECK(lock.l_type == F_WRLCK && lock.l_start == 2 && lock.l_len == 4);
                  CHILD_CHECK(lock.l_pid == getppid());
                  lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 8, .l_len = 1,
                          .l_pid = 0};
                  CHILD_CHECK(fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type == F_UNLCK);
                  return 0;
                }),
                0);
}

TEST_F(RecordLock, UnlockSplitsARange) {
  ASSERT_OK(Lock(fd, F_SETLK, F_WRLCK, 0, 10));
  ASSERT_OK(Lock(fd, F_SETLK, F_UNLCK, 4, 2));
  EXPECT_EXITED(RunChild([&] {
                  CHILD_ERRNO(Lock(fd, F_SETLK, F_WRLCK, 3, 1), EAGAIN);
                  CHILD_CHECK(Lock(fd, F_SETLK, F_WRLCK, 4, 2) == 0);
                  CHILD_ERRNO(Lock(fd, F_SETLK, F_WRLCK, 6, 1), EAGAIN);
                  return 0;
                }),
                0);
}

TEST_F(RecordLock, ClosingAnyDescriptorDropsThem) {
  ASSERT_OK(Lock(fd, F_SETLK, F_WRLCK));
  Fd other(open(path.c_str(), O_RDONLY));
  other.Reset();
  EXPECT_EXITED(RunChild([&] { return Lock(fd, F_SETLK, F_WRLCK); }), 0);
}

TEST_F(RecordLock, NotInheritedAndDroppedAtExit) {
  EXPECT_EXITED(RunChild([&] { return Lock(fd, F_SETLK, F_WRLCK); }), 0);
  EXPECT_OK(Lock(fd, F_SETLK, F_WRLCK));
}

TEST_F(RecordLock, WaitsForRelease) {
  int ends[2];
  ASSERT_OK(pipe(ends));
  Fd reader(ends[0]), writer(ends[1]);
  pid_t pid = Fork([&] {
    CHILD_CHECK(Lock(fd, F_SETLK, F_WRLCK) == 0);
    CHILD_CHECK(write(writer, "x", 1) == 1);
    SleepMs(50);
    return 0;
  });
  char c;
  ASSERT_EQ(read(reader, &c, 1), 1);
  EXPECT_OK(Lock(fd, F_SETLKW, F_WRLCK));
  Wait(pid);
}

TEST_F(RecordLock, DeadlockIsDetected) {
  ASSERT_OK(Lock(fd, F_SETLK, F_WRLCK, 0, 1));
  int ends[2];
  ASSERT_OK(pipe(ends));
  Fd reader(ends[0]), writer(ends[1]);
  pid_t pid = Fork([&] {
    CHILD_CHECK(Lock(fd, F_SETLK, F_WRLCK, 1, 1) == 0);
    CHILD_CHECK(write(writer, "x", 1) == 1);
    return Lock(fd, F_SETLKW, F_WRLCK, 0, 1);
  });
  char c;
  ASSERT_EQ(read(reader, &c, 1), 1);
  SleepMs(50);
  EXPECT_ERRNO(Lock(fd, F_SETLKW, F_WRLCK, 1, 1), EDEADLK);
  ASSERT_OK(Lock(fd, F_SETLK, F_UNLCK, 0, 0));
  EXPECT_EXITED(Wait(pid), 0);
}

TEST_F(RecordLock, Errors) {
  Fd reader(open(path.c_str(), O_RDONLY)), writer(open(path.c_str(), O_WRONLY));
  EXPECT_ERRNO(Lock(reader, F_SETLK, F_WRLCK), EBADF);
  EXPECT_ERRNO(Lock(writer, F_SETLK, F_RDLCK), EBADF);
  EXPECT_ERRNO(Lock(fd, F_SETLK, 77), EINVAL);
  EXPECT_ERRNO(Lock(fd, F_SETLK, F_WRLCK, -1, 1), EINVAL);
  EXPECT_OK(Lock(fd, F_SETLK, F_WRLCK, 5, -2)) << "a negative length reaches back";
  EXPECT_ERRNO(fcntl(fd, F_SETLK, BadPointer()), EFAULT);
}

TEST_F(OfdLock, OwnedByTheOpenFileDescription) {
  Fd other(open(path.c_str(), O_RDWR));
  ASSERT_OK(Lock(fd, F_OFD_SETLK, F_WRLCK, 0, 5));
  EXPECT_ERRNO(Lock(other, F_OFD_SETLK, F_WRLCK, 0, 5), EAGAIN);
  EXPECT_OK(Lock(other, F_OFD_SETLK, F_WRLCK, 5, 5));
  Fd third(open(path.c_str(), O_RDWR));
  third.Reset();
  EXPECT_ERRNO(Lock(other, F_OFD_SETLK, F_WRLCK, 0, 5), EAGAIN) << "other closes do not drop it";
  fd.Reset();
  EXPECT_OK(Lock(other, F_OFD_SETLK, F_WRLCK, 0, 5));
}

TEST_F(OfdLock, PidMustBeZero) {
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 0,
                       .l_pid = 5};
  EXPECT_ERRNO(fcntl(fd, F_OFD_SETLK, &lock), EINVAL);
}

}  // namespace
}  // namespace conformance
