// read(2), write(2), pread(2), readv(2), preadv2(2), lseek(2), fsync(2)
#include <fcntl.h>
#include <limits.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "util/check.h"
#include "util/child.h"
#include "util/fd.h"
#include "util/memory.h"
#include "util/signals.h"
#include "util/temp_dir.h"

namespace conformance {
namespace {

struct FileTest : testing::Test {
  TempDir dir;
  std::string path = dir.File("f", "0123456789");
  Fd fd{open(path.c_str(), O_RDWR)};
};
using Read = FileTest;
using Write = FileTest;
using Pread = FileTest;
using Vector = FileTest;
using Lseek = FileTest;

TEST_F(Read, AdvancesOffsetAndStopsAtEnd) {
  char buffer[16] = {};
  EXPECT_EQ(read(fd, buffer, 4), 4);
  EXPECT_EQ(read(fd, buffer + 4, 12), 6);
  EXPECT_STREQ(buffer, "0123456789");
  EXPECT_EQ(read(fd, buffer, 1), 0);
  EXPECT_EQ(lseek(fd, 0, SEEK_CUR), 10);
}

TEST_F(Read, ZeroBytesChecksOnlyTheDescriptor) {
  EXPECT_EQ(syscall(SYS_read, fd.get(), nullptr, 0), 0);
  EXPECT_ERRNO(syscall(SYS_read, -1, nullptr, 0), EBADF);
}

TEST_F(Read, BadBufferIsEfault) {
  EXPECT_ERRNO(read(fd, BadPointer(), 4), EFAULT);
  EXPECT_EQ(lseek(fd, 0, SEEK_CUR), 0);
}

TEST_F(Read, KernelAddressIsEfault) {
  EXPECT_ERRNO(syscall(SYS_read, fd.get(), 0xffff800000000000UL, 4), EFAULT);
  EXPECT_ERRNO(syscall(SYS_read, fd.get(), 0x0000800000000000UL, 4), EFAULT);
  EXPECT_ERRNO(syscall(SYS_read, fd.get(), -8L, 16), EFAULT);
}

TEST_F(Read, ReadOnlyBufferIsEfault) {
  PrivateMemory memory(kPage, PROT_READ);
  EXPECT_ERRNO(read(fd, memory.data(), 4), EFAULT);
}

TEST_F(Read, HoleReadsAsZeros) {
  ASSERT_OK(lseek(fd, 100000, SEEK_SET));
  ASSERT_EQ(write(fd, "x", 1), 1);
  std::string all = ReadFile(path);
  ASSERT_EQ(all.size(), 100001u);
  EXPECT_EQ(all.substr(10, 99990), std::string(99990, '\0'));
  EXPECT_EQ(all[100000], 'x');
}

TEST_F(Read, DescriptorOfAnotherOpenHasItsOwnOffset) {
  Fd other(open(path.c_str(), O_RDONLY)), same(dup(fd));
  char c;
  ASSERT_EQ(read(fd, &c, 1), 1);
  EXPECT_EQ(lseek(other, 0, SEEK_CUR), 0);
  EXPECT_EQ(lseek(same, 0, SEEK_CUR), 1);
}

TEST_F(Write, PartOfBufferUnmappedDoesNotWriteBeyondIt) {
  PrivateMemory memory(2 * kPage);
  ASSERT_OK(mprotect(memory.page(1), kPage, PROT_NONE));
  ssize_t n = write(fd, memory.page(1) - 100, 200);
  // Linux may take the mapped part or nothing, never more.
  if (n == -1) {
    EXPECT_EQ(errno, EFAULT);
  } else {
    EXPECT_LE(n, 100);
  }
}

TEST_F(Write, ExtendsTheFileAndReadsBack) {
  ASSERT_EQ(pwrite(fd, "abc", 3, 9), 3);
  EXPECT_EQ(ReadFile(path), "012345678abc");
}

TEST_F(Write, BadBufferIsEfaultAndChangesNothing) {
  EXPECT_ERRNO(write(fd, BadPointer(), 4), EFAULT);
  EXPECT_EQ(ReadFile(path), "0123456789");
}

TEST_F(Write, LargeTransferIsComplete) {
  std::string data(5 << 20, 'a');
  for (size_t i = 0; i < data.size(); i += 4096) data[i] = 'a' + i / 4096 % 26;
  ASSERT_EQ(write(fd, data.data(), data.size()), static_cast<ssize_t>(data.size()));
  EXPECT_TRUE(ReadFile(path) == data);
}

TEST_F(Write, FileSizeLimitRaisesSigxfsz) {
  int file = fd;
  EXPECT_EXITED(RunChild([file] {
                  rlimit limit = {12, RLIM_INFINITY};
                  CHILD_CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
                  signal(SIGXFSZ, SIG_IGN);
                  CHILD_CHECK(lseek(file, 10, SEEK_SET) == 10);
                  CHILD_CHECK(write(file, "abcdef", 6) == 2);
                  CHILD_ERRNO(write(file, "abcdef", 6), EFBIG);
                  CHILD_ERRNO(ftruncate(file, 13), EFBIG);
                  return 0;
                }),
                0);
}

TEST_F(Write, FileSizeLimitKillsByDefault) {
  int file = fd;
  EXPECT_KILLED(RunChild([file] {
                  rlimit limit = {10, RLIM_INFINITY}, no_core = {0, 0};
                  CHILD_CHECK(setrlimit(RLIMIT_CORE, &no_core) == 0);
                  CHILD_CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
                  CHILD_CHECK(lseek(file, 10, SEEK_SET) == 10);
                  CHILD_CHECK(write(file, "a", 1) == 1);
                  return 1;
                }),
                SIGXFSZ);
}

TEST_F(Pread, LeavesOffsetAlone) {
  char buffer[3];
  EXPECT_EQ(pread(fd, buffer, 3, 5), 3);
  EXPECT_EQ(memcmp(buffer, "567", 3), 0);
  EXPECT_EQ(pread(fd, buffer, 3, 50), 0);
  EXPECT_EQ(lseek(fd, 0, SEEK_CUR), 0);
}

TEST_F(Pread, NegativeOffsetIsEinval) {
  char c = 0;
  EXPECT_ERRNO(pread(fd, &c, 1, -1), EINVAL);
  EXPECT_ERRNO(pwrite(fd, &c, 1, -1), EINVAL);
}

TEST_F(Pread, PipeIsEspipe) {
  int ends[2];
  ASSERT_OK(pipe(ends));
  Fd reader(ends[0]), writer(ends[1]);
  char c = 0;
  EXPECT_ERRNO(pread(reader, &c, 1, 0), ESPIPE);
  EXPECT_ERRNO(pwrite(writer, &c, 1, 0), ESPIPE);
  EXPECT_ERRNO(lseek(reader, 0, SEEK_CUR), ESPIPE);
}

TEST_F(Vector, ScattersAndGathers) {
  char a[2], b[5];
  iovec in[] = {{a, 2}, {nullptr, 0}, {b, 5}};
  EXPECT_EQ(readv(fd, in, 3), 7);
  EXPECT_EQ(std::string(a, 2) + std::string(b, 5), "0123456");
  iovec out[] = {{b, 2}, {a, 1}};
  EXPECT_EQ(pwritev(fd, out, 2, 0), 3);
  EXPECT_EQ(ReadFile(path), "2303456789");
}

TEST_F(Vector, CountAndLengthLimits) {
  std::vector<iovec> many(IOV_MAX + 1);
  EXPECT_EQ(readv(fd, many.data(), IOV_MAX), 0);
  EXPECT_ERRNO(readv(fd, many.data(), IOV_MAX + 1), EINVAL);
  EXPECT_ERRNO(syscall(SYS_readv, fd.get(), many.data(), -1), EINVAL);
  EXPECT_EQ(readv(fd, many.data(), 0), 0);
  char c;
  iovec huge[] = {{&c, 1}, {&c, static_cast<size_t>(-1)}};
  EXPECT_ERRNO(readv(fd, huge, 2), EINVAL);
  EXPECT_ERRNO(readv(fd, BadPointer<iovec>(), 1), EFAULT);
}

TEST_F(Vector, FaultInSecondSegmentKeepsTheFirst) {
  char a[4];
  iovec in[] = {{a, 4}, {BadPointer(), 4}};
  EXPECT_EQ(readv(fd, in, 2), 4);
  EXPECT_EQ(lseek(fd, 0, SEEK_CUR), 4);
}

TEST_F(Vector, Preadv2FlagsAndCurrentOffset) {
  char a[4];
  iovec in = {a, 4};
  EXPECT_EQ(preadv2(fd, &in, 1, -1, 0), 4);
  EXPECT_EQ(lseek(fd, 0, SEEK_CUR), 4);
  EXPECT_EQ(pwritev2(fd, &in, 1, 0, RWF_APPEND), 4);
  EXPECT_EQ(ReadFile(path), "01234567890123");
  EXPECT_ERRNO(preadv2(fd, &in, 1, 0, 0x40000000), EOPNOTSUPP);
  EXPECT_ERRNO(preadv(fd, &in, 1, -1), EINVAL);
}

TEST_F(Lseek, WhenceAndLimits) {
  EXPECT_EQ(lseek(fd, -3, SEEK_END), 7);
  EXPECT_EQ(lseek(fd, 2, SEEK_CUR), 9);
  EXPECT_EQ(lseek(fd, 1L << 40, SEEK_SET), 1L << 40);
  EXPECT_ERRNO(lseek(fd, -1, SEEK_SET), EINVAL);
  EXPECT_ERRNO(lseek(fd, -11, SEEK_END), EINVAL);
  EXPECT_ERRNO(lseek(fd, 0, 42), EINVAL);
  EXPECT_ERRNO(lseek(-1, 0, SEEK_SET), EBADF);
  char c;
  EXPECT_EQ(read(fd, &c, 1), 0);
}

TEST_F(Lseek, DataAndHole) {
  EXPECT_EQ(lseek(fd, 3, SEEK_DATA), 3);
  EXPECT_EQ(lseek(fd, 3, SEEK_HOLE), 10);
  EXPECT_ERRNO(lseek(fd, 10, SEEK_DATA), ENXIO);
  EXPECT_ERRNO(lseek(fd, 10, SEEK_HOLE), ENXIO);
}

TEST_F(Lseek, DirectoryRewindsItsListing) {
  Fd directory(open(dir.c_str(), O_RDONLY | O_DIRECTORY));
  char buffer[1024];
  long first = syscall(SYS_getdents64, directory.get(), buffer, sizeof(buffer));
  EXPECT_GT(first, 0);
  EXPECT_EQ(syscall(SYS_getdents64, directory.get(), buffer, sizeof(buffer)), 0);
  EXPECT_EQ(lseek(directory, 0, SEEK_SET), 0);
  EXPECT_EQ(syscall(SYS_getdents64, directory.get(), buffer, sizeof(buffer)), first);
}

TEST(Fsync, FileYesPipeNo) {
  TempDir dir;
  Fd fd(open(dir.File("f", "x").c_str(), O_RDWR));
  EXPECT_OK(fsync(fd));
  EXPECT_OK(fdatasync(fd));
  int ends[2];
  ASSERT_OK(pipe(ends));
  Fd reader(ends[0]), writer(ends[1]);
  EXPECT_ERRNO(fsync(writer), EINVAL);
  EXPECT_ERRNO(fsync(-1), EBADF);
}

TEST(Devices, NullZeroFullRandom) {
  char buffer[64];
  Fd null(open("/dev/null", O_RDWR)), zero(open("/dev/zero", O_RDWR)),
      full(open("/dev/full", O_RDWR)), random(open("/dev/urandom", O_RDONLY));
  EXPECT_EQ(read(null, buffer, 64), 0);
  EXPECT_EQ(write(null, buffer, 64), 64);
  memset(buffer, 1, sizeof(buffer));
  EXPECT_EQ(read(zero, buffer, 64), 64);
  EXPECT_EQ(std::string(buffer, 64), std::string(64, '\0'));
  EXPECT_ERRNO(write(full, buffer, 1), ENOSPC);
  EXPECT_EQ(read(full, buffer, 1), 1);
  EXPECT_EQ(read(random, buffer, 64), 64);
  EXPECT_NE(std::string(buffer, 64), std::string(64, '\0'));
}

}  // namespace
}  // namespace conformance
