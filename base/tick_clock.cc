#include "base/tick_clock.h"

#include <cpuid.h>
#include <time.h>
#include <x86intrin.h>

#include <atomic>

namespace base {

namespace {

constexpr int64_t kCalibration = 10'000'000;  // ns
constexpr int kReadings = 10;
constexpr uint64_t kShort = 500;  // ticks that reading both clocks takes undisturbed

int64_t HostNow() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

bool SteadyCounter() {
  unsigned a, b, c, d;
  return __get_cpuid(0x80000007, &a, &b, &c, &d) != 0 && (d & 1 << 8) != 0;
}

// Both clocks at one time, or nearly so when the host keeps coming in between.
struct Reading {
  Reading() {
    uint64_t shortest = UINT64_MAX;
    for (int i = 0; i < kReadings && shortest > kShort; i++) {
      const uint64_t before = __rdtsc();
      const int64_t now = HostNow();
      const uint64_t took = __rdtsc() - before;
      if (took >= shortest) continue;
      shortest = took;
      ns = now;
      ticks = before + took / 2;
    }
  }
  int64_t ns;
  uint64_t ticks;
};
const Reading anchor;
std::atomic<uint64_t> ns_per_tick{0};  // 32 bits of fraction; 0: not known yet

[[gnu::noinline]] int64_t Calibrate() {
  static const bool steady = SteadyCounter();
  const int64_t now = HostNow();
  if (!steady || now - anchor.ns < kCalibration) return now;
  const Reading reading;
  const auto elapsed = static_cast<unsigned __int128>(reading.ns - anchor.ns) << 32;
  ns_per_tick.store(static_cast<uint64_t>(elapsed / (reading.ticks - anchor.ticks)),
                    std::memory_order_relaxed);
  return TickNow();
}

}  // namespace

int64_t TickNow() {
  const uint64_t scale = ns_per_tick.load(std::memory_order_relaxed);
  if (scale == 0) [[unlikely]] return Calibrate();
  const auto elapsed = static_cast<unsigned __int128>(__rdtsc() - anchor.ticks) * scale;
  return anchor.ns + static_cast<int64_t>(elapsed >> 32);
}

}  // namespace base
