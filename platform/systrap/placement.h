#pragma once

// Which processors the application threads of all stubs run on. Synchronous wake-ups keep everybody
// on the processor of whoever wakes him, which is what makes system calls cheap, and the host's
// balancer takes its time to notice that another processor is idle. So a thread that makes a system
// call where somebody else has been running for a while without making one is sent to a processor
// where none is.
//
// Any thread of the Sentry, without a lock: what this says may be a little out of date.

#include <sched.h>
#include <sys/types.h>

#include <array>
#include <atomic>
#include <cstdint>

namespace platform::systrap {

// Of one thread.
class Placement {
 public:
  ~Placement() { Stop(); }

  // The stopped thread goes on here.
  void Resume();
  // It stopped, or is gone.
  void Stop();

  // A processor that the thread, which is about to go on, should be sent to; -1: none.
  static int Elsewhere();
  // As Resume, for a thread that was pinned there.
  void ResumeAt(int processor);

  // Lets a stub's thread run on one processor only, on all.
  static void Pin(pid_t tid, int processor);
  static void Release(pid_t tid);

 private:
  struct Processor {
    std::atomic<int> running{0};
    std::atomic<int64_t> resumed_at{0};  // the sum of their times
  };
  static constexpr int kMost = 256;
  static Processor& At(int number) { return table_[number % kMost]; }
  static std::array<Processor, kMost> table_;

  int processor_ = 0;
  int64_t resumed_at_ = 0;
  bool running_ = false;
};

}  // namespace platform::systrap
