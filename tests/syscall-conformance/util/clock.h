#pragma once

#include <time.h>

#include <cstdint>

namespace conformance {

inline int64_t ToNs(const timespec& ts) { return ts.tv_sec * 1'000'000'000LL + ts.tv_nsec; }

inline int64_t NowNs(clockid_t clock = CLOCK_MONOTONIC) {
  timespec ts = {};
  clock_gettime(clock, &ts);
  return ToNs(ts);
}

inline int64_t NowMs() { return NowNs() / 1'000'000; }

// Long enough for another thread to block, short enough for a fast suite. A test may rely on it to
// provoke an interleaving, never to be right.
inline void SleepMs(int64_t ms) {
  timespec left = {ms / 1000, ms % 1000 * 1'000'000};
  while (nanosleep(&left, &left) != 0) {
  }
}

}  // namespace conformance
