#pragma once

// Fibers: the kernel side of a guest task, and any other kernel activity that may block, runs on one.
//
// Rules:
//  * Fibers run only under the kernel lock (base/kernel_lock.h), so code between two parks is atomic towards all other
//    kernel code. Host calls that may block drop the lock with KernelLock::Unlocked.
//  * A parked fiber is resumed by whichever host thread runs the ready queue next; nothing host-thread-local may be held
//    across a park.
//  * A fiber always runs to the end of its entry function: it is never destroyed while parked. What must end it makes its
//    waits return kInterrupted and lets it unwind.

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/functional/any_invocable.h"

namespace base {

enum class WakeReason { kWoken, kInterrupted, kTimedOut };

// No deadline, in the nanoseconds of CLOCK_MONOTONIC that all deadlines are in.
inline constexpr int64_t kNoDeadline = INT64_MAX;

class Fiber {
 public:
  // Makes a fiber and queues it to run. It frees itself when `entry` returns.
  static Fiber* Start(absl::AnyInvocable<void()> entry);

  // The fiber that the calling code runs on, or null on a host thread's own stack.
  static Fiber* Current();

  // Parks the current fiber until Unpark(), whatever the interrupt state. A wake-up that came before is not lost, and
  // wake-ups may be spurious: callers loop on their condition.
  static void Park();

  // Parks the current fiber until Unpark() (kWoken), Interrupt() (kInterrupted; at once where one is pending), or the
  // deadline (CLOCK_MONOTONIC ns). For use in loops that recheck their condition: kWoken may be spurious.
  static WakeReason Block(int64_t deadline_ns = kNoDeadline);

  // Makes the fiber runnable if it is parked, else its next Park or Block returns at once. Under the kernel lock.
  void Unpark();

  // Like Linux's TIF_SIGPENDING: while set, Block returns kInterrupted. Setting it wakes a blocked fiber.
  void Interrupt();
  void ClearInterrupt() { interrupted_ = false; }
  bool interrupted() const { return interrupted_; }

  // Free for the owner: the kernel keeps its Task* here.
  void* owner = nullptr;
  // How often it gave the host thread away: tells an owner whether time that passed was spent waiting.
  uint64_t parks = 0;

 private:
  friend class FiberRunner;
  struct Impl;
  Fiber() = default;

  enum class State : uint8_t { kReady, kRunning, kParked, kBlocked };

  void* context_ = nullptr;  // saved fcontext while not running
  void* stack_ = nullptr;
  absl::AnyInvocable<void()> entry_;
  Fiber* next_ready_ = nullptr;
  State state_ = State::kReady;
  bool woken_ = false;        // an Unpark came while running
  bool interrupted_ = false;
  bool timed_out_ = false;
  bool done_ = false;
};

// Runs fibers on the calling host thread; used by the kernel lock and by platforms' workers.
class FiberRunner {
 public:
  // Runs ready fibers until none is left. The kernel lock is held; called on a host thread's own stack.
  static void RunReady();
  static bool HasReady();
  // Called with the kernel lock held when a fiber leaves the lock for a host call that may block while others are ready:
  // somebody else must run those. Set by the event loop.
  static void (*on_abandon)();

 private:
  friend class Fiber;
  static void Enqueue(Fiber* fiber);
  static void Trampoline(void* transfer_from, void* data);
};

}  // namespace base

using base::Fiber;
