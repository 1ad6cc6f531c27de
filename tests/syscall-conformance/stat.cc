// stat(2), statx(2), utimensat(2), mknod(2)
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <utime.h>

#include "util/check.h"
#include "util/clock.h"
#include "util/fd.h"
#include "util/memory.h"
#include "util/temp_dir.h"

namespace conformance {
namespace {

struct stat StatOf(const std::string& path) {
  struct stat st = {};
  EXPECT_OK(lstat(path.c_str(), &st));
  return st;
}

TEST(Stat, RegularFile) {
  TempDir dir;
  std::string path = dir.File("f", "hello", 0640);
  struct stat st = StatOf(path);
  EXPECT_EQ(st.st_mode, mode_t{S_IFREG | 0640});
  EXPECT_EQ(st.st_size, 5);
  EXPECT_EQ(st.st_nlink, 1u);
  EXPECT_EQ(st.st_uid, geteuid());
  EXPECT_EQ(st.st_gid, getegid());
  EXPECT_GT(st.st_blksize, 0);
  EXPECT_NE(st.st_ino, 0u);
}

TEST(Stat, AllWaysAgree) {
  TempDir dir;
  std::string path = dir.File("f", "hello");
  struct stat a, b, c;
  ASSERT_OK(stat(path.c_str(), &a));
  Fd fd(open(path.c_str(), O_RDONLY)), at(open(dir.c_str(), O_PATH));
  ASSERT_OK(fstat(fd, &b));
  ASSERT_OK(fstatat(at, "f", &c, 0));
  EXPECT_EQ(a.st_ino, b.st_ino);
  EXPECT_EQ(a.st_dev, b.st_dev);
  EXPECT_EQ(a.st_ino, c.st_ino);
  ASSERT_OK(fstatat(fd, "", &c, AT_EMPTY_PATH));
  EXPECT_EQ(a.st_ino, c.st_ino);
  EXPECT_ERRNO(fstatat(fd, "", &c, 0), ENOENT);
  EXPECT_ERRNO(fstatat(fd, "f", &c, 0), ENOTDIR);
  EXPECT_ERRNO(fstatat(at, "f", &c, 0x40000000), EINVAL);
}

TEST(Stat, DirectoryCountsItsSubdirectories) {
  TempDir dir;
  EXPECT_TRUE(S_ISDIR(StatOf(dir.path()).st_mode));
  EXPECT_EQ(StatOf(dir.path()).st_nlink, 2u);
  ASSERT_OK(mkdir((dir / "d").c_str(), 0700));
  EXPECT_EQ(StatOf(dir.path()).st_nlink, 3u);
  ASSERT_OK(rmdir((dir / "d").c_str()));
  EXPECT_EQ(StatOf(dir.path()).st_nlink, 2u);
}

TEST(Stat, SymlinkSizeIsItsTargetLength) {
  TempDir dir;
  ASSERT_OK(symlink("twelve-chars", (dir / "l").c_str()));
  struct stat st = StatOf(dir / "l");
  EXPECT_TRUE(S_ISLNK(st.st_mode));
  EXPECT_EQ(st.st_mode & 07777, 0777u);
  EXPECT_EQ(st.st_size, 12);
  EXPECT_ERRNO(stat((dir / "l").c_str(), &st), ENOENT);
}

TEST(Stat, Errors) {
  TempDir dir;
  std::string file = dir.File("f");
  struct stat st;
  EXPECT_ERRNO(stat((dir / "none").c_str(), &st), ENOENT);
  EXPECT_ERRNO(stat((file + "/x").c_str(), &st), ENOTDIR);
  EXPECT_ERRNO(stat(BadPointer<char>(), &st), EFAULT);
  EXPECT_ERRNO(syscall(SYS_stat, file.c_str(), BadPointer()), EFAULT);
  EXPECT_ERRNO(fstat(-1, &st), EBADF);
}

TEST(Stat, HardLinksShareTheInode) {
  TempDir dir;
  std::string a = dir.File("a"), b = dir / "b";
  ASSERT_OK(link(a.c_str(), b.c_str()));
  EXPECT_EQ(StatOf(a).st_ino, StatOf(b).st_ino);
  EXPECT_EQ(StatOf(a).st_nlink, 2u);
  ASSERT_OK(unlink(a.c_str()));
  EXPECT_EQ(StatOf(b).st_nlink, 1u);
}

TEST(Stat, DeviceNumbersOfStandardDevices) {
  EXPECT_EQ(StatOf("/dev/null").st_rdev, makedev(1, 3));
  EXPECT_EQ(StatOf("/dev/zero").st_rdev, makedev(1, 5));
  EXPECT_EQ(StatOf("/dev/urandom").st_rdev, makedev(1, 9));
  EXPECT_TRUE(S_ISCHR(StatOf("/dev/null").st_mode));
}

TEST(Stat, WriteUpdatesModificationTime) {
  TempDir dir;
  std::string path = dir.File("f", "x");
  timespec old[2] = {{1000, 0}, {1000, 0}};
  ASSERT_OK(utimensat(AT_FDCWD, path.c_str(), old, 0));
  int64_t before = NowNs(CLOCK_REALTIME_COARSE);
  Fd fd(open(path.c_str(), O_WRONLY));
  ASSERT_EQ(write(fd, "y", 1), 1);
  struct stat st = StatOf(path);
  // Time stamps may be taken from a coarse clock of a few milliseconds.
  EXPECT_GE(ToNs(st.st_mtim), before - 20'000'000);
  EXPECT_GE(ToNs(st.st_ctim), before - 20'000'000);
  EXPECT_EQ(st.st_atim.tv_sec, 1000);
}

TEST(Stat, DirectoryTimeChangesWithItsEntries) {
  TempDir dir;
  timespec old[2] = {{1000, 0}, {1000, 0}};
  ASSERT_OK(utimensat(AT_FDCWD, dir.c_str(), old, 0));
  dir.File("f");
  EXPECT_GT(StatOf(dir.path()).st_mtim.tv_sec, 1000);
  ASSERT_OK(utimensat(AT_FDCWD, dir.c_str(), old, 0));
  ASSERT_OK(unlink((dir / "f").c_str()));
  EXPECT_GT(StatOf(dir.path()).st_mtim.tv_sec, 1000);
}

TEST(Statx, BasicFieldsAndMask) {
  TempDir dir;
  std::string path = dir.File("f", "hello", 0600);
  struct statx stx = {};
  ASSERT_OK(statx(AT_FDCWD, path.c_str(), 0, STATX_BASIC_STATS, &stx));
  EXPECT_EQ(stx.stx_mask & STATX_BASIC_STATS, unsigned{STATX_BASIC_STATS});
  EXPECT_EQ(stx.stx_size, 5u);
  EXPECT_EQ(stx.stx_mode, S_IFREG | 0600);
  EXPECT_EQ(stx.stx_ino, StatOf(path).st_ino);
  EXPECT_EQ(makedev(stx.stx_dev_major, stx.stx_dev_minor), StatOf(path).st_dev);
}

TEST(Statx, Errors) {
  struct statx stx;
  EXPECT_ERRNO(syscall(SYS_statx, AT_FDCWD, "/", 0x40000000, STATX_ALL, &stx), EINVAL);
  EXPECT_ERRNO(syscall(SYS_statx, AT_FDCWD, "/", 0, 0x80000000u, &stx), EINVAL);
  EXPECT_ERRNO(syscall(SYS_statx, AT_FDCWD, "/", AT_STATX_SYNC_TYPE, STATX_ALL, &stx), EINVAL);
  EXPECT_ERRNO(syscall(SYS_statx, AT_FDCWD, "", 0, STATX_ALL, &stx), ENOENT);
  EXPECT_ERRNO(syscall(SYS_statx, AT_FDCWD, "/", 0, STATX_ALL, BadPointer()), EFAULT);
}

TEST(Utimensat, SetsNanosecondsNowAndOmit) {
  TempDir dir;
  std::string path = dir.File("f");
  timespec times[2] = {{1111, 222}, {3333, 444}};
  ASSERT_OK(utimensat(AT_FDCWD, path.c_str(), times, 0));
  struct stat st = StatOf(path);
  EXPECT_EQ(ToNs(st.st_atim), 1111'000000222);
  EXPECT_EQ(ToNs(st.st_mtim), 3333'000000444);
  timespec mixed[2] = {{0, UTIME_OMIT}, {0, UTIME_NOW}};
  ASSERT_OK(utimensat(AT_FDCWD, path.c_str(), mixed, 0));
  st = StatOf(path);
  EXPECT_EQ(ToNs(st.st_atim), 1111'000000222);
  EXPECT_GT(st.st_mtim.tv_sec, 1'000'000'000);
  timespec bad[2] = {{0, 1'000'000'000}, {0, 0}};
  EXPECT_ERRNO(utimensat(AT_FDCWD, path.c_str(), bad, 0), EINVAL);
}

TEST(Utimensat, NullPathMeansTheDescriptor) {
  TempDir dir;
  Fd fd(open(dir.File("f").c_str(), O_RDONLY));
  timespec times[2] = {{5, 0}, {6, 0}};
  EXPECT_OK(futimens(fd, times));
  struct stat st;
  ASSERT_OK(fstat(fd, &st));
  EXPECT_EQ(st.st_mtim.tv_sec, 6);
}

TEST(Utimensat, SymlinkItself) {
  TempDir dir;
  std::string target = dir.File("f");
  ASSERT_OK(symlink("f", (dir / "l").c_str()));
  timespec times[2] = {{7, 0}, {8, 0}};
  ASSERT_OK(utimensat(AT_FDCWD, (dir / "l").c_str(), times, AT_SYMLINK_NOFOLLOW));
  EXPECT_EQ(StatOf(dir / "l").st_mtim.tv_sec, 8);
  EXPECT_GT(StatOf(target).st_mtim.tv_sec, 1000);
}

TEST(Mknod, FifoRegularAndBadTypes) {
  TempDir dir;
  ASSERT_OK(mknod((dir / "p").c_str(), S_IFIFO | 0600, 0));
  EXPECT_TRUE(S_ISFIFO(StatOf(dir / "p").st_mode));
  ASSERT_OK(mknod((dir / "r").c_str(), 0600, 0));
  EXPECT_TRUE(S_ISREG(StatOf(dir / "r").st_mode));
  EXPECT_ERRNO(mknod((dir / "r").c_str(), S_IFREG | 0600, 0), EEXIST);
  EXPECT_ERRNO(mknod((dir / "d").c_str(), S_IFDIR | 0600, 0), EPERM);
  EXPECT_ERRNO(mknod((dir / "x").c_str(), S_IFMT | 0600, 0), EINVAL);
  EXPECT_ERRNO(mknod((dir / "none/x").c_str(), S_IFIFO | 0600, 0), ENOENT);
}

}  // namespace
}  // namespace conformance
