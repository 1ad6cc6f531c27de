#pragma once

// A worker that watches one thread from another processor: while the thread makes one system call
// after the other, it posts them (posted_call.h) and the worker looks for them, which saves both the
// switch. That pays only on a processor that has nothing else to do, so it is left
//   - when the thread makes no call for longer than what was saved so far is worth, or too many that
//     it does not post (from other places than those replaced, and faults),
//   - when its call blocks: waking each other up is cheap on one processor only,
//   - when other threads want to run for long, or the worker does not get the processor for itself,
// and each time it did not pay the pause until the next attempt is twice as long.
//
// Belongs to one worker. Not under the kernel lock.

#include <sched.h>

#include <cstdint>

namespace platform::systrap {

class StubProcess;
struct HostThread;

class Watch {
 public:
  // `allowed`: whether to watch at all. After base::Affinity::Prepare.
  static void Configure(bool allowed);

  // A notification of the thread was served and is about to be answered.
  void OnNotification(StubProcess& stub);
  // Begins when it is time: moves the worker to another processor than that of the stopped thread,
  // before the reply.
  void MaybeEnter(StubProcess& stub);
  // Waits a little for a posted call; the thread that has one. None: a notification is due, or came
  // meanwhile, or it is left.
  HostThread* Look(StubProcess& stub);
  // The call that Look found was served, or is waiting for something. Not `taken`: it is none any more.
  void OnServed(bool taken);
  void Leave();

  // The processor that `thread` is to stay on; -1: any.
  int ProcessorOf(const HostThread* thread) const { return thread == thread_ ? processor_ : -1; }

 private:
  enum class Found { kCall, kNotification, kNothing };
  Found WaitForCall(StubProcess& stub);
  bool IsCrowded(int64_t now);
  void Fail();

  HostThread* thread_ = nullptr;  // watched,
  int processor_ = -1;            // which stays there
  HostThread* candidate_ = nullptr;
  int quick_calls_ = 0;  // of the candidate, in a row
  int served_ = 0;
  int64_t credit_ = 0;      // ns that may still be wasted
  int64_t first_call_ = 0;  // of them
  int64_t last_call_ = 0;
  int64_t crowded_since_ = 0;  // other threads want to run, too; 0: none does
  int64_t pause_ = 0, not_before_ = 0;
};

}  // namespace platform::systrap
