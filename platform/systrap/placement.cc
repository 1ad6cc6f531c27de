#include "platform/systrap/placement.h"

#include <utility>

#include "base/affinity.h"

namespace platform::systrap {

using base::Affinity;

namespace {

// Ticks of the time stamp counter, some 50 us: shorter than a time slice, longer than it takes a
// thread that wakes another one to go to sleep.
constexpr int64_t kLong = 150'000;

int64_t Now() { return static_cast<int64_t>(__builtin_ia32_rdtsc()); }

}  // namespace

std::array<Placement::Processor, Placement::kMost> Placement::table_;

void Placement::Resume() { ResumeAt(sched_getcpu()); }

void Placement::ResumeAt(int processor) {
  if (std::exchange(running_, true)) return;
  processor_ = processor;
  resumed_at_ = Now();
  At(processor).running++;
  At(processor).resumed_at += resumed_at_;
}

void Placement::Stop() {
  if (!std::exchange(running_, false)) return;
  Processor& processor = At(processor_);
  processor.running--;
  processor.resumed_at -= resumed_at_;
}

int Placement::Elsewhere() {
  const Processor& here = At(sched_getcpu());
  const int others = here.running.load(std::memory_order_relaxed);
  if (others <= 0) return -1;
  if (Now() - here.resumed_at.load(std::memory_order_relaxed) / others < kLong) return -1;
  const cpu_set_t& processors = Affinity::Processors();
  for (int i = 0, left = CPU_COUNT(&processors); left > 0 && i < kMost; i++) {
    if (!CPU_ISSET(i, &processors)) continue;
    left--;
    if (At(i).running.load(std::memory_order_relaxed) == 0) return i;
  }
  return -1;
}

void Placement::Pin(pid_t tid, int processor) {
  const cpu_set_t there = Affinity::Only(processor);
  (void)sched_setaffinity(tid, sizeof there, &there);
}

void Placement::Release(pid_t tid) {
  (void)sched_setaffinity(tid, sizeof(cpu_set_t), &Affinity::Processors());
}

}  // namespace platform::systrap
