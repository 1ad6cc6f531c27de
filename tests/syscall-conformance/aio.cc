// io_setup(2), io_submit(2), io_getevents(2)
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>

#include "util/check.h"
#include "util/child.h"
#include "util/clock.h"
#include "util/fd.h"
#include "util/memory.h"
#include "util/temp_dir.h"

namespace conformance {
namespace {

struct Aio : testing::Test {
  Aio() { EXPECT_OK(syscall(SYS_io_setup, 8, &context)); }
  ~Aio() override { syscall(SYS_io_destroy, context); }
  static iocb Block(int opcode, int fd, void* data, size_t length, int64_t offset, uint64_t tag) {
    iocb block = {};
    block.aio_lio_opcode = static_cast<uint16_t>(opcode);
    block.aio_fildes = static_cast<uint32_t>(fd);
    block.aio_buf = reinterpret_cast<uintptr_t>(data);
    block.aio_nbytes = length;
    block.aio_offset = offset;
    block.aio_data = tag;
    return block;
  }
  long Submit(iocb* block) { return syscall(SYS_io_submit, context, 1, &block); }
  long Get(io_event* events, long least, long most, int64_t ms = 5000) {
    timespec limit = {ms / 1000, ms % 1000 * 1'000'000};
    return syscall(SYS_io_getevents, context, least, most, events, &limit);
  }
  aio_context_t context = 0;
  TempDir dir;
  Fd fd{open(dir.File("f", "0123456789").c_str(), O_RDWR)};
};

TEST_F(Aio, ReadAndWriteComplete) {
  char buffer[4] = {}, text[] = "AB";
  iocb reader = Block(IOCB_CMD_PREAD, fd, buffer, 4, 3, 111);
  iocb writer = Block(IOCB_CMD_PWRITE, fd, text, 2, 8, 222);
  ASSERT_EQ(Submit(&reader), 1);
  io_event events[2] = {};
  ASSERT_EQ(Get(events, 1, 1), 1);
  EXPECT_EQ(events[0].data, 111u);
  EXPECT_EQ(events[0].obj, reinterpret_cast<uintptr_t>(&reader));
  EXPECT_EQ(events[0].res, 4);
  EXPECT_EQ(std::string(buffer, 4), "3456");
  ASSERT_EQ(Submit(&writer), 1);
  ASSERT_EQ(Get(events, 1, 2), 1);
  EXPECT_EQ(events[0].res, 2);
  EXPECT_EQ(ReadFile(dir / "f"), "01234567AB");
}

TEST_F(Aio, GeteventsTimesOut) {
  io_event event;
  int64_t start = NowMs();
  EXPECT_EQ(Get(&event, 1, 1, 50), 0);
  EXPECT_GE(NowMs() - start, 49);
  EXPECT_EQ(Get(&event, 0, 1, 0), 0);
}

TEST_F(Aio, CompletionSignalsAnEventfd) {
  Fd done(eventfd(0, 0));
  char buffer[4];
  iocb block = Block(IOCB_CMD_PREAD, fd, buffer, 4, 0, 1);
  block.aio_flags = IOCB_FLAG_RESFD;
  block.aio_resfd = static_cast<uint32_t>(done.get());
  ASSERT_EQ(Submit(&block), 1);
  uint64_t count = 0;
  EXPECT_EQ(read(done, &count, 8), 8);
  EXPECT_EQ(count, 1u);
}

TEST_F(Aio, ErrorsOfSubmission) {
  char c;
  iocb block = Block(IOCB_CMD_PREAD, -1, &c, 1, 0, 0);
  EXPECT_ERRNO(Submit(&block), EBADF);
  block = Block(99, fd, &c, 1, 0, 0);
  EXPECT_ERRNO(Submit(&block), EINVAL);
  EXPECT_ERRNO(Submit(BadPointer<iocb>()), EFAULT);
  EXPECT_ERRNO(syscall(SYS_io_submit, context, -1L, nullptr), EINVAL);
  EXPECT_ERRNO(syscall(SYS_io_submit, context + 1, 1, nullptr), EINVAL);
  block = Block(IOCB_CMD_PREAD, fd, BadPointer(), 1, 0, 0);
  long result = Submit(&block);
  if (result == 1) {
    // The fault may also be reported by the completion.
    io_event event = {};
    ASSERT_EQ(Get(&event, 1, 1), 1);
    EXPECT_EQ(event.res, -EFAULT);
  } else {
    EXPECT_EQ(errno, EFAULT);
  }
}

TEST_F(Aio, ErrorsOfContexts) {
  aio_context_t other = 0, used = 1;
  EXPECT_ERRNO(syscall(SYS_io_setup, 0, &other), EINVAL);
  EXPECT_ERRNO(syscall(SYS_io_setup, 8, &used), EINVAL) << "it must be zero";
  EXPECT_ERRNO(syscall(SYS_io_setup, 8, BadPointer()), EFAULT);
  EXPECT_ERRNO(syscall(SYS_io_destroy, 0x1000), EINVAL);
}

}  // namespace
}  // namespace conformance
