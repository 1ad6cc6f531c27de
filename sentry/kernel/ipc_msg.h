#pragma once

// System V message queues: msgget(2), msgop(2), msgctl(2).

#include <sys/msg.h>

#include <list>
#include <string>

#include "base/wait_queue.h"
#include "sentry/kernel/ipc_object.h"

namespace kernel {

class MessageQueue final : public RefCounted {
 public:
  static constexpr size_t kMaxMessage = 8192;   // MSGMAX
  static constexpr size_t kMaxBytes = 16384;    // MSGMNB
  struct Message {
    long type;
    std::string data;
  };

  // EAGAIN: no room.
  Result<void> Put(Message& message);
  // ENOMSG-like EAGAIN: none that fits `type` and `flags` (msgrcv). E2BIG. MSG_COPY leaves it in the queue.
  Result<Message> Take(size_t size, long type, int flags);
  void OnRemoved() { changes.Notify(EPOLLIN); }

  IpcPermissions permissions;
  bool removed = false;
  std::list<Message> messages;
  size_t bytes = 0, max_bytes = kMaxBytes;
  int last_sender = 0, last_receiver = 0;
  int64_t send_time = 0, receive_time = 0, change_time = 0;
  WaitQueue changes;
};

// Park unless IPC_NOWAIT. EIDRM, ERESTARTNOHAND; EAGAIN or ENOMSG.
Result<void> MsgSend(Task& task, MessageQueue& queue, MessageQueue::Message message, int flags);
Result<MessageQueue::Message> MsgReceive(Task& task, MessageQueue& queue, size_t size, long type, int flags);

}  // namespace kernel
