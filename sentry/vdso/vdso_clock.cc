#include "sentry/vdso/vdso_clock.h"

#include <cpuid.h>
#include <time.h>
#include <x86intrin.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>

#include "base/event_loop.h"

namespace vdso {

namespace {

constexpr int64_t kMicrosecond = 1000;
constexpr int64_t kMillisecond = 1000 * kMicrosecond;
constexpr int64_t kSecond = 1000 * kMillisecond;

// A sample is good to some 20 ns, so a factor measured over a baseline is used for at most three
// times as long: that keeps the error below 100 ns from the first milliseconds on.
constexpr int64_t kFirstBaseline = 5 * kMillisecond;
constexpr int64_t kIntervalPerBaseline = 3;
constexpr int64_t kMaxInterval = kSecond;
// The host's clock is steered too (NTP), so very old samples are of no use.
constexpr int64_t kAnchorAge = 8 * kSecond;
// How long past the due refresh the line may be used.
constexpr int64_t kSlack = 2 * kMillisecond;
// Off by this much, the rate of the host's clock has changed: measure it anew from the last sample.
constexpr int64_t kRateChanged = 500;
// Off by this much, a clock has been set or the counter moved: start over.
constexpr int64_t kStepped = kMillisecond;
// Offsets between the host's clocks are constant but for steps; this is the noise in measuring
// them.
constexpr int64_t kOffsetNoise = kMicrosecond;
constexpr int kSampleTries = 8;
// A host that reads its clock from anything but the counter takes longer than this, and has its
// reasons: it has compared the CPUs' counters and watched them since it started.
constexpr int64_t kMaxHostClockCost = 400;
// After so many steps the counter is not what CPUID says it is.
constexpr int kMaxResets = 100;

uint64_t ReadTsc() {
  _mm_lfence();
  uint64_t tsc = __rdtsc();
  _mm_lfence();
  return tsc;
}

int64_t BoottimeNow() {
  timespec now;
  clock_gettime(CLOCK_BOOTTIME, &now);
  return now.tv_sec * kSecond + now.tv_nsec;
}

// `clock` minus CLOCK_MONOTONIC, from the tightest of some tries.
int64_t MeasureOffset(int64_t (*clock)()) {
  int64_t best_width = INT64_MAX, offset = 0;
  for (int i = 0; i < kSampleTries; i++) {
    int64_t before = base::MonotonicNow();
    int64_t other = clock();
    int64_t after = base::MonotonicNow();
    if (after - before >= best_width) continue;
    best_width = after - before;
    offset = other - (before + best_width / 2);
  }
  return offset;
}

int64_t Scale(uint64_t ticks, uint64_t factor) {
  return static_cast<int64_t>(static_cast<unsigned __int128>(ticks) * factor >> kFactorShift);
}

}  // namespace

bool VdsoClock::TscUsable() {
  unsigned eax, ebx, ecx, edx;
  return __get_cpuid(0x80000007, &eax, &ebx, &ecx, &edx) != 0 && (edx & 1 << 8) != 0;
}

VdsoClock::VdsoClock(void* page) : params_(static_cast<Params*>(page)), usable_(TscUsable()) {
  memset(page, 0, kParamsSize);
  Reset();
}

VdsoClock::~VdsoClock() { Withdraw(); }

void VdsoClock::Reset() {
  Withdraw();
  if (++resets_ > kMaxResets) usable_ = false;
  if (!usable_) {
    next_refresh_ = INT64_MAX;
    return;
  }
  anchor_ = last_ = TakeSample();
  next_anchor_ = {};
  realtime_offset_ = boottime_offset_ = 0;
  next_refresh_ = anchor_.monotonic + kFirstBaseline;
}

VdsoClock::Sample VdsoClock::TakeSample() {
  Sample best = {};
  uint64_t best_width = UINT64_MAX;
  for (int i = 0; i < kSampleTries; i++) {
    uint64_t before = ReadTsc();
    int64_t monotonic = base::MonotonicNow();
    uint64_t width = ReadTsc() - before;
    if (width >= best_width) continue;
    best_width = width;
    best = {before + width / 2, monotonic, width};
  }
  return best;
}

uint64_t VdsoClock::Factor(const Sample& from, const Sample& to) {
  auto elapsed = static_cast<unsigned __int128>(to.monotonic - from.monotonic);
  auto factor = (elapsed << kFactorShift) / (to.tsc - from.tsc);
  return factor > UINT64_MAX ? 0 : static_cast<uint64_t>(factor);
}

int64_t VdsoClock::LineAt(uint64_t tsc) const {
  return params_->monotonic + Scale(tsc - params_->tsc, params_->factor);
}

void VdsoClock::UpdateOffsets() {
  int64_t realtime = MeasureOffset(base::RealtimeNow);
  if (std::abs(realtime - realtime_offset_) > kOffsetNoise) realtime_offset_ = realtime;
  int64_t boottime = MeasureOffset(BoottimeNow);
  if (std::abs(boottime - boottime_offset_) > kOffsetNoise) boottime_offset_ = boottime;
}

void VdsoClock::RefreshNow() {
  if (!usable_) return;
  Sample now = TakeSample();
  int64_t baseline = now.monotonic - anchor_.monotonic;
  if (baseline < 0 || now.tsc <= last_.tsc) return Reset();
  if (baseline < kFirstBaseline) return;
  uint64_t factor = Factor(anchor_, now);
  int64_t ahead = 0;
  if (ready()) {
    ahead = LineAt(now.tsc) - now.monotonic;
    if (std::abs(ahead) > kStepped) return Reset();
    if (std::abs(ahead) > kRateChanged) {
      anchor_ = last_;
      next_anchor_ = {};
      baseline = std::max(now.monotonic - anchor_.monotonic, kFirstBaseline);
      factor = Factor(anchor_, now);
    }
  }
  if (factor == 0) return Reset();
  if (!ready() && Scale(now.width, factor) > kMaxHostClockCost) {
    usable_ = false;
    return Reset();
  }
  int64_t interval = std::min(baseline * kIntervalPerBaseline, kMaxInterval);
  if (ahead > 0) {
    // Flatter, to meet the host's clock when the next refresh is due; but no less than half as
    // steep.
    int64_t horizon = std::max(interval, 2 * ahead);
    factor -= static_cast<uint64_t>(static_cast<unsigned __int128>(factor) * ahead / horizon);
  }
  UpdateOffsets();
  Publish(now, factor, interval + kSlack);
  next_refresh_ = now.monotonic + interval;
  last_ = now;
  if (next_anchor_.monotonic == 0) {
    if (baseline >= kAnchorAge) next_anchor_ = now;
  } else if (now.monotonic - next_anchor_.monotonic >= kAnchorAge) {
    anchor_ = next_anchor_;
    next_anchor_ = now;
  }
}

void VdsoClock::Withdraw() {
  std::atomic_ref<uint32_t> sequence(params_->sequence);
  uint32_t odd = sequence.load(std::memory_order_relaxed) | 1;
  sequence.store(odd, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_release);
  params_->ready = 0;
  sequence.store(odd + 1, std::memory_order_release);
}

void VdsoClock::Publish(const Sample& now, uint64_t factor, int64_t valid_for) {
  std::atomic_ref<uint32_t> sequence(params_->sequence);
  uint32_t odd = sequence.load(std::memory_order_relaxed) | 1;
  sequence.store(odd, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  // From here no reader takes the old line, so the counter's value now is the last for which one
  // can have; the new line begins there, and not below the old one.
  uint64_t tsc = ReadTsc();
  int64_t monotonic = now.monotonic + Scale(tsc - now.tsc, factor);
  if (params_->ready != 0) monotonic = std::max(monotonic, LineAt(tsc));
  params_->tsc = tsc;
  params_->monotonic = monotonic;
  params_->factor = factor;
  params_->max_delta =
      static_cast<uint64_t>((static_cast<unsigned __int128>(valid_for) << kFactorShift) / factor);
  params_->realtime_offset = realtime_offset_;
  params_->boottime_offset = boottime_offset_;
  params_->ready = 1;
  sequence.store(odd + 1, std::memory_order_release);
}

}  // namespace vdso
