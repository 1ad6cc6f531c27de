// mkdir(2), rmdir(2), getdents(2)
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <map>
#include <set>

#include "util/check.h"
#include "util/child.h"
#include "util/fd.h"
#include "util/memory.h"
#include "util/temp_dir.h"

namespace conformance {
namespace {

// Entries with their types, read with a buffer of a given size.
std::multimap<std::string, unsigned char> List(int fd, size_t buffer_size = 4096) {
  std::multimap<std::string, unsigned char> entries;
  std::vector<char> buffer(buffer_size);
  long n;
  while ((n = syscall(SYS_getdents64, fd, buffer.data(), buffer.size())) > 0) {
    for (long at = 0; at < n;) {
      auto* entry = reinterpret_cast<dirent64*>(buffer.data() + at);
      entries.emplace(entry->d_name, entry->d_type);
      at += entry->d_reclen;
    }
  }
  EXPECT_EQ(n, 0) << strerror(errno);
  return entries;
}
std::multimap<std::string, unsigned char> List(const std::string& path, size_t size = 4096) {
  Fd fd(open(path.c_str(), O_RDONLY | O_DIRECTORY));
  EXPECT_TRUE(fd.ok());
  return List(fd.get(), size);
}

TEST(Mkdir, ModeUmaskAndSetgidInheritance) {
  TempDir dir;
  mode_t old = umask(022);
  ASSERT_OK(mkdir((dir / "d").c_str(), 0777));
  umask(old);
  struct stat st;
  ASSERT_OK(stat((dir / "d").c_str(), &st));
  EXPECT_EQ(st.st_mode, mode_t{S_IFDIR | 0755});
  ASSERT_OK(chown((dir / "d").c_str(), 0, 1234));
  ASSERT_OK(chmod((dir / "d").c_str(), 02755));
  ASSERT_OK(mkdir((dir / "d/sub").c_str(), 0755));
  ASSERT_OK(stat((dir / "d/sub").c_str(), &st));
  EXPECT_EQ(st.st_gid, 1234u);
  EXPECT_EQ(st.st_mode & 02000, 02000u);
}

TEST(Mkdir, Errors) {
  TempDir dir;
  std::string file = dir.File("f");
  EXPECT_ERRNO(mkdir(dir.c_str(), 0755), EEXIST);
  EXPECT_ERRNO(mkdir(file.c_str(), 0755), EEXIST);
  EXPECT_ERRNO(mkdir((dir / "no/d").c_str(), 0755), ENOENT);
  EXPECT_ERRNO(mkdir((file + "/d").c_str(), 0755), ENOTDIR);
  EXPECT_ERRNO(mkdir("", 0755), ENOENT);
  EXPECT_ERRNO(mkdir("/", 0755), EEXIST);
  EXPECT_ERRNO(mkdir((dir / ".").c_str(), 0755), EEXIST);
  EXPECT_ERRNO(mkdir((dir / std::string(256, 'x')).c_str(), 0755), ENAMETOOLONG);
  EXPECT_ERRNO(mkdir(BadPointer<char>(), 0755), EFAULT);
  ASSERT_OK(symlink("target", (dir / "link").c_str()));
  EXPECT_ERRNO(mkdir((dir / "link").c_str(), 0755), EEXIST);
  EXPECT_OK(mkdir((dir / "slash/").c_str(), 0755)) << "a trailing slash is fine";
}

TEST(Rmdir, Errors) {
  TempDir dir;
  ASSERT_OK(mkdir((dir / "full").c_str(), 0755));
  dir.File("full/f");
  EXPECT_ERRNO(rmdir((dir / "full").c_str()), ENOTEMPTY);
  EXPECT_ERRNO(rmdir((dir / "full/f").c_str()), ENOTDIR);
  EXPECT_ERRNO(rmdir((dir / "none").c_str()), ENOENT);
  EXPECT_ERRNO(rmdir((dir / "full/.").c_str()), EINVAL);
  EXPECT_ERRNO(rmdir((dir / "full/..").c_str()), ENOTEMPTY);
  EXPECT_ERRNO(rmdir("/"), EBUSY);
  ASSERT_OK(symlink("full", (dir / "link").c_str()));
  EXPECT_ERRNO(rmdir((dir / "link").c_str()), ENOTDIR);
}

TEST(Rmdir, RemovedDirectoryStaysUsableButDead) {
  TempDir dir;
  ASSERT_OK(mkdir((dir / "d").c_str(), 0755));
  Fd fd(open((dir / "d").c_str(), O_RDONLY | O_DIRECTORY));
  ASSERT_OK(rmdir((dir / "d").c_str()));
  EXPECT_ERRNO(openat(fd, "f", O_RDWR | O_CREAT, 0644), ENOENT);
  EXPECT_ERRNO(mkdirat(fd, "sub", 0755), ENOENT);
  struct stat st;
  ASSERT_OK(fstat(fd, &st));
  EXPECT_EQ(st.st_nlink, 0u);
}

TEST(Getdents, DotsAndTypes) {
  TempDir dir;
  dir.File("file");
  ASSERT_OK(mkdir((dir / "dir").c_str(), 0755));
  ASSERT_OK(symlink("x", (dir / "link").c_str()));
  ASSERT_OK(mkfifo((dir / "fifo").c_str(), 0644));
  auto entries = List(dir.path());
  std::multimap<std::string, unsigned char> expected = {{".", DT_DIR},    {"..", DT_DIR},
                                                        {"file", DT_REG}, {"dir", DT_DIR},
                                                        {"link", DT_LNK}, {"fifo", DT_FIFO}};
  EXPECT_EQ(entries, expected);
}

TEST(Getdents, ManyEntriesThroughASmallBufferExactlyOnce) {
  TempDir dir;
  std::set<std::string> names = {".", ".."};
  for (int i = 0; i < 500; i++) {
    std::string name = "entry-" + std::to_string(i);
    dir.File(name);
    names.insert(name);
  }
  auto entries = List(dir.path(), 300);
  EXPECT_EQ(entries.size(), names.size());
  for (auto& name : names) EXPECT_EQ(entries.count(name), 1u) << name;
}

TEST(Getdents, RemovalWhileListingLosesNothingElse) {
  TempDir dir;
  for (int i = 0; i < 200; i++) dir.File("e" + std::to_string(i));
  Fd fd(open(dir.c_str(), O_RDONLY | O_DIRECTORY));
  char buffer[512];
  int seen = 0;
  long n;
  // What rm -r does: list some, delete them, go on.
  while ((n = syscall(SYS_getdents64, fd.get(), buffer, sizeof(buffer))) > 0) {
    for (long at = 0; at < n;) {
      auto* entry = reinterpret_cast<dirent64*>(buffer + at);
      at += entry->d_reclen;
      if (entry->d_name[0] == '.') continue;
      seen++;
      EXPECT_OK(unlinkat(fd, entry->d_name, 0));
    }
  }
  EXPECT_EQ(seen, 200);
}

TEST(Getdents, InodeNumbersMatchStat) {
  TempDir dir;
  dir.File("f");
  Fd fd(open(dir.c_str(), O_RDONLY | O_DIRECTORY));
  char buffer[1024];
  long n = syscall(SYS_getdents64, fd.get(), buffer, sizeof(buffer));
  for (long at = 0; at < n;) {
    auto* entry = reinterpret_cast<dirent64*>(buffer + at);
    at += entry->d_reclen;
    if (std::string(entry->d_name) != "f") continue;
    struct stat st;
    ASSERT_OK(fstatat(fd, "f", &st, 0));
    EXPECT_EQ(entry->d_ino, st.st_ino);
  }
}

TEST(Getdents, SeekdirReturnsToAPosition) {
  TempDir dir;
  for (int i = 0; i < 20; i++) dir.File("e" + std::to_string(i));
  DIR* d = opendir(dir.c_str());
  ASSERT_NE(d, nullptr);
  for (int i = 0; i < 10; i++) readdir(d);
  long position = telldir(d);
  std::string next = readdir(d)->d_name;
  while (readdir(d) != nullptr) {
  }
  seekdir(d, position);
  EXPECT_EQ(readdir(d)->d_name, next);
  closedir(d);
}

TEST(Getdents, Errors) {
  TempDir dir;
  char buffer[1024];
  Fd file(open(dir.File("f").c_str(), O_RDONLY)), fd(open(dir.c_str(), O_RDONLY));
  EXPECT_ERRNO(syscall(SYS_getdents64, file.get(), buffer, sizeof(buffer)), ENOTDIR);
  EXPECT_ERRNO(syscall(SYS_getdents64, -1, buffer, sizeof(buffer)), EBADF);
  EXPECT_ERRNO(syscall(SYS_getdents64, fd.get(), buffer, 8), EINVAL);
  EXPECT_ERRNO(syscall(SYS_getdents64, fd.get(), BadPointer(), 1024), EFAULT);
}

}  // namespace
}  // namespace conformance
