// link(2), symlink(2), readlink(2), unlink(2), rename(2)
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

ino_t Inode(const std::string& path) {
  struct stat st = {};
  EXPECT_OK(lstat(path.c_str(), &st));
  return st.st_ino;
}
bool Exists(const std::string& path) {
  struct stat st;
  return lstat(path.c_str(), &st) == 0;
}

TEST(Link, Errors) {
  TempDir dir;
  std::string file = dir.File("f");
  ASSERT_OK(mkdir((dir / "d").c_str(), 0755));
  EXPECT_ERRNO(link(file.c_str(), file.c_str()), EEXIST);
  EXPECT_ERRNO(link((dir / "none").c_str(), (dir / "x").c_str()), ENOENT);
  EXPECT_ERRNO(link((dir / "d").c_str(), (dir / "x").c_str()), EPERM);
  EXPECT_ERRNO(link(file.c_str(), (dir / "no/x").c_str()), ENOENT);
  EXPECT_ERRNO(link("/proc/self/status", (dir / "x").c_str()), EXDEV);
  EXPECT_ERRNO(linkat(AT_FDCWD, file.c_str(), AT_FDCWD, (dir / "x").c_str(), 0x40000000), EINVAL);
}

TEST(Link, SymlinkItselfUnlessFollow) {
  TempDir dir;
  std::string file = dir.File("f"), l = dir / "l";
  ASSERT_OK(symlink("f", l.c_str()));
  ASSERT_OK(link(l.c_str(), (dir / "a").c_str()));
  EXPECT_EQ(Inode(dir / "a"), Inode(l));
  ASSERT_OK(linkat(AT_FDCWD, l.c_str(), AT_FDCWD, (dir / "b").c_str(), AT_SYMLINK_FOLLOW));
  EXPECT_EQ(Inode(dir / "b"), Inode(file));
}

TEST(Link, EmptyPathOfDescriptor) {
  TempDir dir;
  Fd fd(open(dir.File("f", "x").c_str(), O_RDONLY));
  ASSERT_OK(linkat(fd, "", AT_FDCWD, (dir / "g").c_str(), AT_EMPTY_PATH));
  EXPECT_EQ(ReadFile(dir / "g"), "x");
}

TEST(Symlink, KeepsItsTextAndFollowsRelatively) {
  TempDir dir;
  ASSERT_OK(mkdir((dir / "d").c_str(), 0755));
  dir.File("f", "content");
  ASSERT_OK(symlink("../f", (dir / "d/l").c_str()));
  EXPECT_EQ(ReadFile(dir / "d/l"), "content");
  char target[16] = {};
  EXPECT_EQ(readlink((dir / "d/l").c_str(), target, sizeof(target)), 4);
  EXPECT_STREQ(target, "../f");
}

TEST(Symlink, Errors) {
  TempDir dir;
  std::string file = dir.File("f");
  EXPECT_ERRNO(symlink("x", file.c_str()), EEXIST);
  EXPECT_ERRNO(symlink("", (dir / "l").c_str()), ENOENT);
  EXPECT_ERRNO(symlink("x", (dir / "no/l").c_str()), ENOENT);
  EXPECT_ERRNO(symlink(std::string(PATH_MAX, 'x').c_str(), (dir / "l").c_str()), ENAMETOOLONG);
  EXPECT_ERRNO(symlink(BadPointer<char>(), (dir / "l").c_str()), EFAULT);
}

TEST(Readlink, TruncatesSilentlyAndChecksArguments) {
  TempDir dir;
  std::string l = dir / "l", file = dir.File("f");
  ASSERT_OK(symlink("0123456789", l.c_str()));
  char buffer[16] = "zzzzzzzzzzzzzzz";
  EXPECT_EQ(readlink(l.c_str(), buffer, 4), 4);
  EXPECT_EQ(std::string(buffer, 5), "0123z") << "no terminator is added";
  EXPECT_ERRNO(syscall(SYS_readlink, l.c_str(), buffer, 0), EINVAL);
  EXPECT_ERRNO(readlink(file.c_str(), buffer, 16), EINVAL);
  EXPECT_ERRNO(readlink((dir / "none").c_str(), buffer, 16), ENOENT);
  EXPECT_ERRNO(readlink(l.c_str(), BadPointer<char>(), 16), EFAULT);
}

