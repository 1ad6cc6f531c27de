#include "vfs/fs/gofer/placement.h"

#include <sched.h>
#include <time.h>

#include "base/host.h"

namespace goferfs {

namespace {

cpu_set_t all_cpus;  // of this process
int cpu_count = 0;   // 0: not known

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

void Placement::Prepare() {
  if (HOST(sched_getaffinity(0, sizeof all_cpus, &all_cpus)).ok()) cpu_count = CPU_COUNT(&all_cpus);
}

Placement::Call::Call(Placement& placement) : placement_(placement) {
  if (cpu_count < 2) return;
  cpu_ = sched_getcpu();
  if (cpu_ < 0 || cpu_ >= CPU_SETSIZE || !CPU_ISSET(cpu_, &all_cpus)) {
    cpu_ = -1;
    return;
  }
  if (placement_.stays_) {
    cpu_set_t here;
    CPU_ZERO(&here);
    CPU_SET(cpu_, &here);
    staying_ = HOST(sched_setaffinity(0, sizeof here, &here)).ok();
  }
  start_ = Now();
}

Placement::Call::~Call() {
  if (staying_) (void)HOST(sched_setaffinity(0, sizeof all_cpus, &all_cpus));
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
