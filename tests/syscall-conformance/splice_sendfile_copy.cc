// splice(2), tee(2), vmsplice(2), sendfile(2), copy_file_range(2)
#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "util/check.h"
#include "util/child.h"
#include "util/clock.h"
#include "util/fd.h"
#include "util/memory.h"
#include "util/temp_dir.h"

namespace conformance {
namespace {

struct Transfer : testing::Test {
  Transfer() {
    int ends[2];
    EXPECT_OK(pipe(ends));
    reader.Reset(ends[0]);
    writer.Reset(ends[1]);
  }
  std::string Take(int fd) {
    char buffer[64];
    ssize_t n = read(fd, buffer, sizeof(buffer));
    return std::string(buffer, n < 0 ? 0 : n);
  }
  TempDir dir;
  std::string path = dir.File("in", "0123456789");
  Fd in{open(path.c_str(), O_RDONLY)};
  Fd out{open((dir / "out").c_str(), O_RDWR | O_CREAT, 0644)};
  Fd reader, writer;
};
using Sendfile = Transfer;
using Splice = Transfer;
using Tee = Transfer;
using Vmsplice = Transfer;
using CopyFileRange = Transfer;

TEST_F(Sendfile, FromOffsetOrFromThePosition) {
  off_t offset = 4;
  EXPECT_EQ(sendfile(out, in, &offset, 3), 3);
  EXPECT_EQ(offset, 7);
  EXPECT_EQ(lseek(in, 0, SEEK_CUR), 0);
  EXPECT_EQ(sendfile(out, in, nullptr, 100), 10);
  EXPECT_EQ(lseek(in, 0, SEEK_CUR), 10);
  EXPECT_EQ(sendfile(out, in, nullptr, 100), 0);
  EXPECT_EQ(ReadFile(dir / "out"), "4560123456789");
}

TEST_F(Sendfile, ToSocketAndPipe) {
  int ends[2];
  ASSERT_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
  Fd a(ends[0]), b(ends[1]);
  EXPECT_EQ(sendfile(a, in, nullptr, 4), 4);
  EXPECT_EQ(Take(b), "0123");
  EXPECT_EQ(sendfile(writer, in, nullptr, 4), 4);
  EXPECT_EQ(Take(reader), "4567");
}

TEST_F(Sendfile, Errors) {
  EXPECT_ERRNO(sendfile(out, writer, nullptr, 1), EBADF);
  EXPECT_ERRNO(sendfile(in, in, nullptr, 1), EBADF);
  EXPECT_ERRNO(sendfile(-1, in, nullptr, 1), EBADF);
  off_t negative = -1;
  EXPECT_ERRNO(sendfile(out, in, &negative, 1), EINVAL);
  EXPECT_ERRNO(sendfile(out, in, BadPointer<off_t>(), 1), EFAULT);
  Fd append(open((dir / "out").c_str(), O_WRONLY | O_APPEND));
  EXPECT_ERRNO(sendfile(append, in, nullptr, 1), EINVAL);
}

TEST_F(Splice, FileToPipeToFile) {
  loff_t offset = 2;
  EXPECT_EQ(splice(in, &offset, writer, nullptr, 5, 0), 5);
  EXPECT_EQ(offset, 7);
  EXPECT_EQ(splice(reader, nullptr, out, nullptr, 100, 0), 5);
  EXPECT_EQ(ReadFile(dir / "out"), "23456");
}

TEST_F(Splice, PipeToPipeMovesTheBytes) {
  int ends[2];
  ASSERT_OK(pipe(ends));
  Fd second_reader(ends[0]), second_writer(ends[1]);
  ASSERT_EQ(write(writer, "abcdef", 6), 6);
  EXPECT_EQ(splice(reader, nullptr, second_writer, nullptr, 4, 0), 4);
  EXPECT_EQ(Take(second_reader), "abcd");
  EXPECT_EQ(Take(reader), "ef");
}

TEST_F(Splice, EmptyPipeBlocksUnlessNonblock) {
  EXPECT_ERRNO(splice(reader, nullptr, out, nullptr, 10, SPLICE_F_NONBLOCK), EAGAIN);
  std::thread other([&] {
    SleepMs(50);
    EXPECT_EQ(write(writer, "x", 1), 1);
  });
  EXPECT_EQ(splice(reader, nullptr, out, nullptr, 10, 0), 1);
  other.join();
  writer.Reset();
  EXPECT_EQ(splice(reader, nullptr, out, nullptr, 10, 0), 0);
}

TEST_F(Splice, Errors) {
  loff_t offset = 0;
  EXPECT_ERRNO(splice(in, nullptr, out, nullptr, 1, 0), EINVAL) << "neither is a pipe";
  EXPECT_ERRNO(splice(reader, &offset, out, nullptr, 1, 0), ESPIPE);
  EXPECT_ERRNO(splice(reader, nullptr, writer, nullptr, 1, 0), EINVAL) << "the same pipe";
  EXPECT_ERRNO(splice(writer, nullptr, out, nullptr, 1, 0), EBADF);
  EXPECT_ERRNO(splice(in, nullptr, writer, nullptr, 1, 0x80), EINVAL);
  EXPECT_EQ(splice(in, nullptr, writer, nullptr, 0, 0), 0);
}

TEST_F(Tee, CopiesWithoutConsuming) {
  int ends[2];
  ASSERT_OK(pipe(ends));
  Fd second_reader(ends[0]), second_writer(ends[1]);
  ASSERT_EQ(write(writer, "abc", 3), 3);
  EXPECT_EQ(tee(reader, second_writer, 10, 0), 3);
  EXPECT_EQ(Take(reader), "abc");
  EXPECT_EQ(Take(second_reader), "abc");
  EXPECT_ERRNO(tee(reader, second_writer, 10, SPLICE_F_NONBLOCK), EAGAIN);
  EXPECT_ERRNO(tee(in, second_writer, 10, 0), EINVAL);
  EXPECT_ERRNO(tee(reader, writer, 10, 0), EINVAL);
}

TEST_F(Vmsplice, MemoryToPipeAndBack) {
  char text[] = "memory", back[8] = {};
  iovec vector = {text, 6};
  EXPECT_EQ(vmsplice(writer, &vector, 1, 0), 6);
  vector = {back, sizeof(back)};
  EXPECT_EQ(vmsplice(reader, &vector, 1, 0), 6);
  EXPECT_STREQ(back, "memory");
  EXPECT_ERRNO(vmsplice(in, &vector, 1, 0), EBADF);
  EXPECT_ERRNO(vmsplice(writer, &vector, 1, 0x80), EINVAL);
}

TEST_F(CopyFileRange, CopiesWithAndWithoutOffsets) {
  loff_t from = 3, to = 1;
  ASSERT_EQ(write(out, "zzzz", 4), 4);
  EXPECT_EQ(copy_file_range(in, &from, out, &to, 2, 0), 2);
  EXPECT_EQ(from, 5);
  EXPECT_EQ(to, 3);
  EXPECT_EQ(ReadFile(dir / "out"), "z34z");
  ASSERT_EQ(lseek(out, 0, SEEK_SET), 0);
  EXPECT_EQ(copy_file_range(in, nullptr, out, nullptr, 100, 0), 10);
  EXPECT_EQ(copy_file_range(in, nullptr, out, nullptr, 100, 0), 0);
  EXPECT_EQ(ReadFile(dir / "out"), "0123456789");
}

TEST_F(CopyFileRange, Errors) {
  EXPECT_ERRNO(copy_file_range(in, nullptr, out, nullptr, 1, 1), EINVAL);
  EXPECT_ERRNO(copy_file_range(in, nullptr, in, nullptr, 1, 0), EBADF);
  EXPECT_ERRNO(copy_file_range(in, nullptr, writer, nullptr, 1, 0), EINVAL);
  Fd directory(open(dir.c_str(), O_RDONLY));
  EXPECT_ERRNO(copy_file_range(directory, nullptr, out, nullptr, 1, 0), EISDIR);
  Fd same(open(path.c_str(), O_RDWR));
  loff_t from = 0, to = 2;
  EXPECT_ERRNO(copy_file_range(same, &from, same, &to, 5, 0), EINVAL) << "they overlap";
}

}  // namespace
}  // namespace conformance
