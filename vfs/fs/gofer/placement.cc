#include "vfs/fs/gofer/placement.h"

#include <sched.h>
#include <time.h>

#include "base/affinity.h"

namespace goferfs {

using base::Affinity;

namespace {

// A call that takes longer than this besides the gofer's work was waiting for a CPU to wake up, or for its turn on a busy one.
constexpr int64_t kSlowNs = 25'000;
// So many slow plain calls in a row, on another CPU, start staying; so many slow ones among so many calls end it.
constexpr int kSlowToStay = 2;
constexpr int kSlowToLeave = 4, kLeaveWindow = 16;

int64_t Now() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

}  // namespace

Placement::Call::Call(Placement& placement) : placement_(placement) {
  if (CPU_COUNT(&Affinity::Processors()) < 2) return;
  cpu_ = sched_getcpu();
  // A thread that is told to be on this one is no use to the gofer elsewhere.
  if (placement_.stays_ || CPU_COUNT(&Affinity::Own()) == 1) here_.emplace(cpu_);
  start_ = Now();
}

void Placement::Call::Done(const gofer::ReplyHeader& reply) {
  if (cpu_ < 0 || reply.cpu == 0) return;
  bool slow = Now() - start_ - reply.service_ns > kSlowNs;
  bool elsewhere = reply.cpu != cpu_ + 1;
  if (!placement_.stays_) {
    placement_.slow_ = slow && elsewhere ? placement_.slow_ + 1 : 0;
    if (placement_.slow_ < kSlowToStay) return;
    placement_.stays_ = true;
  } else {
    if (slow && !elsewhere) placement_.slow_++;
    bool leave = placement_.slow_ >= kSlowToLeave;
    if (++placement_.calls_ < kLeaveWindow && !leave) return;
    if (leave) placement_.stays_ = false;
  }
  placement_.slow_ = placement_.calls_ = 0;
}

}  // namespace goferfs
