#pragma once

// Wait queues: objects that become readable, writable or otherwise ready own one; pollers and blocked fibers add a Waiter.
// All under the kernel lock. Event masks are those of poll(2) (EPOLLIN, EPOLLOUT, EPOLLHUP, ...).

#include <sys/epoll.h>

#include <cstdint>

#include "absl/functional/function_ref.h"
#include "base/fiber.h"
#include "base/result.h"

namespace base {

using EventMask = uint32_t;

class WaitQueue;

// An intrusive entry of at most one queue; removes itself on destruction.
class Waiter {
 public:
  Waiter() = default;
  Waiter(const Waiter&) = delete;
  Waiter& operator=(const Waiter&) = delete;
  virtual ~Waiter() { Remove(); }

  // Called when the queue reports any event of `mask`. May remove this or other waiters.
  virtual void OnEvent(EventMask events) = 0;
  // Whether an exclusive waiter keeps the event from the next one. Epoll says no while nobody waits behind it, so that the
  // event also reaches somebody who does.
  virtual bool TakesEvent() const { return true; }

  void Remove();
  bool queued() const { return queue_ != nullptr; }

  EventMask mask = 0;
  bool exclusive = false;  // at most one exclusive waiter is told of an event (EPOLLEXCLUSIVE, accept)

 private:
  friend class WaitQueue;
  WaitQueue* queue_ = nullptr;
  Waiter* prev_ = nullptr;
  Waiter* next_ = nullptr;
};

class WaitQueue {
 public:
  WaitQueue() = default;
  WaitQueue(const WaitQueue&) = delete;
  WaitQueue& operator=(const WaitQueue&) = delete;
  ~WaitQueue();

  void Add(Waiter& waiter, EventMask mask);
  // Tells every waiter whose mask meets `events` (EPOLLERR and EPOLLHUP meet any mask).
  void Notify(EventMask events);
  bool empty() const { return head_ == nullptr; }

 private:
  friend class Waiter;
  Waiter* head_ = nullptr;
  Waiter* tail_ = nullptr;
  Waiter* cursor_ = nullptr;  // where a running Notify goes on; moved by Remove
};

// Unparks a fiber.
class FiberWaiter : public Waiter {
 public:
  explicit FiberWaiter(Fiber* fiber = Fiber::Current()) : fiber_(fiber) {}
  void OnEvent(EventMask) override {
    fired = true;
    fiber_->Unpark();
  }
  bool fired = false;

 private:
  Fiber* fiber_;
};

// Calls `attempt` until it returns anything but EAGAIN, blocking on `queue` between calls. Fails with ERESTARTSYS when
// interrupted, EAGAIN at the deadline. `attempt` runs again after every event, so it must be a whole, restartable try.
template <class T>
Result<T> BlockUntil(WaitQueue& queue, EventMask mask, int64_t deadline_ns, absl::FunctionRef<Result<T>()> attempt) {
  Result<T> result = attempt();
  if (result.ok() || result.error() != Errno::kEAGAIN) return result;
  FiberWaiter waiter;
  queue.Add(waiter, mask);
  for (;;) {
    result = attempt();
    if (result.ok() || result.error() != Errno::kEAGAIN) return result;
    switch (Fiber::Block(deadline_ns)) {
      case WakeReason::kWoken:
        break;
      case WakeReason::kInterrupted:
        // What comes together with a signal is not lost to it, as in Linux: the end of a child and its SIGCHLD.
        result = attempt();
        if (result.ok() || result.error() != Errno::kEAGAIN) return result;
        return Errno::kERESTARTSYS;
      case WakeReason::kTimedOut:
        return attempt();
    }
  }
}

}  // namespace base

using base::EventMask;
using base::WaitQueue;
