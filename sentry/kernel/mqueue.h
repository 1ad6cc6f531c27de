#pragma once

// POSIX message queues: mq_overview(7). The queues of an IPC namespace are the files of one file system, which may also be
// mounted ("mqueue").

#include <mqueue.h>
#include <signal.h>

#include <functional>
#include <list>
#include <map>
#include <string>

#include "base/wait_queue.h"
#include "sentry/kernel/namespaces.h"
#include "sentry/kernel/pid.h"
#include "vfs/file_description.h"
#include "vfs/path_walk.h"

namespace kernel {

class PosixQueue final : public RefCounted {
 public:
  static constexpr long kDefaultMessages = 10, kDefaultSize = 8192;
  static constexpr long kMostMessages = 65536, kMostSize = 16 << 20;
  static constexpr unsigned kPriorities = 32768;

  struct Message {
    unsigned priority = 0;
    std::string data;
  };

  PosixQueue(long most_messages, long most_size) : max_messages(most_messages), max_size(most_size) {}

  // EAGAIN: full, or empty.
  Result<void> Put(Message& message);
  Result<Message> Take();
  EventMask Readiness() const;

  // mq_notify(2): the process to tell when a message comes to the empty queue. EBUSY.
  Result<void> SetNotification(ThreadGroup& group, const sigevent& event);
  // Where `group` is who asked for it.
  void ClearNotification(const ThreadGroup& group);
  // Bytes queued, and who is to be told: what read(2) of the file says.
  std::string Status(const PidNamespace& ns) const;

  const long max_messages, max_size;
  long count = 0;
  size_t bytes = 0;
  int blocked_receivers = 0;  // they come before the notification
  WaitQueue changes;

 private:
  void Notify();

  std::map<unsigned, std::list<std::string>, std::greater<>> messages_;  // by priority
  RefPtr<ThreadGroup> notified_;
  sigevent notification_ = {};
};

// The file system of a namespace, made on first use; and its root as a place to start walks from.
RefPtr<vfs::FileSystem> MqueueFileSystem(IpcNamespace& ns);
vfs::Path MqueueRoot(IpcNamespace& ns);
// What the next file that is created in it is to be like; the limits of mq_open(3) were checked.
void SetNextQueueAttributes(IpcNamespace& ns, long max_messages, long max_size);
size_t QueueCount(IpcNamespace& ns);

// The queue of an open file, or null.
PosixQueue* QueueOf(vfs::FileDescription& file);

}  // namespace kernel
