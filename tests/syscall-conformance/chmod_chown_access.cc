// chmod(2), chown(2), access(2) and the permission checks of files
#include <fcntl.h>
#include <grp.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "util/check.h"
#include "util/child.h"
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

// Runs `body` as an ordinary user.
int AsUser(uid_t uid, gid_t gid, const std::function<int()>& body) {
  return RunChild([&] {
    CHILD_CHECK(setgroups(0, nullptr) == 0);
    CHILD_CHECK(setresgid(gid, gid, gid) == 0);
    CHILD_CHECK(setresuid(uid, uid, uid) == 0);
    return body();
  });
}

TEST(Chmod, SetsAllTwelveBits) {
  TempDir dir;
  std::string path = dir.File("f");
  for (mode_t mode : {0u, 0777u, 04755u, 02755u, 01777u, 07777u}) {
    ASSERT_OK(chmod(path.c_str(), mode));
    EXPECT_EQ(StatOf(path).st_mode, S_IFREG | mode);
  }
  Fd fd(open(path.c_str(), O_RDONLY));
  ASSERT_OK(fchmod(fd, 0600));
  EXPECT_EQ(StatOf(path).st_mode, mode_t{S_IFREG | 0600});
  ASSERT_OK(chmod(path.c_str(), 0170644)) << "type bits are ignored";
  EXPECT_EQ(StatOf(path).st_mode, mode_t{S_IFREG | 0644});
}

TEST(Chmod, FollowsSymlinks) {
  TempDir dir;
  std::string path = dir.File("f");
  ASSERT_OK(symlink("f", (dir / "l").c_str()));
  ASSERT_OK(chmod((dir / "l").c_str(), 0400));
  EXPECT_EQ(StatOf(path).st_mode & 07777, 0400u);
}

TEST(Chmod, Errors) {
  TempDir dir;
  std::string path = dir.File("f");
  EXPECT_ERRNO(chmod((dir / "none").c_str(), 0644), ENOENT);
  EXPECT_ERRNO(fchmod(-1, 0644), EBADF);
  EXPECT_ERRNO(chmod(BadPointer<char>(), 0644), EFAULT);
  EXPECT_EXITED(AsUser(1000, 1000,
                       [&] {
                         CHILD_ERRNO(chmod(path.c_str(), 0777), EPERM);
                         return 0;
                       }),
                0);
}

TEST(Chmod, OwnerOutsideTheGroupLosesSetgid) {
  TempDir dir;
  std::string path = dir.File("f");
  ASSERT_OK(chown(path.c_str(), 1000, 2000));
  EXPECT_EXITED(AsUser(1000, 1000, [&] { return chmod(path.c_str(), 02755); }), 0);
  EXPECT_EQ(StatOf(path).st_mode & 07777, 0755u);
}

TEST(Chown, ChangesBothOrOne) {
  TempDir dir;
  std::string path = dir.File("f");
  ASSERT_OK(chown(path.c_str(), 11, 22));
  ASSERT_OK(chown(path.c_str(), -1, 33));
  EXPECT_EQ(StatOf(path).st_uid, 11u);
  EXPECT_EQ(StatOf(path).st_gid, 33u);
  ASSERT_OK(chown(path.c_str(), 44, -1));
  EXPECT_EQ(StatOf(path).st_uid, 44u);
  Fd fd(open(path.c_str(), O_RDONLY));
  ASSERT_OK(fchown(fd, 1, 2));
  EXPECT_EQ(StatOf(path).st_gid, 2u);
  ASSERT_OK(fchownat(fd, "", 3, 4, AT_EMPTY_PATH));
  EXPECT_EQ(StatOf(path).st_uid, 3u);
}

TEST(Chown, LchownChangesTheLink) {
  TempDir dir;
  std::string path = dir.File("f");
  ASSERT_OK(symlink("f", (dir / "l").c_str()));
  ASSERT_OK(lchown((dir / "l").c_str(), 5, 6));
  EXPECT_EQ(StatOf(dir / "l").st_uid, 5u);
  EXPECT_EQ(StatOf(path).st_uid, geteuid());
}

TEST(Chown, ClearsSetuidAndSetgid) {
  TempDir dir;
  std::string path = dir.File("f");
  ASSERT_OK(chmod(path.c_str(), 06755));
  ASSERT_OK(chown(path.c_str(), 11, 22));
  EXPECT_EQ(StatOf(path).st_mode & 07777, 0755u);
  ASSERT_OK(chmod(path.c_str(), 02644));
  ASSERT_OK(chown(path.c_str(), 11, 22));
  EXPECT_EQ(StatOf(path).st_mode & 02000, 02000u) << "without group execute it is not setgid";
}

TEST(Chown, WriteByAUserClearsSetuid) {
  TempDir dir;
  std::string path = dir.File("f");
  ASSERT_OK(chmod(path.c_str(), 04777));
  EXPECT_EXITED(AsUser(1000, 1000,
                       [&] {
                         Fd fd(open(path.c_str(), O_WRONLY));
                         return write(fd, "x", 1) == 1 ? 0 : 1;
                       }),
                0);
  EXPECT_EQ(StatOf(path).st_mode & 07777, 0777u);
}

