#pragma once

// A worker that watches threads from another processor: while they make one system call after the
// other, they post them (posted_call.h) and the worker looks for them, which saves both the switch.
// It begins with those that are about to go on when one stub has made many calls in a short time,
// mostly one thread. Whom they wake is watched as well: threads that wait for each other (at pipes,
// sockets, futexes) then share one processor and yield it to each other while their calls are
// blocked. All that pays only on a processor that has nothing else to do, so it is left
//   - when no call comes for longer than what was saved so far is worth, or too many that are not
//     posted (from other places than those replaced, and faults),
//   - when all calls are blocked: waking a thread up is cheap on one processor only,
//   - when several threads want to run for long, unless they do little but making calls, or the worker
//     does not get the processor for itself,
// and each time it did not pay the pause until the next attempt is twice as long.
//
// Belongs to one worker. Not under the kernel lock.

#include <cstdint>

#include "absl/container/inlined_vector.h"
#include "base/ref.h"
#include "platform/systrap/stub_process.h"

namespace platform::systrap {

class Watch {
 public:
  // `allowed`: whether to watch at all. After base::Affinity::Prepare.
  static void Configure(bool allowed);

  // A notification of the worker's own stub was served.
  void OnNotification();
  // Whether enough were served in short time to begin.
  bool IsDue() const { return !watching() && calls_ >= kQuickCalls && last_call_ >= not_before_; }
  // Begins if nobody runs but `threads` that are about to go on, or other threads of the own stub
  // which make many calls, too, and a processor is idle: the worker moves there.
  void MaybeEnter(StubProcess& own, int threads);
  bool watching() const { return processor_ >= 0; }
  // The stopped thread, which is about to go on, is watched from now on; only while watching.
  void Add(const RefPtr<StubProcess>& stub, HostThread& thread);

  // Waits a little for a posted call; the thread that has one. None: a notification of the worker's
  // own stub is due, or came meanwhile, or watching is over.
  HostThread* Look(StubProcess& own);
  // The call that Look found was served, or is waiting for something. Not `taken`: it is none any more.
  void OnServed(HostThread& thread, bool taken);
  void Leave();

 private:
  struct Watched {
    RefPtr<StubProcess> stub;
    HostThread* thread;
    StubArea area;
  };
  enum class Found { kCall, kNotification, kNothing };

  static constexpr int kQuickCalls = 32;      // to begin, within
  static constexpr int64_t kQuick = 500'000;  // ns
  static constexpr size_t kMost = 32;         // threads

  bool WorthLooking(StubProcess& own);
  Found WaitForCall(StubProcess& own);
  bool IsCrowded(int64_t now);
  void Fail();
  void Forget(const Watched& watched);

  absl::InlinedVector<Watched, 2> threads_;
  size_t next_ = 0;        // whom to look at first
  int processor_ = -1;     // where they stay; -1: not watching
  bool answered_ = false;  // one of the own stub is about to ask for its result
  int calls_ = 0;          // notifications since
  int64_t first_call_ = 0, last_call_ = 0;
  int served_ = 0, unasked_ = 0;
  int64_t credit_ = 0;  // ns that may still be wasted
  int64_t crowded_since_ = 0;  // several threads want to run; 0: no
  int served_before_ = 0;      // that
  int64_t strangers_since_ = 0;  // so long others have been running, too
  size_t watched_before_ = 0;
  int64_t pause_ = 0, not_before_ = 0;
  // Likewise, until the next attempt with several threads that run.
  int64_t several_pause_ = 0, not_several_before_ = 0;
};

}  // namespace platform::systrap
