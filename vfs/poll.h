#pragma once

// What poll(2), ppoll(2), select(2) and pselect(2) share: waiting for any of several files.

#include <span>

#include "vfs/file_description.h"

namespace vfs {

struct PollEntry {
  // Null for an entry that takes no part: `ready` then stays what the caller made it (POLLNVAL, or 0 for a negative fd).
  RefPtr<FileDescription> file;
  EventMask events = 0;
  EventMask ready = 0;  // out: what holds of `events`, EPOLLERR and EPOLLHUP
};

// Files report EPOLLIN and EPOLLOUT; applications may ask for the bands of the same (EPOLLRDNORM, EPOLLWRNORM).
inline EventMask WithBands(EventMask events) {
  if ((events & EPOLLIN) != 0) events |= EPOLLRDNORM;
  if ((events & EPOLLOUT) != 0) events |= EPOLLWRNORM;
  return events;
}
// The mask to wait with for `events` of an application.
inline EventMask WaitMask(EventMask events) {
  if ((events & EPOLLRDNORM) != 0) events |= EPOLLIN;
  if ((events & EPOLLWRNORM) != 0) events |= EPOLLOUT;
  return events | EPOLLERR | EPOLLHUP;
}

// Parks the calling fiber until an entry is ready, and returns how many are; 0 at the deadline (a past one: polls once). Fails with
// ERESTARTNOHAND when interrupted; poll(2) proper makes ERESTART_RESTARTBLOCK of it.
Result<int> Poll(std::span<PollEntry> entries, int64_t deadline_ns);

}  // namespace vfs
