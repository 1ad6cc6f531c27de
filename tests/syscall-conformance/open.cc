// open(2), openat(2), creat(2), close(2)
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "util/check.h"
#include "util/child.h"
#include "util/fd.h"
#include "util/memory.h"
#include "util/temp_dir.h"

namespace conformance {
namespace {

TEST(Open, ReturnsLowestFreeDescriptor) {
  TempDir dir;
  std::string path = dir.File("f");
  Fd a(open(path.c_str(), O_RDONLY)), b(open(path.c_str(), O_RDONLY));
  ASSERT_TRUE(a.ok() && b.ok());
  EXPECT_LT(a.get(), b.get());
  int freed = a;
  a.Reset();
  Fd c(open(path.c_str(), O_RDONLY));
  EXPECT_EQ(c.get(), freed);
}

TEST(Open, MissingFileIsEnoent) {
  TempDir dir;
  EXPECT_ERRNO(open((dir / "none").c_str(), O_RDONLY), ENOENT);
  EXPECT_ERRNO(open((dir / "none/f").c_str(), O_RDWR | O_CREAT, 0644), ENOENT);
  EXPECT_ERRNO(open("", O_RDONLY), ENOENT);
}

TEST(Open, FileAsDirectoryIsEnotdir) {
  TempDir dir;
  std::string path = dir.File("f");
  EXPECT_ERRNO(open((path + "/x").c_str(), O_RDONLY), ENOTDIR);
  EXPECT_ERRNO(open((path + "/").c_str(), O_RDONLY), ENOTDIR);
  EXPECT_ERRNO(open((path + "/.").c_str(), O_RDONLY), ENOTDIR);
  EXPECT_ERRNO(open(path.c_str(), O_RDONLY | O_DIRECTORY), ENOTDIR);
}

TEST(Open, DirectoryForWritingIsEisdir) {
  TempDir dir;
  EXPECT_ERRNO(open(dir.c_str(), O_WRONLY), EISDIR);
  EXPECT_ERRNO(open(dir.c_str(), O_RDWR), EISDIR);
  EXPECT_ERRNO(open(dir.c_str(), O_RDONLY | O_CREAT, 0644), EISDIR);
  EXPECT_ERRNO(open((dir.path() + "/new/").c_str(), O_RDWR | O_CREAT, 0644), EISDIR);
}

TEST(Open, DirectoryForReadingCannotBeRead) {
  TempDir dir;
  Fd fd(open(dir.c_str(), O_RDONLY | O_DIRECTORY));
  ASSERT_OK(fd.get());
  char c;
  EXPECT_ERRNO(read(fd, &c, 1), EISDIR);
}

TEST(Open, ExclusiveCreateOfExistingIsEexist) {
  TempDir dir;
  std::string path = dir.File("f");
  EXPECT_ERRNO(open(path.c_str(), O_RDWR | O_CREAT | O_EXCL, 0644), EEXIST);
  EXPECT_ERRNO(open(dir.c_str(), O_RDWR | O_CREAT | O_EXCL, 0644), EEXIST);
}

TEST(Open, ExclusiveCreateDoesNotFollowDanglingSymlink) {
  TempDir dir;
  ASSERT_OK(symlink("target", (dir / "link").c_str()));
  EXPECT_ERRNO(open((dir / "link").c_str(), O_RDWR | O_CREAT | O_EXCL, 0644), EEXIST);
  EXPECT_ERRNO(access((dir / "target").c_str(), F_OK), ENOENT);
}

TEST(Open, CreateThroughDanglingSymlinkMakesTheTarget) {
  TempDir dir;
  ASSERT_OK(symlink("target", (dir / "link").c_str()));
  Fd fd(open((dir / "link").c_str(), O_RDWR | O_CREAT, 0644));
  ASSERT_OK(fd.get());
  EXPECT_OK(access((dir / "target").c_str(), F_OK));
}

TEST(Open, NofollowOfSymlinkIsEloop) {
  TempDir dir;
  dir.File("f");
  ASSERT_OK(symlink("f", (dir / "link").c_str()));
  EXPECT_ERRNO(open((dir / "link").c_str(), O_RDONLY | O_NOFOLLOW), ELOOP);
  ASSERT_OK(symlink(dir.c_str(), (dir / "dirlink").c_str()));
  // A link in the middle of the path is followed all the same.
  Fd fd(open((dir / "dirlink/f").c_str(), O_RDONLY | O_NOFOLLOW));
  EXPECT_OK(fd.get());
  EXPECT_ERRNO(open((dir / "dirlink").c_str(), O_RDONLY | O_NOFOLLOW | O_DIRECTORY), ENOTDIR);
}

TEST(Open, SymlinkCycleIsEloop) {
  TempDir dir;
  ASSERT_OK(symlink("b", (dir / "a").c_str()));
  ASSERT_OK(symlink("a", (dir / "b").c_str()));
  EXPECT_ERRNO(open((dir / "a").c_str(), O_RDONLY), ELOOP);
  EXPECT_ERRNO(open((dir / "a/x").c_str(), O_RDONLY), ELOOP);
}

TEST(Open, FortySymlinksAreTheLimit) {
  TempDir dir;
  dir.File("0", "end");
  for (int i = 1; i <= 41; i++) {
    ASSERT_OK(symlink(std::to_string(i - 1).c_str(), (dir / std::to_string(i)).c_str()));
  }
  Fd fd(open((dir / "40").c_str(), O_RDONLY));
  EXPECT_OK(fd.get());
  EXPECT_ERRNO(open((dir / "41").c_str(), O_RDONLY), ELOOP);
}

TEST(Open, TooLongNames) {
  TempDir dir;
  EXPECT_ERRNO(open((dir / std::string(256, 'x')).c_str(), O_RDONLY), ENAMETOOLONG);
  Fd fd(open((dir / std::string(255, 'x')).c_str(), O_RDWR | O_CREAT, 0644));
  EXPECT_OK(fd.get());
  EXPECT_ERRNO(open(std::string(PATH_MAX, '/').c_str(), O_RDONLY), ENAMETOOLONG);
  Fd root(open(std::string(PATH_MAX - 1, '/').c_str(), O_RDONLY));
  EXPECT_OK(root.get());
}

TEST(Open, BadPathPointerIsEfault) {
  EXPECT_ERRNO(open(BadPointer<char>(), O_RDONLY), EFAULT);
  EXPECT_ERRNO(openat(AT_FDCWD, BadPointer<char>(), O_RDWR | O_CREAT, 0644), EFAULT);
}

TEST(Open, PathMayEndAtTheEdgeOfMappedMemory) {
  PrivateMemory memory(2 * kPage);
  ASSERT_OK(mprotect(memory.page(1), kPage, PROT_NONE));
  char* path = memory.page(1) - 2;
  memcpy(path, "/", 2);
  Fd fd(open(path, O_RDONLY));
  EXPECT_OK(fd.get());
  memory.page(1)[-1] = '/';
  EXPECT_ERRNO(open(path, O_RDONLY), EFAULT);
}

TEST(Open, AccessModeIsEnforcedOnReadAndWrite) {
  TempDir dir;
  std::string path = dir.File("f", "data");
  char c = 'x';
  Fd reader(open(path.c_str(), O_RDONLY)), writer(open(path.c_str(), O_WRONLY));
  EXPECT_ERRNO(write(reader, &c, 1), EBADF);
  EXPECT_ERRNO(read(writer, &c, 1), EBADF);
}

TEST(Open, TruncateEmptiesTheFile) {
  TempDir dir;
  std::string path = dir.File("f", "data");
  Fd fd(open(path.c_str(), O_WRONLY | O_TRUNC));
  struct stat st;
  ASSERT_OK(fstat(fd, &st));
  EXPECT_EQ(st.st_size, 0);
}

TEST(Open, AppendWritesAtTheEndWhateverTheOffset) {
  TempDir dir;
  std::string path = dir.File("f", "abc");
  Fd fd(open(path.c_str(), O_RDWR | O_APPEND));
  ASSERT_EQ(lseek(fd, 0, SEEK_SET), 0);
  ASSERT_EQ(write(fd, "d", 1), 1);
  EXPECT_EQ(lseek(fd, 0, SEEK_CUR), 4);
  EXPECT_EQ(ReadFile(path), "abcd");
  // A well-known deviation of Linux from POSIX: pwrite appends too.
  ASSERT_EQ(pwrite(fd, "e", 1, 0), 1);
  EXPECT_EQ(ReadFile(path), "abcde");
}

TEST(Open, CreateModeIsMaskedByUmask) {
  TempDir dir;
  mode_t old = umask(027);
  Fd fd(open((dir / "f").c_str(), O_RDWR | O_CREAT, 0777));
  umask(old);
  struct stat st;
  ASSERT_OK(fstat(fd, &st));
  EXPECT_EQ(st.st_mode, mode_t{S_IFREG | 0750});
}

TEST(Open, CreatedReadOnlyFileIsStillWritableThroughItsDescriptor) {
  TempDir dir;
  Fd fd(open((dir / "f").c_str(), O_RDWR | O_CREAT, 0400));
  ASSERT_OK(fd.get());
  EXPECT_EQ(write(fd, "x", 1), 1);
}

TEST(Open, CloexecFlagIsSetOnlyWhenAsked) {
  TempDir dir;
  std::string path = dir.File("f");
  Fd plain(open(path.c_str(), O_RDONLY)), cloexec(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(fcntl(plain, F_GETFD), 0);
  EXPECT_EQ(fcntl(cloexec, F_GETFD), FD_CLOEXEC);
}

TEST(Open, UnknownFlagsAreIgnored) {
  TempDir dir;
  std::string path = dir.File("f");
  Fd fd(syscall(SYS_openat, AT_FDCWD, path.c_str(), O_RDONLY | 0x40000000, 0));
  EXPECT_OK(fd.get());
}

TEST(Open, PathDescriptorOnlyNamesTheFile) {
  TempDir dir;
  std::string path = dir.File("f", "data");
  Fd fd(open(path.c_str(), O_PATH));
  ASSERT_OK(fd.get());
  char c;
  EXPECT_ERRNO(read(fd, &c, 1), EBADF);
  EXPECT_ERRNO(write(fd, &c, 1), EBADF);
  EXPECT_ERRNO(lseek(fd, 0, SEEK_SET), EBADF);
  EXPECT_ERRNO(fchmod(fd, 0600), EBADF);
  EXPECT_ERRNO(ftruncate(fd, 0), EBADF);
  struct stat st;
  EXPECT_OK(fstat(fd, &st));
  EXPECT_EQ(st.st_size, 4);
  EXPECT_EQ(fcntl(fd, F_GETFL) & O_PATH, O_PATH);
}

TEST(Open, PathNofollowDescriptorIsTheSymlinkItself) {
  TempDir dir;
  ASSERT_OK(symlink("nowhere", (dir / "link").c_str()));
  Fd fd(open((dir / "link").c_str(), O_PATH | O_NOFOLLOW));
  ASSERT_OK(fd.get());
  struct stat st;
  ASSERT_OK(fstat(fd, &st));
  EXPECT_TRUE(S_ISLNK(st.st_mode));
  char target[16] = {};
  EXPECT_EQ(readlinkat(fd, "", target, sizeof(target)), 7);
  EXPECT_STREQ(target, "nowhere");
}

TEST(Open, TmpfileHasNoNameUntilLinked) {
  TempDir dir;
  Fd fd(open(dir.c_str(), O_TMPFILE | O_RDWR, 0600));
  ASSERT_OK(fd.get());
  ASSERT_EQ(write(fd, "x", 1), 1);
  struct stat st;
  ASSERT_OK(fstat(fd, &st));
  EXPECT_EQ(st.st_nlink, 0u);
  EXPECT_EQ(st.st_mode, mode_t{S_IFREG | 0600});
  ASSERT_OK(linkat(AT_FDCWD, ("/proc/self/fd/" + std::to_string(fd)).c_str(), AT_FDCWD,
                   (dir / "named").c_str(), AT_SYMLINK_FOLLOW));
  EXPECT_EQ(ReadFile(dir / "named"), "x");
}

TEST(Open, UnlinkedFileLivesUntilClosed) {
  TempDir dir;
  std::string path = dir.File("f", "data");
  Fd fd(open(path.c_str(), O_RDWR));
  ASSERT_OK(unlink(path.c_str()));
  char buffer[4];
  EXPECT_EQ(pread(fd, buffer, 4, 0), 4);
  struct stat st;
  ASSERT_OK(fstat(fd, &st));
  EXPECT_EQ(st.st_nlink, 0u);
}

TEST(Open, RelativeToDirectoryDescriptor) {
  TempDir dir;
  dir.File("f", "data");
  Fd at(open(dir.c_str(), O_PATH | O_DIRECTORY));
  Fd fd(openat(at, "f", O_RDONLY));
  EXPECT_OK(fd.get());
  EXPECT_ERRNO(openat(fd, "f", O_RDONLY), ENOTDIR);
  EXPECT_ERRNO(openat(-1, "f", O_RDONLY), EBADF);
  // An absolute path does not look at the descriptor.
  Fd root(openat(-1, "/", O_RDONLY));
  EXPECT_OK(root.get());
}

TEST(Open, DescriptorLimitIsEmfile) {
  EXPECT_EXITED(RunChild([] {
                  rlimit limit = {32, 32};
                  CHILD_CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
                  int last = -1;
                  for (int fd = 0; fd >= 0; fd = open("/", O_RDONLY)) last = std::max(last, fd);
                  CHILD_CHECK(last == 31);
                  CHILD_ERRNO(open("/", O_RDONLY), EMFILE);
                  CHILD_ERRNO(dup(0), EMFILE);
                  return 0;
                }),
                0);
}

TEST(Open, FifoForWritingWithoutReaderIsEnxioWhenNonblocking) {
  TempDir dir;
  ASSERT_OK(mkfifo((dir / "p").c_str(), 0600));
  EXPECT_ERRNO(open((dir / "p").c_str(), O_WRONLY | O_NONBLOCK), ENXIO);
  Fd reader(open((dir / "p").c_str(), O_RDONLY | O_NONBLOCK));
  EXPECT_OK(reader.get());
  Fd writer(open((dir / "p").c_str(), O_WRONLY | O_NONBLOCK));
  EXPECT_OK(writer.get());
}

TEST(Creat, TruncatesAndIsWriteOnly) {
  TempDir dir;
  std::string path = dir.File("f", "data");
  Fd fd(creat(path.c_str(), 0600));
  ASSERT_OK(fd.get());
  EXPECT_EQ(fcntl(fd, F_GETFL) & O_ACCMODE, O_WRONLY);
  EXPECT_EQ(ReadFile(path), "");
}

TEST(Close, TwiceIsEbadf) {
  int fd = open("/", O_RDONLY);
  ASSERT_OK(fd);
  EXPECT_OK(close(fd));
  EXPECT_ERRNO(close(fd), EBADF);
  EXPECT_ERRNO(close(-1), EBADF);
}

TEST(CloseRange, ClosesOrMarksARange) {
  EXPECT_EXITED(RunChild([] {
                  int low = fcntl(0, F_DUPFD, 100);
                  CHILD_CHECK(low == 100);
                  CHILD_CHECK(dup2(0, 101) == 101 && dup2(0, 102) == 102);
                  CHILD_CHECK(syscall(SYS_close_range, 101u, 101u, 4 /* CLOEXEC */) == 0);
                  CHILD_CHECK(fcntl(101, F_GETFD) == FD_CLOEXEC);
                  CHILD_CHECK(syscall(SYS_close_range, 101u, ~0u, 0) == 0);
                  CHILD_ERRNO(fcntl(101, F_GETFD), EBADF);
                  CHILD_ERRNO(fcntl(102, F_GETFD), EBADF);
                  CHILD_CHECK(fcntl(100, F_GETFD) == 0);
                  CHILD_ERRNO(syscall(SYS_close_range, 5u, 4u, 0), EINVAL);
                  CHILD_ERRNO(syscall(SYS_close_range, 4u, 5u, 0x80), EINVAL);
                  return 0;
                }),
                0);
}

TEST(Openat2, ResolveFlagsConfineTheWalk) {
  struct {
    uint64_t flags, mode, resolve;
  } how = {O_RDONLY, 0, 0x08 /* RESOLVE_BENEATH */};
  TempDir dir;
  dir.File("f");
  ASSERT_OK(symlink("/", (dir / "abs").c_str()));
  Fd at(open(dir.c_str(), O_PATH));
  Fd ok(syscall(SYS_openat2, at.get(), "f", &how, sizeof(how)));
  EXPECT_OK(ok.get());
  EXPECT_ERRNO(syscall(SYS_openat2, at.get(), "..", &how, sizeof(how)), EXDEV);
  EXPECT_ERRNO(syscall(SYS_openat2, at.get(), "abs", &how, sizeof(how)), EXDEV);
  EXPECT_ERRNO(syscall(SYS_openat2, at.get(), "/", &how, sizeof(how)), EXDEV);
  how.resolve = 0x04;  // RESOLVE_NO_SYMLINKS
  EXPECT_ERRNO(syscall(SYS_openat2, at.get(), "abs", &how, sizeof(how)), ELOOP);
  EXPECT_ERRNO(syscall(SYS_openat2, at.get(), "f", &how, 8), EINVAL);
  how.flags = O_RDONLY | 0x40000000;  // Unlike open, openat2 refuses unknown flags.
  EXPECT_ERRNO(syscall(SYS_openat2, at.get(), "f", &how, sizeof(how)), EINVAL);
}

}  // namespace
}  // namespace conformance
