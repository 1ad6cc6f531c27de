#pragma once

// Host threads of the Sentry that receive the stubs' notifications and run what they wake.
//
// A stub has at most one receiver: normally the same worker all its life. When the fiber that a
// worker runs blocks in the host while threads of the worker's stub run application code, a spare
// worker takes the stub over, unless the fiber is back before the spare one is awake.

#include <atomic>
#include <cstdint>

#include "base/ref.h"

namespace platform::systrap {

class StubProcess;
class Worker;
struct HostThread;

// How many threads of a stub run (application code, mostly), and of all stubs together.
class RunningThreads {
 public:
  ~RunningThreads() { Clear(); }
  void Add(int count) {
    count_ += count;
    all_ += count;
  }
  // The stub is gone.
  void Clear() { all_ -= count_.exchange(0); }
  int count() const { return count_; }

  static int All() { return all_; }

 private:
  std::atomic<int> count_{0};
  static std::atomic<int> all_;
};

// Part of a StubProcess: who receives its notifications.
struct ReceiverState {
  // The receiving worker while it is blocked in the host; whoever swaps it for null has to receive.
  std::atomic<Worker*> blocked{nullptr};
  // A spare worker was told to look whether it still is.
  std::atomic<bool> offered{false};
  // Threads that may notify: replies sent less notifications received.
  RunningThreads outstanding;
};

// Starts a worker for `stub`, or takes a spare one.
void Serve(base::RefPtr<StubProcess> stub);

// Somebody must receive now that a thread of `stub` goes back to application code: it is counted in
// `outstanding`.
void EnsureReceiver(StubProcess& stub);

// Replies to a notification of `stub` when the calling worker has left the kernel lock, at once on
// other threads.
// `thread`: which goes on then, null for the spawner.
void QueueReply(StubProcess& stub, HostThread* thread, uint64_t id, int64_t value);
void QueueContinue(StubProcess& stub, uint64_t id);

// Workers that exist, for tests.
int WorkerCount();
// Lets spare workers end.
void RetireSpareWorkers();

}  // namespace platform::systrap
