#pragma once

// Host system calls as Results: the only place that reads `errno`. HOST(call) wraps any libc call that returns -1 and
// sets errno:   int n = TRY(HOST(::recvmsg(fd, &msg, 0)));
// HOST_RETRY(call) repeats it while it fails with EINTR.

#include <errno.h>

#include "base/result.h"

namespace base {

template <class T>
inline Result<T> HostResult(T value) {
  if (value == static_cast<T>(-1)) [[unlikely]]
    return static_cast<Errno>(errno);
  return value;
}

}  // namespace base

#define HOST(call) ::base::HostResult(call)

#define HOST_RETRY(call)                                                    \
  __extension__({                                                           \
    auto host_value = (call);                                               \
    while (host_value == static_cast<decltype(host_value)>(-1) && errno == EINTR) host_value = (call); \
    ::base::HostResult(host_value);                                         \
  })
