// eventfd(2)
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>

#include "util/check.h"
#include "util/clock.h"
#include "util/fd.h"

namespace conformance {
namespace {

uint64_t Take(int fd) {
  uint64_t value = 0;
  return read(fd, &value, 8) == 8 ? value : ~0ull;
}
ssize_t Add(int fd, uint64_t value) { return write(fd, &value, 8); }

TEST(Eventfd, CounterAddsUpAndResets) {
  Fd fd(eventfd(3, EFD_NONBLOCK));
  EXPECT_EQ(Add(fd, 4), 8);
  EXPECT_EQ(Take(fd), 7u);
  EXPECT_ERRNO(read(fd, std::string(8, 0).data(), 8), EAGAIN);
}

TEST(Eventfd, SemaphoreTakesOne) {
  Fd fd(eventfd(2, EFD_NONBLOCK | EFD_SEMAPHORE));
  EXPECT_EQ(Take(fd), 1u);
  EXPECT_EQ(Take(fd), 1u);
  uint64_t value;
  EXPECT_ERRNO(read(fd, &value, 8), EAGAIN);
}

TEST(Eventfd, SizesAndMaximum) {
  Fd fd(eventfd(0, EFD_NONBLOCK));
  char small[4] = {}, large[16] = {};
  EXPECT_ERRNO(write(fd, small, 4), EINVAL);
  EXPECT_ERRNO(read(fd, small, 4), EINVAL);
  EXPECT_ERRNO(Add(fd, ~0ull), EINVAL);
  EXPECT_EQ(Add(fd, ~0ull - 1), 8);
  EXPECT_ERRNO(Add(fd, 1), EAGAIN);
  EXPECT_EQ(read(fd, large, 16), 8);
}

TEST(Eventfd, PollStates) {
  Fd fd(eventfd(0, 0));
  pollfd event = {fd, POLLIN | POLLOUT, 0};
  EXPECT_EQ(poll(&event, 1, 0), 1);
  EXPECT_EQ(event.revents, POLLOUT);
  ASSERT_EQ(Add(fd, ~0ull - 1), 8);
  EXPECT_EQ(poll(&event, 1, 0), 1);
  EXPECT_EQ(event.revents, POLLIN);
}

TEST(Eventfd, BlockedReadWakes) {
  Fd fd(eventfd(0, 0));
  std::thread other([&] {
    SleepMs(50);
    EXPECT_EQ(Add(fd, 5), 8);
  });
  EXPECT_EQ(Take(fd), 5u);
  other.join();
}

TEST(Eventfd, BlockedWriteWakes) {
  Fd fd(eventfd(0, 0));
  ASSERT_EQ(Add(fd, ~0ull - 1), 8);
  std::thread other([&] {
    SleepMs(50);
    EXPECT_EQ(Take(fd), ~0ull - 1);
  });
  EXPECT_EQ(Add(fd, 2), 8);
  EXPECT_EQ(Take(fd), 2u);
  other.join();
}

TEST(Eventfd, FlagsAndSeek) {
  EXPECT_ERRNO(eventfd(0, 0x100), EINVAL);
  Fd fd(eventfd(0, EFD_CLOEXEC));
  EXPECT_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
  EXPECT_EQ(lseek(fd, 5, SEEK_SET), 0) << "accepted without effect";
  EXPECT_ERRNO(pread(fd, std::string(8, 0).data(), 8, 0), ESPIPE);
}

}  // namespace
}  // namespace conformance