TEST(Unlink, Errors) {
  TempDir dir;
  std::string file = dir.File("f");
  ASSERT_OK(mkdir((dir / "d").c_str(), 0755));
  EXPECT_ERRNO(unlink((dir / "none").c_str()), ENOENT);
  EXPECT_ERRNO(unlink((dir / "d").c_str()), EISDIR);
  EXPECT_ERRNO(unlink((file + "/").c_str()), ENOTDIR);
  EXPECT_ERRNO(unlink(""), ENOENT);
  EXPECT_ERRNO(unlinkat(AT_FDCWD, file.c_str(), AT_REMOVEDIR), ENOTDIR);
  EXPECT_ERRNO(unlinkat(AT_FDCWD, file.c_str(), 0x1), EINVAL);
  EXPECT_OK(unlinkat(AT_FDCWD, (dir / "d").c_str(), AT_REMOVEDIR));
}

TEST(Unlink, RemovesTheSymlinkNotItsTarget) {
  TempDir dir;
  dir.File("f");
  ASSERT_OK(symlink("f", (dir / "l").c_str()));
  ASSERT_OK(unlink((dir / "l").c_str()));
  EXPECT_TRUE(Exists(dir / "f"));
}

TEST(Unlink, StickyDirectoryProtectsOthersFiles) {
  TempDir dir;
  ASSERT_OK(chmod(dir.c_str(), 01777));
  std::string file = dir.File("f");
  EXPECT_EXITED(RunChild([&] {
                  CHILD_CHECK(setresgid(1000, 1000, 1000) == 0);
                  CHILD_CHECK(setresuid(1000, 1000, 1000) == 0);
                  CHILD_ERRNO(unlink(file.c_str()), EPERM);
                  CHILD_ERRNO(rename(file.c_str(), (dir / "g").c_str()), EPERM);
                  return 0;
                }),
                0);
}

TEST(Rename, ReplacesTheTargetKeepingTheInode) {
  TempDir dir;
  std::string a = dir.File("a", "new"), b = dir.File("b", "old");
  ino_t inode = Inode(a);
  Fd old(open(b.c_str(), O_RDONLY));
  ASSERT_OK(rename(a.c_str(), b.c_str()));
  EXPECT_FALSE(Exists(a));
  EXPECT_EQ(Inode(b), inode);
  EXPECT_EQ(ReadFile(b), "new");
  EXPECT_EQ(ReadAll(old), "old");
}

TEST(Rename, DirectoryMovesWithItsContent) {
  TempDir dir;
  ASSERT_OK(mkdir((dir / "a").c_str(), 0755));
  ASSERT_OK(mkdir((dir / "b").c_str(), 0755));
  dir.File("a/f", "x");
  ASSERT_OK(rename((dir / "a").c_str(), (dir / "b").c_str())) << "onto an empty directory";
  EXPECT_EQ(ReadFile(dir / "b/f"), "x");
  ASSERT_OK(mkdir((dir / "c").c_str(), 0755));
  ASSERT_OK(rename((dir / "b").c_str(), (dir / "c/b").c_str()));
  EXPECT_EQ(Inode(dir / "c/b/.."), Inode(dir / "c")) << "its parent has changed";
}

TEST(Rename, HardLinksOfTheSameFileStay) {
  TempDir dir;
  std::string a = dir.File("a"), b = dir / "b";
  ASSERT_OK(link(a.c_str(), b.c_str()));
  ASSERT_OK(rename(a.c_str(), b.c_str()));
  EXPECT_TRUE(Exists(a) && Exists(b));
}

