#include "vfs/poll.h"

#include <memory>

namespace vfs {

namespace {

int CountReady(std::span<PollEntry> entries) {
  int count = 0;
  for (PollEntry& entry : entries) {
    if (entry.file) entry.ready = WithBands(entry.file->Readiness()) & (entry.events | EPOLLERR | EPOLLHUP);
    count += entry.ready != 0;
  }
  return count;
}

}  // namespace

Result<int> Poll(std::span<PollEntry> entries, int64_t deadline_ns) {
  int ready = CountReady(entries);
  // 0 is the deadline of those who only look; it saves reading the clock.
  if (ready > 0 || deadline_ns <= 0) return ready;
  constexpr size_t kInline = 8;
  base::FiberWaiter few[kInline];
  std::unique_ptr<base::FiberWaiter[]> many;
  if (entries.size() > kInline) many = std::make_unique<base::FiberWaiter[]>(entries.size());
  base::FiberWaiter* waiters = many ? many.get() : few;
  for (size_t i = 0; i < entries.size(); i++) {
    WaitQueue* queue = entries[i].file ? entries[i].file->wait_queue() : nullptr;
    if (queue != nullptr) queue->Add(waiters[i], WaitMask(entries[i].events));
  }
  for (;;) {
    ready = CountReady(entries);
    if (ready > 0) return ready;
    switch (Fiber::Block(deadline_ns)) {
      case base::WakeReason::kWoken:
        break;
      case base::WakeReason::kInterrupted:
        return Errno::kERESTARTNOHAND;
      case base::WakeReason::kTimedOut:
        return CountReady(entries);
    }
  }
}

}  // namespace vfs
