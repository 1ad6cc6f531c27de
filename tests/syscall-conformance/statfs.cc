// statfs(2), sync(2), syncfs(2)
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>

#include "util/check.h"
#include "util/fd.h"
#include "util/memory.h"
#include "util/temp_dir.h"

namespace conformance {
namespace {

TEST(Statfs, ProcHasItsMagic) {
  struct statfs st = {};
  ASSERT_OK(statfs("/proc", &st));
  EXPECT_EQ(st.f_type, PROC_SUPER_MAGIC);
  EXPECT_EQ(st.f_namelen, 255);
}

TEST(Statfs, TemporaryDirectoryIsPlausible) {
  TempDir dir;
  struct statfs st = {};
  ASSERT_OK(statfs(dir.c_str(), &st));
  EXPECT_GT(st.f_bsize, 0);
  EXPECT_GT(st.f_blocks, 0u);
  EXPECT_LE(st.f_bfree, st.f_blocks);
  EXPECT_LE(st.f_bavail, st.f_bfree);
  EXPECT_EQ(st.f_namelen, 255);
  Fd fd(open(dir.c_str(), O_RDONLY));
  struct statfs same = {};
  ASSERT_OK(fstatfs(fd, &same));
  EXPECT_EQ(same.f_type, st.f_type);
}

TEST(Statfs, PipeHasAFileSystemToo) {
  int ends[2];
  ASSERT_OK(pipe(ends));
  Fd a(ends[0]), b(ends[1]);
  struct statfs st = {};
  ASSERT_OK(fstatfs(a, &st));
  EXPECT_EQ(st.f_type, PIPEFS_MAGIC);
}

TEST(Statfs, Errors) {
  TempDir dir;
  struct statfs st;
  EXPECT_ERRNO(statfs((dir / "none").c_str(), &st), ENOENT);
  EXPECT_ERRNO(statfs(BadPointer<char>(), &st), EFAULT);
  EXPECT_ERRNO(syscall(SYS_statfs, "/", BadPointer()), EFAULT);
  EXPECT_ERRNO(fstatfs(-1, &st), EBADF);
}

TEST(Syncfs, NeedsADescriptor) {
  Fd fd(open("/proc", O_RDONLY));
  EXPECT_OK(syncfs(fd));
  EXPECT_ERRNO(syncfs(-1), EBADF);
}

}  // namespace
}  // namespace conformance