TEST(Rename, Errors) {
  TempDir dir;
  std::string f = dir.File("f"), d = dir / "d", full = dir / "full";
  ASSERT_OK(mkdir(d.c_str(), 0755));
  ASSERT_OK(mkdir(full.c_str(), 0755));
  dir.File("full/x");
  EXPECT_ERRNO(rename((dir / "none").c_str(), f.c_str()), ENOENT);
  EXPECT_ERRNO(rename(f.c_str(), d.c_str()), EISDIR);
  EXPECT_ERRNO(rename(d.c_str(), f.c_str()), ENOTDIR);
  EXPECT_ERRNO(rename(d.c_str(), full.c_str()), ENOTEMPTY);
  EXPECT_ERRNO(rename(d.c_str(), (d + "/sub").c_str()), EINVAL) << "into itself";
  EXPECT_ERRNO(rename((full + "/x").c_str(), full.c_str()), ENOTEMPTY) << "over its parent";
  EXPECT_ERRNO(rename((d + "/.").c_str(), (dir / "e").c_str()), EBUSY);
  EXPECT_ERRNO(rename((d + "/..").c_str(), (dir / "e").c_str()), EBUSY);
  EXPECT_ERRNO(rename(f.c_str(), "/proc/x"), EXDEV);
  EXPECT_ERRNO(rename((f + "/").c_str(), (dir / "e").c_str()), ENOTDIR);
}

TEST(Renameat2, NoreplaceAndExchange) {
  TempDir dir;
  std::string a = dir.File("a", "A"), b = dir.File("b", "B");
  auto renameat2 = [](const std::string& from, const std::string& to, unsigned flags) {
    return syscall(SYS_renameat2, AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), flags);
  };
  EXPECT_ERRNO(renameat2(a, b, 1), EEXIST);
  EXPECT_OK(renameat2(a, b, 2));
  EXPECT_EQ(ReadFile(a) + ReadFile(b), "BA");
  EXPECT_OK(renameat2(a, dir / "c", 1));
  EXPECT_ERRNO(renameat2(a, b, 2), ENOENT);
  EXPECT_ERRNO(renameat2(b, dir / "c", 3), EINVAL);
  EXPECT_ERRNO(renameat2(b, dir / "c", 0x80), EINVAL);
}

TEST(Rename, WorkingDirectoryFollows) {
  TempDir dir;
  ASSERT_OK(mkdir((dir / "a").c_str(), 0755));
  EXPECT_EXITED(RunChild([&] {
                  CHILD_CHECK(chdir((dir / "a").c_str()) == 0);
                  CHILD_CHECK(rename((dir / "a").c_str(), (dir / "b").c_str()) == 0);
                  char cwd[PATH_MAX];
                  CHILD_CHECK(getcwd(cwd, sizeof(cwd)) != nullptr);
                  CHILD_CHECK(dir / "b" == cwd);
                  return 0;
                }),
                0);
}

TEST(Rename, ConcurrentReplaceIsNeverAbsent) {
  TempDir dir;
  std::string target = dir.File("t", "0");
  std::thread writer([&] {
    for (int i = 0; i < 200; i++) {
      std::string temporary = dir.File("tmp", "0");
      EXPECT_OK(rename(temporary.c_str(), target.c_str()));
    }
  });
  for (int i = 0; i < 500; i++) EXPECT_TRUE(Exists(target));
  writer.join();
}

TEST(PathWalk, DotsSlashesAndSymlinkedParents) {
  TempDir dir;
  ASSERT_OK(mkdir((dir / "d").c_str(), 0755));
  ASSERT_OK(mkdir((dir / "e").c_str(), 0755));
  dir.File("f", "x");
  ASSERT_OK(symlink("../e", (dir / "d/to-e").c_str()));
  EXPECT_EQ(ReadFile(dir / "d//.././//f"), "x");
  // ".." is resolved after the link, by the file system and not by text.
  EXPECT_EQ(ReadFile(dir / "d/to-e/../f"), "x");
  struct stat st;
  EXPECT_ERRNO(stat((dir / "none/../f").c_str(), &st), ENOENT);
  EXPECT_ERRNO(stat((dir / "f/../f").c_str(), &st), ENOTDIR);
  EXPECT_EQ(Inode("/.."), Inode("/"));
}

}  // namespace
}  // namespace conformance
