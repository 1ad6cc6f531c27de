// xattr(7), the user.* attributes, which some file systems lack (tmpfs before Linux 6.6).
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "util/check.h"
#include "util/child.h"
#include "util/fd.h"
#include "util/memory.h"
#include "util/temp_dir.h"

namespace conformance {
namespace {

struct Xattr : testing::Test {
  void SetUp() override {
    if (setxattr(path.c_str(), "user.probe", "", 0, 0) == -1 && errno == EOPNOTSUPP) {
      GTEST_SKIP() << "no user attributes here";
    }
    ASSERT_OK(removexattr(path.c_str(), "user.probe"));
  }
  TempDir dir;
  std::string path = dir.File("f");
};

TEST_F(Xattr, SetGetListRemove) {
  const char* p = path.c_str();
  ASSERT_OK(setxattr(p, "user.a", "value", 5, 0));
  char buffer[64] = {};
  EXPECT_EQ(getxattr(p, "user.a", buffer, sizeof(buffer)), 5);
  EXPECT_STREQ(buffer, "value");
  EXPECT_EQ(getxattr(p, "user.a", nullptr, 0), 5);
  ASSERT_OK(setxattr(p, "user.b", "", 0, 0));
  ssize_t n = listxattr(p, buffer, sizeof(buffer));
  std::string names(buffer, n > 0 ? n : 0);
  EXPECT_NE(names.find(std::string("user.a\0", 7)), std::string::npos);
  EXPECT_NE(names.find(std::string("user.b\0", 7)), std::string::npos);
  EXPECT_EQ(listxattr(p, nullptr, 0), n);
  ASSERT_OK(removexattr(p, "user.a"));
  EXPECT_ERRNO(getxattr(p, "user.a", buffer, sizeof(buffer)), ENODATA);
  EXPECT_ERRNO(removexattr(p, "user.a"), ENODATA);
}

TEST_F(Xattr, CreateAndReplaceFlags) {
  const char* p = path.c_str();
  EXPECT_ERRNO(setxattr(p, "user.a", "1", 1, XATTR_REPLACE), ENODATA);
  EXPECT_OK(setxattr(p, "user.a", "1", 1, XATTR_CREATE));
  EXPECT_ERRNO(setxattr(p, "user.a", "2", 1, XATTR_CREATE), EEXIST);
  EXPECT_OK(setxattr(p, "user.a", "2", 1, XATTR_REPLACE));
  EXPECT_ERRNO(setxattr(p, "user.a", "2", 1, 0x80), EINVAL);
}

TEST_F(Xattr, SizesAndNames) {
  const char* p = path.c_str();
  char buffer[4];
  ASSERT_OK(setxattr(p, "user.a", "12345", 5, 0));
  EXPECT_ERRNO(getxattr(p, "user.a", buffer, 4), ERANGE);
  EXPECT_ERRNO(listxattr(p, buffer, 4), ERANGE);
  EXPECT_ERRNO(setxattr(p, "noprefix", "1", 1, 0), EOPNOTSUPP);
  EXPECT_ERRNO(setxattr(p, "", "1", 1, 0), ERANGE);
  EXPECT_ERRNO(setxattr(p, ("user." + std::string(251, 'x')).c_str(), "1", 1, 0), ERANGE);
  std::string huge(65537, 'x');
  EXPECT_ERRNO(setxattr(p, "user.a", huge.data(), huge.size(), 0), E2BIG);
  EXPECT_ERRNO(setxattr(p, "user.a", BadPointer(), 4, 0), EFAULT);
}

TEST_F(Xattr, DescriptorAndSymlinkVariants) {
  Fd fd(open(path.c_str(), O_RDONLY));
  ASSERT_OK(fsetxattr(fd, "user.a", "x", 1, 0));
  char c;
  EXPECT_EQ(fgetxattr(fd, "user.a", &c, 1), 1);
  ASSERT_OK(symlink("f", (dir / "l").c_str()));
  EXPECT_EQ(getxattr((dir / "l").c_str(), "user.a", &c, 1), 1);
  // A symlink cannot carry user attributes of its own.
  EXPECT_ERRNO(lsetxattr((dir / "l").c_str(), "user.a", "x", 1, 0), EPERM);
  EXPECT_ERRNO(fgetxattr(-1, "user.a", &c, 1), EBADF);
  Fd path_fd(open(path.c_str(), O_PATH));
  EXPECT_ERRNO(fgetxattr(path_fd, "user.a", &c, 1), EBADF);
}

TEST_F(Xattr, PermissionsFollowTheFile) {
  ASSERT_OK(setxattr(path.c_str(), "user.a", "x", 1, 0));
  ASSERT_OK(chmod(path.c_str(), 0600));
  EXPECT_EXITED(RunChild([&] {
                  CHILD_CHECK(setresuid(1000, 1000, 1000) == 0);
                  char c;
                  CHILD_ERRNO(getxattr(path.c_str(), "user.a", &c, 1), EACCES);
                  CHILD_ERRNO(setxattr(path.c_str(), "user.b", "x", 1, 0), EACCES);
                  return 0;
                }),
                0);
}

TEST_F(Xattr, HardLinksShareThem) {
  ASSERT_OK(setxattr(path.c_str(), "user.a", "x", 1, 0));
  ASSERT_OK(link(path.c_str(), (dir / "g").c_str()));
  char c;
  EXPECT_EQ(getxattr((dir / "g").c_str(), "user.a", &c, 1), 1);
}

}  // namespace
}  // namespace conformance
