#pragma once

// The event thread: one host thread of the Sentry that runs timers, watches host descriptors (the control socket, the
// container's stdio) and runs fibers that nobody else is awake to run. Asleep it costs nothing.

#include <cstdint>
#include <map>

#include "absl/functional/any_invocable.h"
#include "base/fd.h"
#include "base/wait_queue.h"

namespace base {

// Nanoseconds of CLOCK_MONOTONIC and CLOCK_REALTIME. Tests replace the source with SetClockForTest.
int64_t MonotonicNow();
int64_t RealtimeNow();
void SetClockForTest(int64_t (*monotonic)(), int64_t (*realtime)());

// A one-shot timer on CLOCK_MONOTONIC. Callbacks run under the kernel lock on the event thread.
class Timer {
 public:
  explicit Timer(absl::AnyInvocable<void()> callback) : callback_(std::move(callback)) {}
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  ~Timer() { Cancel(); }

  // (Re)arms it. A deadline in the past fires as soon as the event thread runs.
  void Arm(int64_t deadline_ns);
  void Cancel();
  bool armed() const { return armed_; }
  int64_t deadline() const { return deadline_; }

 private:
  friend class EventLoop;
  absl::AnyInvocable<void()> callback_;
  bool armed_ = false;
  int64_t deadline_ = 0;
  std::multimap<int64_t, Timer*>::iterator position_;
};

class EventLoop {
 public:
  static EventLoop& Get();

  // Opens the host descriptors (epoll, timerfd, eventfd); before the Sentry's filter is installed. Idempotent.
  void Init();

  // Calls `callback(events)` under the kernel lock when `fd` (borrowed) has any of `events` (epoll bits, level-triggered
  // unless EPOLLET or EPOLLONESHOT is given), until Unwatch. At most one watch a descriptor.
  Result<void> Watch(int fd, uint32_t events, absl::AnyInvocable<void(uint32_t)> callback);
  Result<void> Modify(int fd, uint32_t events);
  void Unwatch(int fd);

  // Runs until Stop(); the caller is the event thread.
  void Run();
  void Stop();
  // Wakes the event thread, which then runs ready fibers. From any thread.
  void Wake();

  // For tests without an event thread: fires timers that are due at `now_ns`.
  void FireTimers(int64_t now_ns);

 private:
  friend class Timer;
  void ArmHostTimer();

  struct WatchEntry {
    absl::AnyInvocable<void(uint32_t)> callback;
    uint64_t generation;
  };
  Fd epoll_, timer_fd_, wake_fd_;
  std::multimap<int64_t, Timer*> timers_;
  std::map<int, WatchEntry> watches_;
  uint64_t generation_ = 0;
  int64_t host_timer_ = INT64_MAX;
  bool stop_ = false;
};

}  // namespace base
