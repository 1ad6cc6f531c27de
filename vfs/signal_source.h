#pragma once

// Where signalfd(2) gets signals from, without knowing of tasks.

#include <signal.h>

#include "base/wait_queue.h"

namespace vfs {

// The pending signals of a task and its thread group; implemented by sentry/kernel.
class SignalSource {
 public:
  virtual ~SignalSource() = default;
  // Takes the signal that would be delivered first among those of `mask` (bit n-1: signal n); false when none is pending.
  virtual bool DequeueSignal(uint64_t mask, siginfo_t* info) = 0;
  virtual bool HasPendingSignal(uint64_t mask) = 0;
  // Told of EPOLLIN whenever a signal is queued to the task or its thread group.
  virtual WaitQueue& signal_queue() = 0;

  // The calling task's. Set once by the kernel; may return null (no task calls).
  static void SetCurrent(SignalSource* (*current)()) { current_ = current; }
  static SignalSource* Current() { return current_ != nullptr ? current_() : nullptr; }

 private:
  static inline SignalSource* (*current_)() = nullptr;
};

}  // namespace vfs
