#include "sentry/kernel/ipc_msg.h"

#include <climits>

#include "base/event_loop.h"
#include "sentry/kernel/task.h"

namespace kernel {

Result<void> MessageQueue::Put(Message& message) {
  // Empty messages take no bytes, so their number is bounded too.
  if (bytes + message.data.size() > max_bytes || messages.size() + 1 > max_bytes) return Errno::kEAGAIN;
  bytes += message.data.size();
  messages.push_back(std::move(message));
  return {};
}

Result<MessageQueue::Message> MessageQueue::Take(size_t size, long type, int flags) {
  auto chosen = messages.end();
  if ((flags & MSG_COPY) != 0) {
    long index = 0;
    for (auto it = messages.begin(); it != messages.end() && chosen == messages.end(); ++it, index++) {
      if (index == type) chosen = it;
    }
  } else if (type < 0) {
    // The lowest type up to |type|, the oldest of that.
    long limit = type == LONG_MIN ? LONG_MAX : -type;
    for (auto it = messages.begin(); it != messages.end(); ++it) {
      if (it->type > limit) continue;
      if (chosen == messages.end() || it->type < chosen->type) chosen = it;
    }
  } else {
    for (auto it = messages.begin(); it != messages.end() && chosen == messages.end(); ++it) {
      bool match = type == 0 || ((flags & MSG_EXCEPT) != 0 ? it->type != type : it->type == type);
      if (match) chosen = it;
    }
  }
  if (chosen == messages.end()) return Errno::kEAGAIN;
  if (chosen->data.size() > size && (flags & MSG_NOERROR) == 0) return Errno::kE2BIG;
  Message message;
  if ((flags & MSG_COPY) != 0) {
    message = *chosen;
  } else {
    message = std::move(*chosen);
    bytes -= message.data.size();
    messages.erase(chosen);
  }
  if (message.data.size() > size) message.data.resize(size);
  return message;
}

namespace {

// Repeats `attempt` while it says EAGAIN.
template <class T>
Result<T> Wait(MessageQueue& queue, bool block, absl::FunctionRef<Result<T>()> attempt) {
  RefPtr<MessageQueue> hold(&queue);
  bool waited = false;
  base::FiberWaiter waiter;
  for (;;) {
    if (queue.removed) return waited ? Errno::kEIDRM : Errno::kEINVAL;
    Result<T> result = attempt();
    if (result.ok() || result.error() != Errno::kEAGAIN || !block) return result;
    if (!waiter.queued()) queue.changes.Add(waiter, EPOLLIN);
    waited = true;
    if (base::Fiber::Block() == base::WakeReason::kInterrupted && !queue.removed) return Errno::kERESTARTNOHAND;
  }
}

}  // namespace

Result<void> MsgSend(Task& task, MessageQueue& queue, MessageQueue::Message message, int flags) {
  TRY(Wait<void>(queue, (flags & IPC_NOWAIT) == 0, [&]() -> Result<void> { return queue.Put(message); }));
  queue.last_sender = task.tgid();
  queue.send_time = base::RealtimeNow() / 1'000'000'000;
  queue.changes.Notify(EPOLLIN);
  return {};
}

Result<MessageQueue::Message> MsgReceive(Task& task, MessageQueue& queue, size_t size, long type, int flags) {
  Result<MessageQueue::Message> result = Wait<MessageQueue::Message>(
      queue, (flags & IPC_NOWAIT) == 0, [&]() -> Result<MessageQueue::Message> { return queue.Take(size, type, flags); });
  if (!result.ok()) return result.error() == Errno::kEAGAIN ? Errno::kENOMSG : result.error();
  if ((flags & MSG_COPY) == 0) {
    queue.last_receiver = task.tgid();
    queue.receive_time = base::RealtimeNow() / 1'000'000'000;
    queue.changes.Notify(EPOLLIN);
  }
  return result;
}

}  // namespace kernel
