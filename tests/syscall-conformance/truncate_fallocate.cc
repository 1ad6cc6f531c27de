// truncate(2), fallocate(2), posix_fadvise(2)
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "util/check.h"
#include "util/child.h"
#include "util/fd.h"
#include "util/memory.h"
#include "util/temp_dir.h"

namespace conformance {
namespace {

struct FileTest : testing::Test {
  TempDir dir;
  std::string path = dir.File("f", "0123456789");
  Fd fd{open(path.c_str(), O_RDWR)};
  off_t Size() {
    struct stat st = {};
    EXPECT_OK(fstat(fd, &st));
    return st.st_size;
  }
};
using Truncate = FileTest;
using Fallocate = FileTest;
using Fadvise = FileTest;

TEST_F(Truncate, ShrinksAndGrowsWithZeros) {
  ASSERT_OK(ftruncate(fd, 4));
  EXPECT_EQ(ReadFile(path), "0123");
  ASSERT_OK(truncate(path.c_str(), 6));
  EXPECT_EQ(ReadFile(path), std::string("0123\0\0", 6));
  EXPECT_EQ(lseek(fd, 0, SEEK_CUR), 0);
}

TEST_F(Truncate, Errors) {
  Fd reader(open(path.c_str(), O_RDONLY));
  EXPECT_ERRNO(ftruncate(reader, 0), EINVAL);
  EXPECT_ERRNO(ftruncate(fd, -1), EINVAL);
  EXPECT_ERRNO(ftruncate(-1, 0), EBADF);
  EXPECT_ERRNO(truncate(dir.c_str(), 0), EISDIR);
  EXPECT_ERRNO(truncate((dir / "none").c_str(), 0), ENOENT);
  EXPECT_ERRNO(truncate((path + "/x").c_str(), 0), ENOTDIR);
  EXPECT_ERRNO(truncate(path.c_str(), -1), EINVAL);
  int ends[2];
  ASSERT_OK(pipe(ends));
  Fd a(ends[0]), b(ends[1]);
  EXPECT_ERRNO(ftruncate(b, 0), EINVAL);
}

TEST_F(Truncate, RemovedTailDoesNotComeBack) {
  ASSERT_OK(ftruncate(fd, 5));
  ASSERT_OK(ftruncate(fd, 10));
  EXPECT_EQ(ReadFile(path), std::string("01234\0\0\0\0\0", 10));
}

TEST_F(Truncate, WriteBeyondAfterShrink) {
  ASSERT_EQ(lseek(fd, 8, SEEK_SET), 8);
  ASSERT_OK(ftruncate(fd, 2));
  ASSERT_EQ(write(fd, "x", 1), 1);
  EXPECT_EQ(ReadFile(path), std::string("01\0\0\0\0\0\0x", 9));
}

TEST_F(Fallocate, ExtendsUnlessKeepSize) {
  ASSERT_OK(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 100000));
  EXPECT_EQ(Size(), 10);
  ASSERT_OK(fallocate(fd, 0, 0, 20));
  EXPECT_EQ(Size(), 20);
  EXPECT_EQ(ReadFile(path).substr(0, 10), "0123456789");
}

TEST_F(Fallocate, PunchHoleZeroesInside) {
  std::string data(3 * kPage, 'x');
  ASSERT_EQ(pwrite(fd, data.data(), data.size(), 0), static_cast<ssize_t>(data.size()));
  ASSERT_OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, kPage - 10, kPage + 20));
  std::string got = ReadFile(path);
  ASSERT_EQ(got.size(), 3 * kPage);
  EXPECT_EQ(got[kPage - 11], 'x');
  EXPECT_TRUE(got.substr(kPage - 10, kPage + 20) == std::string(kPage + 20, '\0'));
  EXPECT_EQ(got[2 * kPage + 10], 'x');
}

TEST_F(Fallocate, Errors) {
  EXPECT_ERRNO(fallocate(fd, 0, -1, 10), EINVAL);
  EXPECT_ERRNO(fallocate(fd, 0, 0, 0), EINVAL);
  EXPECT_ERRNO(fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 10), EOPNOTSUPP);
  EXPECT_ERRNO(fallocate(fd, 0x8000, 0, 10), EOPNOTSUPP);
  EXPECT_ERRNO(fallocate(-1, 0, 0, 10), EBADF);
  EXPECT_ERRNO(fallocate(fd, 0, INT64_MAX, 10), EFBIG);
  Fd reader(open(path.c_str(), O_RDONLY));
  EXPECT_ERRNO(fallocate(reader, 0, 0, 10), EBADF);
  int ends[2];
  ASSERT_OK(pipe(ends));
  Fd a(ends[0]), b(ends[1]);
  EXPECT_ERRNO(fallocate(b, 0, 0, 10), ESPIPE);
}

TEST_F(Fadvise, AdviceAndErrors) {
  for (int advice = POSIX_FADV_NORMAL; advice <= POSIX_FADV_NOREUSE; advice++) {
    EXPECT_EQ(posix_fadvise(fd, 0, 0, advice), 0);
  }
  EXPECT_EQ(posix_fadvise(fd, 0, 0, 99), EINVAL);
  EXPECT_EQ(posix_fadvise(fd, 0, -1, POSIX_FADV_NORMAL), EINVAL);
  EXPECT_EQ(posix_fadvise(-1, 0, 0, POSIX_FADV_NORMAL), EBADF);
  int ends[2];
  ASSERT_OK(pipe(ends));
  Fd a(ends[0]), b(ends[1]);
  EXPECT_EQ(posix_fadvise(a, 0, 0, POSIX_FADV_NORMAL), ESPIPE);
}

TEST_F(Truncate, BlocksFollowTheContent) {
  struct stat st;
  ASSERT_OK(ftruncate(fd, 100 << 20));
  ASSERT_OK(fstat(fd, &st));
  EXPECT_LT(st.st_blocks * 512, 1 << 20) << "a hole takes no space";
}

}  // namespace
}  // namespace conformance
