#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>

#include "util/check.h"

namespace conformance {

inline constexpr size_t kPage = 4096;

// A pointer into the first page, which is never mapped. It is made where the compiler cannot see
// it, or it would warn about (or rely on) the value.
template <typename T = void>
T* BadPointer() {
  uintptr_t value = 16;
  asm volatile("" : "+r"(value));
  return reinterpret_cast<T*>(value);
}

// Owns a mapping.
class Mapping {
 public:
  Mapping(size_t length, int protection, int flags, int fd = -1, off_t offset = 0)
      : address_(mmap(nullptr, length, protection, flags, fd, offset)), length_(length) {
    EXPECT_OK(address_);
  }
  ~Mapping() {
    if (ok()) munmap(address_, length_);
  }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  bool ok() const { return address_ != MAP_FAILED; }
  char* data() const { return static_cast<char*>(address_); }
  char* page(size_t index) const { return data() + index * kPage; }
  template <typename T>
  T* as() const {
    return static_cast<T*>(address_);
  }
  size_t size() const { return length_; }

 private:
  void* address_;
  size_t length_;
};

// Zeroed memory, private to this process or shared with its children.
struct PrivateMemory : Mapping {
  explicit PrivateMemory(size_t length, int protection = PROT_READ | PROT_WRITE)
      : Mapping(length, protection, MAP_PRIVATE | MAP_ANONYMOUS) {}
};
struct SharedMemory : Mapping {
  explicit SharedMemory(size_t length = kPage)
      : Mapping(length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS) {}
};

}  // namespace conformance
