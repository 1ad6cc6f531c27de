#pragma once

// A seccomp notification descriptor.

#include <linux/seccomp.h>
#include <poll.h>

#include <cstdint>

#include "base/fd.h"
#include "base/result.h"

namespace platform::systrap {

class Listener {
 public:
  Listener() = default;
  explicit Listener(Fd fd) : fd_(std::move(fd)) {}

  // Looks at what the host can; once, before the Sentry's filter.
  static void Probe();

  // Asks for synchronous wake-ups: both sides then stay on one core. False where the host has none
  // (before 6.6).
  bool SetSynchronousWakeUp();

  // Waits for the next notification. ENOENT: every thread behind it is gone. Signals and vanished
  // calls are passed over.
  Result<void> Receive(seccomp_notif& notification);

  // Whether Receive has something to say at once.
  bool HasNews() const { return Poll(0) != 0; }

  // Replies to a call that has gone are dropped.
  void Reply(uint64_t id, int64_t value) { Send(id, value, 0); }
  void Continue(uint64_t id) { Send(id, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE); }
  // Puts a copy of `fd` at `target` of the process behind the call, which goes on waiting.
  Result<void> AddFd(uint64_t id, int fd, int target);

  bool valid() const { return fd_.valid(); }

 private:
  void Send(uint64_t id, int64_t value, uint32_t flags);
  bool Dead() const { return (Poll(0) & (POLLHUP | POLLERR | POLLNVAL)) != 0; }
  // What poll(2) says, after up to `timeout_ms`; -1: when there is something to say.
  short Poll(int timeout_ms) const;

  Fd fd_;
};

}  // namespace platform::systrap
