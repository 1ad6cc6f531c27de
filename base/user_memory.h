#pragma once

// Application memory as code below the kernel sees it (ioctl arguments and the like). Implemented by sentry/mm. Every
// byte is hostile and may change at any time: copy once, check the copy.

#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>

#include "base/result.h"

namespace base {

using UserAddress = uint64_t;

class UserMemory {
 public:
  virtual ~UserMemory() = default;

  // All or nothing as the caller sees it: EFAULT when any byte is not accessible. May park (page faults on files).
  virtual Result<void> CopyIn(void* to, UserAddress from, size_t size) = 0;
  virtual Result<void> CopyOut(UserAddress to, const void* from, size_t size) = 0;
  // A NUL-terminated string of at most max-1 bytes: ENAMETOOLONG when there is no NUL in `max` bytes.
  virtual Result<std::string> CopyInString(UserAddress from, size_t max) = 0;

  template <class T>
  Result<T> Read(UserAddress from) {
    static_assert(std::is_trivially_copyable_v<T>);
    T value;
    TRY(CopyIn(&value, from, sizeof value));
    return value;
  }
  template <class T>
  Result<void> Write(UserAddress to, const T& value) {
    static_assert(std::is_trivially_copyable_v<T>);
    return CopyOut(to, &value, sizeof value);
  }
};

}  // namespace base

using base::UserAddress;
using base::UserMemory;
