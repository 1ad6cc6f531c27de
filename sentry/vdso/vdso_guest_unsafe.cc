// The vDSO that applications are given: linked alone into a shared object (vdso.lds, vdso.map),
// without libc, without relocations, read-only. What it cannot answer from the parameter page it
// passes on with the system call instruction.

#include <stdint.h>

#include "sentry/vdso/params.h"

namespace {

using vdso::Params;

struct Timespec {
  int64_t seconds;
  int64_t nanoseconds;
};
struct Timeval {
  int64_t seconds;
  int64_t microseconds;
};
struct Timezone {
  int32_t minutes_west;
  int32_t dst_time;
};

// Linux numbers (time.h, unistd_64.h): no header of the host is used here.
constexpr int kRealtime = 0;
constexpr int kMonotonic = 1;
constexpr int kRealtimeCoarse = 5;
constexpr int kMonotonicCoarse = 6;
constexpr int kBoottime = 7;
constexpr long kSysGettimeofday = 96;
constexpr long kSysTime = 201;
constexpr long kSysClockGettime = 228;
constexpr long kSysClockGetres = 229;
constexpr long kSysGetcpu = 309;

constexpr int64_t kNanosecondsPerSecond = 1'000'000'000;
constexpr int kMaxTries = 1000;

// The page before the image; defined by the linker script.
extern "C" __attribute__((visibility("hidden"))) const volatile Params vdso_params;

inline long Call(long nr, const volatile void* a, const volatile void* b, const volatile void* c) {
  long result;
  asm volatile("syscall" : "=a"(result) : "a"(nr), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
  return result;
}

inline uint64_t ReadTsc() {
  uint32_t low, high;
  // The fence keeps the counter from being read before what the caller did earlier, and before the
  // sequence.
  asm volatile("lfence\n\trdtsc" : "=a"(low), "=d"(high) : : "memory");
  return static_cast<uint64_t>(high) << 32 | low;
}

// CLOCK_MONOTONIC plus the offset that the clock needs. False: make the system call.
inline __attribute__((always_inline)) bool Now(int clock, int64_t* out) {
  for (int tries = 0; tries < kMaxTries; tries++) {
    uint32_t sequence = __atomic_load_n(&vdso_params.sequence, __ATOMIC_ACQUIRE);
    if ((sequence & 1) != 0) {
      asm volatile("pause");
      continue;
    }
    if (vdso_params.ready == 0) return false;
    uint64_t delta = ReadTsc() - vdso_params.tsc;
    uint64_t max_delta = vdso_params.max_delta;
    uint64_t factor = vdso_params.factor;
    int64_t now = vdso_params.monotonic;
    if (clock == kRealtime || clock == kRealtimeCoarse) now += vdso_params.realtime_offset;
    if (clock == kBoottime) now += vdso_params.boottime_offset;
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    if (vdso_params.sequence != sequence) continue;
    // A counter before the base (another CPU's, by a few ticks) wraps and is beyond the limit too.
    if (delta > max_delta) return false;
    *out = now + static_cast<int64_t>(static_cast<unsigned __int128>(delta) * factor >>
                                      vdso::kFactorShift);
    return true;
  }
  return false;
}

}  // namespace

extern "C" {

__attribute__((visibility("default"))) int __vdso_clock_gettime(int clock, Timespec* out) {
  int64_t now;
  if (clock < 0 || clock > kBoottime ||
      (1 << clock & (1 << kRealtime | 1 << kMonotonic | 1 << kRealtimeCoarse |
                     1 << kMonotonicCoarse | 1 << kBoottime)) == 0 ||
      !Now(clock, &now)) {
    return static_cast<int>(
        Call(kSysClockGettime, reinterpret_cast<void*>(static_cast<long>(clock)), out, nullptr));
  }
  out->seconds = now / kNanosecondsPerSecond;
  out->nanoseconds = now % kNanosecondsPerSecond;
  return 0;
}

__attribute__((visibility("default"))) int __vdso_gettimeofday(Timeval* out, Timezone* zone) {
  int64_t now;
  if (!Now(kRealtime, &now)) return static_cast<int>(Call(kSysGettimeofday, out, zone, nullptr));
  if (out != nullptr) {
    out->seconds = now / kNanosecondsPerSecond;
    out->microseconds = now % kNanosecondsPerSecond / 1000;
  }
  if (zone != nullptr) *zone = {};
  return 0;
}

__attribute__((visibility("default"))) int64_t __vdso_time(int64_t* out) {
  int64_t now;
  if (!Now(kRealtime, &now)) return Call(kSysTime, out, nullptr, nullptr);
  int64_t seconds = now / kNanosecondsPerSecond;
  if (out != nullptr) *out = seconds;
  return seconds;
}

__attribute__((visibility("default"))) int __vdso_clock_getres(int clock, Timespec* out) {
  if (clock != kRealtime && clock != kMonotonic && clock != kBoottime) {
    return static_cast<int>(
        Call(kSysClockGetres, reinterpret_cast<void*>(static_cast<long>(clock)), out, nullptr));
  }
  if (out != nullptr) *out = {0, 1};
  return 0;
}

__attribute__((visibility("default"))) long __vdso_getcpu(unsigned* cpu, unsigned* node,
                                                          void* unused) {
  // Linux keeps node << 12 | cpu in the limit of this segment, for its own vDSO.
  unsigned limit = 0;
  asm("lsl %1, %0" : "+r"(limit) : "r"(0x7b) : "cc");
  unsigned number = limit & 0xfff;
  if (number >= vdso_params.native_cpus) return Call(kSysGetcpu, cpu, node, unused);
  if (cpu != nullptr) *cpu = number;
  if (node != nullptr) *node = 0;
  return 0;
}

// The names that Linux has beside them.
#define RUNSC_WEAK_ALIAS(result, name, parameters) \
  __attribute__((visibility("default"), weak, alias("__vdso_" #name))) result name parameters
RUNSC_WEAK_ALIAS(int, clock_gettime, (int, Timespec*));
RUNSC_WEAK_ALIAS(int, gettimeofday, (Timeval*, Timezone*));
RUNSC_WEAK_ALIAS(int64_t, time, (int64_t*));
RUNSC_WEAK_ALIAS(int, clock_getres, (int, Timespec*));
RUNSC_WEAK_ALIAS(long, getcpu, (unsigned*, unsigned*, void*));

}  // extern "C"
