// getrandom(2)
#include <sys/random.h>
#include <sys/syscall.h>

#include "util/check.h"
#include "util/memory.h"

namespace conformance {
namespace {

TEST(Getrandom, FillsAnySize) {
  for (size_t size : {1ul, 16ul, 256ul, 100000ul}) {
    std::string a(size, 0), b(size, 0);
    EXPECT_EQ(getrandom(a.data(), size, 0), static_cast<ssize_t>(size));
    EXPECT_EQ(getrandom(b.data(), size, GRND_NONBLOCK), static_cast<ssize_t>(size));
    EXPECT_TRUE(size < 16 || a != b);
  }
  EXPECT_EQ(getrandom(nullptr, 0, 0), 0);
}

TEST(Getrandom, Errors) {
  char c;
  EXPECT_ERRNO(getrandom(&c, 1, 0x80), EINVAL);
  EXPECT_ERRNO(getrandom(&c, 1, GRND_RANDOM | GRND_INSECURE), EINVAL);
  EXPECT_ERRNO(getrandom(BadPointer(), 1, 0), EFAULT);
}

}  // namespace
}  // namespace conformance
