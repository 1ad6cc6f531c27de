// mq_open(2), mq_unlink(2), mq_send(2), mq_receive(2), mq_notify(2), mq_getsetattr(2).

#include <mqueue.h>

#include "sentry/kernel/kernel.h"
#include "sentry/kernel/mqueue.h"
#include "syscalls/handlers.h"
#include "syscalls/time_util.h"
#include "vfs/operations.h"

namespace syscalls {

using kernel::PosixQueue;

namespace {

constexpr size_t kMaxQueues = 256;
constexpr uint64_t kMessageOverhead = 48;  // as Linux charges each message to RLIMIT_MSGQUEUE

vfs::WalkContext QueueContext(Task& task) {
  vfs::Path root = kernel::MqueueRoot(*task.namespaces.ipc);
  return {.root = root, .start = root, .creds = task.creds(), .task = &task};
}

Result<std::string> ReadName(Task& task, PathArg name) {
  std::string text = TRY(name.Read(task));
  if (text.empty()) return Errno::kENOENT;
  if (text.size() > 255) return Errno::kENAMETOOLONG;
  if (text == "." || text == ".." || text.find('/') != std::string::npos) return Errno::kEACCES;
  return text;
}

// Limits of mq_open(3) on a queue to be made.
Result<void> CheckAttributes(Task& task, const mq_attr& attr) {
  bool privileged = task.creds()->HasIn(CAP_SYS_RESOURCE, *task.namespaces.ipc->user_ns);
  if (attr.mq_maxmsg <= 0 || attr.mq_msgsize <= 0) return Errno::kEINVAL;
  if (attr.mq_maxmsg > (privileged ? PosixQueue::kMostMessages : PosixQueue::kDefaultMessages)) return Errno::kEINVAL;
  if (attr.mq_msgsize > (privileged ? PosixQueue::kMostSize : PosixQueue::kDefaultSize)) return Errno::kEINVAL;
  if (!privileged && kernel::QueueCount(*task.namespaces.ipc) >= kMaxQueues) return Errno::kENOSPC;
  uint64_t bytes = static_cast<uint64_t>(attr.mq_maxmsg) * (static_cast<uint64_t>(attr.mq_msgsize) + kMessageOverhead);
  if (bytes > task.thread_group().Limit(RLIMIT_MSGQUEUE)) return Errno::kEMFILE;
  return {};
}

// EBADF unless it is a queue that was opened for this.
Result<RefPtr<vfs::FileDescription>> GetQueue(Task& task, int fd, bool readable, bool writable) {
  RefPtr<vfs::FileDescription> file = TRY(task.GetIoFile(fd));
  if (kernel::QueueOf(*file) == nullptr) return Errno::kEBADF;
  if ((readable && !file->readable()) || (writable && !file->writable())) return Errno::kEBADF;
  return file;
}

Result<int64_t> ReadDeadline(Task& task, InArg<timespec> timeout) {
  if (timeout.null()) return base::kNoDeadline;
  return MonotonicDeadline(task, CLOCK_REALTIME, TRY(ToNs(TRY(timeout.Read(task)))));
}

template <class T>
Result<T> Wait(vfs::FileDescription& file, EventMask mask, int64_t deadline, absl::FunctionRef<Result<T>()> attempt) {
  if (file.nonblocking()) return attempt();
  Result<T> result = base::BlockUntil<T>(*file.wait_queue(), mask, deadline, attempt);
  if (!result.ok() && result.error() == Errno::kEAGAIN) return Errno::kETIMEDOUT;
  return result;
}

}  // namespace

Result<uint64_t> SysMqOpen(Task& task, PathArg name, FlagsArg flags, ModeArg mode, InArg<mq_attr> attributes) {
  int how = flags & (O_ACCMODE | O_CREAT | O_EXCL | O_NONBLOCK | O_CLOEXEC);
  mq_attr attr = {};
  attr.mq_maxmsg = PosixQueue::kDefaultMessages;
  attr.mq_msgsize = PosixQueue::kDefaultSize;
  if (!attributes.null()) attr = TRY(attributes.Read(task));
  std::string text = TRY(ReadName(task, name));
  vfs::WalkContext context = QueueContext(task);
  if ((how & O_CREAT) != 0 && !vfs::Walk(context, text, 0).ok()) {
    TRY(CheckAttributes(task, attr));
    kernel::SetNextQueueAttributes(*task.namespaces.ipc, attr.mq_maxmsg, attr.mq_msgsize);
  }
  RefPtr<vfs::FileDescription> file = TRY(vfs::Open(context, text, how, mode & 07777 & ~task.fs()->umask));
  // Linux has no way to say otherwise: the descriptor is always closed by execve.
  return static_cast<uint64_t>(TRY(task.InstallFd(std::move(file), true)));
}

Result<uint64_t> SysMqUnlink(Task& task, PathArg name) {
  std::string text = TRY(ReadName(task, name));
  TRY(vfs::Unlink(QueueContext(task), text));
  return 0;
}

Result<uint64_t> SysMqTimedsend(Task& task, FdArg fd, UserAddress data, size_t size, uint32_t priority, InArg<timespec> timeout) {
  if (priority >= PosixQueue::kPriorities) return Errno::kEINVAL;
  int64_t deadline = TRY(ReadDeadline(task, timeout));
  RefPtr<vfs::FileDescription> file = TRY(GetQueue(task, fd, false, true));
  PosixQueue& queue = *kernel::QueueOf(*file);
  if (size > static_cast<size_t>(queue.max_size)) return Errno::kEMSGSIZE;
  PosixQueue::Message message{.priority = priority, .data = std::string(size, '\0')};
  TRY(task.mm().CopyIn(message.data.data(), data, size));
  TRY(Wait<void>(*file, EPOLLOUT, deadline, [&] { return queue.Put(message); }));
  return 0;
}

Result<uint64_t> SysMqTimedreceive(Task& task, FdArg fd, UserAddress data, size_t size, OutArg<uint32_t> priority,
                                   InArg<timespec> timeout) {
  int64_t deadline = TRY(ReadDeadline(task, timeout));
  RefPtr<vfs::FileDescription> file = TRY(GetQueue(task, fd, true, false));
  PosixQueue& queue = *kernel::QueueOf(*file);
  if (size < static_cast<size_t>(queue.max_size)) return Errno::kEMSGSIZE;
  queue.blocked_receivers++;
  Result<PosixQueue::Message> got = Wait<PosixQueue::Message>(*file, EPOLLIN, deadline, [&] { return queue.Take(); });
  queue.blocked_receivers--;
  if (!got.ok()) return got.error();
  if (!priority.null()) TRY(priority.Write(task, got->priority));
  TRY(task.mm().CopyOut(data, got->data.data(), got->data.size()));
  return got->data.size();
}

Result<uint64_t> SysMqNotify(Task& task, FdArg fd, InArg<sigevent> event) {
  sigevent wanted = {};
  if (!event.null()) {
    wanted = TRY(event.Read(task));
    if (wanted.sigev_notify != SIGEV_NONE && wanted.sigev_notify != SIGEV_SIGNAL) return Errno::kEINVAL;
    bool valid = wanted.sigev_signo > 0 && wanted.sigev_signo <= kernel::kMaxSignal;
    if (wanted.sigev_notify == SIGEV_SIGNAL && !valid) return Errno::kEINVAL;
  }
  RefPtr<vfs::FileDescription> file = TRY(GetQueue(task, fd, false, false));
  PosixQueue& queue = *kernel::QueueOf(*file);
  if (event.null()) {
    queue.ClearNotification(task.thread_group());
  } else {
    TRY(queue.SetNotification(task.thread_group(), wanted));
  }
  return 0;
}

Result<uint64_t> SysMqGetsetattr(Task& task, FdArg fd, InArg<mq_attr> wanted, OutArg<mq_attr> old) {
  mq_attr changes = {};
  if (!wanted.null()) {
    changes = TRY(wanted.Read(task));
    if ((changes.mq_flags & ~long{O_NONBLOCK}) != 0) return Errno::kEINVAL;
  }
  RefPtr<vfs::FileDescription> file = TRY(GetQueue(task, fd, false, false));
  PosixQueue& queue = *kernel::QueueOf(*file);
  mq_attr before = {};
  before.mq_flags = file->flags() & O_NONBLOCK;
  before.mq_maxmsg = queue.max_messages;
  before.mq_msgsize = queue.max_size;
  before.mq_curmsgs = queue.count;
  if (!wanted.null()) file->set_flags((file->flags() & ~O_NONBLOCK) | static_cast<int>(changes.mq_flags));
  if (!old.null()) TRY(old.Write(task, before));
  return 0;
}

}  // namespace syscalls