TEST(Chown, UserMayOnlyGiveToOwnGroup) {
  TempDir dir;
  std::string path = dir.File("f");
  ASSERT_OK(chown(path.c_str(), 1000, 1000));
  EXPECT_EXITED(RunChild([&] {
                  gid_t groups[] = {3000};
                  CHILD_CHECK(setgroups(1, groups) == 0);
                  CHILD_CHECK(setresgid(1000, 1000, 1000) == 0);
                  CHILD_CHECK(setresuid(1000, 1000, 1000) == 0);
                  CHILD_CHECK(chown(path.c_str(), -1, 3000) == 0);
                  CHILD_ERRNO(chown(path.c_str(), -1, 4000), EPERM);
                  CHILD_ERRNO(chown(path.c_str(), 1001, -1), EPERM);
                  return 0;
                }),
                0);
}

TEST(Access, RootReadsAllButExecutesOnlyWithABit) {
  TempDir dir;
  std::string path = dir.File("f");
  ASSERT_OK(chmod(path.c_str(), 0));
  EXPECT_OK(access(path.c_str(), R_OK | W_OK));
  EXPECT_ERRNO(access(path.c_str(), X_OK), EACCES);
  ASSERT_OK(chmod(path.c_str(), 0001));
  EXPECT_OK(access(path.c_str(), X_OK));
}

TEST(Access, Errors) {
  TempDir dir;
  std::string path = dir.File("f");
  EXPECT_ERRNO(access((dir / "none").c_str(), F_OK), ENOENT);
  EXPECT_ERRNO(access(path.c_str(), 8), EINVAL);
  EXPECT_ERRNO(access(BadPointer<char>(), F_OK), EFAULT);
  EXPECT_ERRNO(syscall(SYS_faccessat2, AT_FDCWD, path.c_str(), F_OK, 0x40000000), EINVAL);
}

TEST(Access, UsesTheRealNotTheEffectiveUser) {
  TempDir dir;
  std::string path = dir.File("f");
  ASSERT_OK(chmod(path.c_str(), 0600));
  EXPECT_EXITED(RunChild([&] {
                  CHILD_CHECK(setresuid(1000, 0, 0) == 0);
                  CHILD_ERRNO(access(path.c_str(), R_OK), EACCES);
                  CHILD_CHECK(syscall(SYS_faccessat2, AT_FDCWD, path.c_str(), R_OK, AT_EACCESS) ==
                              0);
                  CHILD_CHECK(open(path.c_str(), O_RDONLY) >= 0);
                  return 0;
                }),
                0);
}

TEST(Permission, OwnerGroupAndOtherAreExclusive) {
  TempDir dir;
  std::string path = dir.File("f", "x");
  ASSERT_OK(chown(path.c_str(), 1000, 2000));
  ASSERT_OK(chmod(path.c_str(), 0077));
  // The owner is judged by the owner's bits even when others would be allowed.
  EXPECT_EXITED(AsUser(1000, 2000,
                       [&] {
                         CHILD_ERRNO(open(path.c_str(), O_RDONLY), EACCES);
                         return 0;
                       }),
                0);
  EXPECT_EXITED(AsUser(1001, 2000, [&] { return open(path.c_str(), O_RDWR) < 0; }), 0);
  EXPECT_EXITED(AsUser(1001, 2001, [&] { return open(path.c_str(), O_RDWR) < 0; }), 0);
}

TEST(Permission, SupplementaryGroupCounts) {
  TempDir dir;
  std::string path = dir.File("f", "x");
  ASSERT_OK(chown(path.c_str(), 0, 2000));
  ASSERT_OK(chmod(path.c_str(), 0040));
  EXPECT_EXITED(RunChild([&] {
                  gid_t groups[] = {2000};
                  CHILD_CHECK(setgroups(1, groups) == 0);
                  CHILD_CHECK(setresgid(1000, 1000, 1000) == 0);
                  CHILD_CHECK(setresuid(1000, 1000, 1000) == 0);
                  CHILD_CHECK(open(path.c_str(), O_RDONLY) >= 0);
                  CHILD_ERRNO(open(path.c_str(), O_WRONLY), EACCES);
                  return 0;
                }),
                0);
}

TEST(Permission, DirectoryBits) {
  TempDir dir;
  ASSERT_OK(mkdir((dir / "d").c_str(), 0755));
  std::string file = dir.File("d/f");
  ASSERT_OK(chmod((dir / "d").c_str(), 0744));
  EXPECT_EXITED(AsUser(1000, 1000,
                       [&] {
                         CHILD_ERRNO(open(file.c_str(), O_RDONLY), EACCES);
                         CHILD_CHECK(open((dir / "d").c_str(), O_RDONLY) >= 0);
                         return 0;
                       }),
                0);
  ASSERT_OK(chmod((dir / "d").c_str(), 0711));
  EXPECT_EXITED(AsUser(1000, 1000,
                       [&] {
                         CHILD_CHECK(open(file.c_str(), O_RDONLY) >= 0);
                         CHILD_ERRNO(open((dir / "d").c_str(), O_RDONLY), EACCES);
                         CHILD_ERRNO(unlink(file.c_str()), EACCES);
                         CHILD_ERRNO(mkdir((dir / "d/x").c_str(), 0755), EACCES);
                         return 0;
                       }),
                0);
}

TEST(Permission, NewFilesBelongToTheFsuid) {
  TempDir dir;
  ASSERT_OK(chmod(dir.c_str(), 0777));
  EXPECT_EXITED(AsUser(1000, 2000,
                       [&] { return open((dir / "f").c_str(), O_WRONLY | O_CREAT, 0644) < 0; }),
                0);
  EXPECT_EQ(StatOf(dir / "f").st_uid, 1000u);
  EXPECT_EQ(StatOf(dir / "f").st_gid, 2000u);
}

}  // namespace
}  // namespace conformance
