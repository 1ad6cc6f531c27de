// umask(2), chdir(2), getcwd(2), chroot(2)
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "util/check.h"
#include "util/child.h"
#include "util/fd.h"
#include "util/memory.h"
#include "util/temp_dir.h"

namespace conformance {
namespace {

std::string Cwd() {
  char path[PATH_MAX];
  return getcwd(path, sizeof(path)) == nullptr ? "(error)" : path;
}

TEST(Umask, ReturnsTheOldAndKeepsNineBits) {
  EXPECT_EXITED(RunChild([] {
                  umask(0123);
                  CHILD_CHECK(umask(07777) == 0123);
                  CHILD_CHECK(umask(0) == 0777);
                  return 0;
                }),
                0);
}

TEST(Chdir, RelativePathsFollow) {
  TempDir dir;
  ASSERT_OK(mkdir((dir / "d").c_str(), 0755));
  dir.File("d/f", "x");
  EXPECT_EXITED(RunChild([&] {
                  CHILD_CHECK(chdir(dir.c_str()) == 0 && Cwd() == dir.path());
                  CHILD_CHECK(chdir("d") == 0 && Cwd() == dir / "d");
                  CHILD_CHECK(access("f", F_OK) == 0);
                  CHILD_CHECK(chdir("..") == 0 && Cwd() == dir.path());
                  int fd = open("d", O_PATH);
                  CHILD_CHECK(fchdir(fd) == 0 && Cwd() == dir / "d");
                  return 0;
                }),
                0);
}

TEST(Chdir, Errors) {
  TempDir dir;
  std::string file = dir.File("f");
  EXPECT_ERRNO(chdir((dir / "none").c_str()), ENOENT);
  EXPECT_ERRNO(chdir(file.c_str()), ENOTDIR);
  EXPECT_ERRNO(chdir(""), ENOENT);
  EXPECT_ERRNO(chdir(BadPointer<char>()), EFAULT);
  Fd fd(open(file.c_str(), O_RDONLY));
  EXPECT_ERRNO(fchdir(fd), ENOTDIR);
  EXPECT_ERRNO(fchdir(-1), EBADF);
  ASSERT_OK(mkdir((dir / "closed").c_str(), 0700));
  EXPECT_EXITED(RunChild([&] {
                  CHILD_CHECK(setresuid(1000, 1000, 1000) == 0);
                  CHILD_ERRNO(chdir((dir / "closed").c_str()), EACCES);
                  return 0;
                }),
                0);
}

TEST(Getcwd, SizeAndDeletedDirectory) {
  TempDir dir;
  ASSERT_OK(mkdir((dir / "d").c_str(), 0755));
  EXPECT_EXITED(RunChild([&] {
                  char buffer[PATH_MAX];
                  CHILD_CHECK(chdir("/") == 0);
                  CHILD_CHECK(syscall(SYS_getcwd, buffer, 2) == 2 && std::string(buffer) == "/");
                  CHILD_ERRNO(syscall(SYS_getcwd, buffer, 1), ERANGE);
                  CHILD_ERRNO(syscall(SYS_getcwd, BadPointer(), 100), EFAULT);
                  CHILD_CHECK(chdir((dir / "d").c_str()) == 0);
                  CHILD_CHECK(rmdir((dir / "d").c_str()) == 0);
                  CHILD_ERRNO(syscall(SYS_getcwd, buffer, sizeof(buffer)), ENOENT);
                  CHILD_ERRNO(open("f", O_RDWR | O_CREAT, 0644), ENOENT);
                  CHILD_CHECK(chdir("..") == 0 && Cwd() == dir.path());
                  return 0;
                }),
                0);
}

TEST(Chroot, ConfinesAbsolutePathsAndDots) {
  TempDir dir;
  ASSERT_OK(mkdir((dir / "root").c_str(), 0755));
  dir.File("root/inside");
  dir.File("outside");
  ASSERT_OK(symlink("/inside", (dir / "root/link").c_str()));
  EXPECT_EXITED(RunChild([&] {
                  CHILD_CHECK(chdir((dir / "root").c_str()) == 0);
                  CHILD_CHECK(chroot(".") == 0);
                  CHILD_CHECK(Cwd() == "/");
                  CHILD_CHECK(access("/inside", F_OK) == 0);
                  CHILD_CHECK(access("/link", F_OK) == 0);
                  CHILD_ERRNO(access("/../outside", F_OK), ENOENT);
                  CHILD_ERRNO(access("../outside", F_OK), ENOENT);
                  return 0;
                }),
                0);
}

TEST(Chroot, WorkingDirectoryOutsideIsMarked) {
  TempDir dir;
  ASSERT_OK(mkdir((dir / "root").c_str(), 0755));
  EXPECT_EXITED(RunChild([&] {
                  CHILD_CHECK(chdir(dir.c_str()) == 0);
                  CHILD_CHECK(chroot("root") == 0);
                  char buffer[PATH_MAX] = {};
                  CHILD_CHECK(syscall(SYS_getcwd, buffer, sizeof(buffer)) > 0);
                  CHILD_CHECK(std::string(buffer).rfind("(unreachable)", 0) == 0);
                  return 0;
                }),
                0);
}

TEST(Chroot, Errors) {
  TempDir dir;
  EXPECT_ERRNO(chroot((dir / "none").c_str()), ENOENT);
  EXPECT_ERRNO(chroot(dir.File("f").c_str()), ENOTDIR);
  EXPECT_EXITED(RunChild([&] {
                  CHILD_CHECK(setresuid(1000, 1000, 1000) == 0);
                  CHILD_ERRNO(chroot(dir.c_str()), EPERM);
                  return 0;
                }),
                0);
}

}  // namespace
}  // namespace conformance
