#include "base/event_loop.h"

#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "base/host.h"
#include "base/kernel_lock.h"
#include "base/log.h"

namespace base {

namespace {

int64_t HostClock(clockid_t clock) {
  timespec now;
  clock_gettime(clock, &now);
  return now.tv_sec * 1'000'000'000LL + now.tv_nsec;
}
int64_t HostMonotonic() { return HostClock(CLOCK_MONOTONIC); }
int64_t HostRealtime() { return HostClock(CLOCK_REALTIME); }

int64_t (*monotonic_clock)() = HostMonotonic;
int64_t (*realtime_clock)() = HostRealtime;

}  // namespace

int64_t MonotonicNow() { return monotonic_clock(); }
int64_t RealtimeNow() { return realtime_clock(); }
void SetClockForTest(int64_t (*monotonic)(), int64_t (*realtime)()) {
  monotonic_clock = monotonic != nullptr ? monotonic : HostMonotonic;
  realtime_clock = realtime != nullptr ? realtime : HostRealtime;
}

void Timer::Arm(int64_t deadline_ns) {
  Cancel();
  EventLoop& loop = EventLoop::Get();
  deadline_ = deadline_ns;
  position_ = loop.timers_.emplace(deadline_ns, this);
  armed_ = true;
  loop.ArmHostTimer();
}

void Timer::Cancel() {
  // The host timer stays armed: a wake-up in vain is cheaper than a host call for every time-out that is not needed.
  if (armed_) EventLoop::Get().timers_.erase(position_);
  armed_ = false;
}

EventLoop& EventLoop::Get() {
  static EventLoop* loop = new EventLoop;
  return *loop;
}

void EventLoop::Init() {
  if (epoll_.valid()) return;
  epoll_ = Fd(HOST(epoll_create1(EPOLL_CLOEXEC)).value());
  timer_fd_ = Fd(HOST(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)).value());
  wake_fd_ = Fd(HOST(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)).value());
  for (int fd : {timer_fd_.get(), wake_fd_.get()}) {
    epoll_event event{.events = EPOLLIN, .data = {.fd = fd}};
    CHECK_OK(HOST(epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event)));
  }
  FiberRunner::on_abandon = [] { EventLoop::Get().Wake(); };
}

Result<void> EventLoop::Watch(int fd, uint32_t events, absl::AnyInvocable<void(uint32_t)> callback) {
  epoll_event event{.events = events, .data = {.fd = fd}};
  TRY(HOST(epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event)));
  watches_[fd] = WatchEntry{std::move(callback), ++generation_};
  return {};
}

Result<void> EventLoop::Modify(int fd, uint32_t events) {
  epoll_event event{.events = events, .data = {.fd = fd}};
  TRY(HOST(epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event)));
  return {};
}

void EventLoop::Unwatch(int fd) {
  if (watches_.erase(fd) > 0) epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

void EventLoop::ArmHostTimer() {
  if (timers_.empty() || !timer_fd_.valid()) return;
  int64_t first = timers_.begin()->first;
  if (first >= host_timer_) return;
  host_timer_ = first;
  int64_t at = first > 0 ? first : 1;  // zero would disarm
  itimerspec spec{.it_value = {.tv_sec = at / 1'000'000'000, .tv_nsec = at % 1'000'000'000}};
  timerfd_settime(timer_fd_.get(), TFD_TIMER_ABSTIME, &spec, nullptr);
}

void EventLoop::FireTimers(int64_t now_ns) {
  while (!timers_.empty() && timers_.begin()->first <= now_ns) {
    Timer* timer = timers_.begin()->second;
    timer->Cancel();
    timer->callback_();  // may destroy the timer
  }
}

void EventLoop::Run() {
  stop_ = false;
  while (!stop_) {
    epoll_event events[16];
    int n = epoll_wait(epoll_.get(), events, 16, -1);
    KernelLock::Section section;
    uint64_t newest = generation_;
    for (int i = 0; i < n; i++) {
      int fd = events[i].data.fd;
      if (fd == timer_fd_.get() || fd == wake_fd_.get()) {
        uint64_t count;
        [[maybe_unused]] ssize_t bytes = read(fd, &count, sizeof count);
        if (fd == timer_fd_.get()) {
          host_timer_ = INT64_MAX;
          FireTimers(MonotonicNow());
          ArmHostTimer();
        }
        continue;
      }
      auto it = watches_.find(fd);
      // A callback of this round may have closed the descriptor, and another may have taken its number.
      if (it == watches_.end() || it->second.generation > newest) continue;
      uint64_t generation = it->second.generation;
      auto callback = std::move(it->second.callback);
      callback(events[i].events);
      it = watches_.find(fd);
      if (it != watches_.end() && it->second.generation == generation) it->second.callback = std::move(callback);
    }
  }
}

void EventLoop::Stop() {
  stop_ = true;
  Wake();
}

void EventLoop::Wake() {
  uint64_t one = 1;
  [[maybe_unused]] ssize_t n = write(wake_fd_.get(), &one, sizeof one);
}

}  // namespace base
