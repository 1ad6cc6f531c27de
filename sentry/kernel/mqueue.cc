#include "sentry/kernel/mqueue.h"

#include <dirent.h>
#include <fmt/core.h>
#include <sys/stat.h>

#include "base/event_loop.h"
#include "sentry/kernel/task.h"
#include "vfs/simple_statfs.h"
#include "vfs/fs/pseudo/pseudo.h"  // layer: a directory made of its parts, as in sentry/proc

namespace kernel {

Result<void> PosixQueue::Put(Message& message) {
  if (count >= max_messages) return Errno::kEAGAIN;
  bool was_empty = count == 0;
  count++;
  bytes += message.data.size();
  messages_[message.priority].push_back(std::move(message.data));
  if (was_empty && blocked_receivers == 0) Notify();
  changes.Notify(EPOLLIN);
  return {};
}

Result<PosixQueue::Message> PosixQueue::Take() {
  if (count == 0) return Errno::kEAGAIN;
  auto first = messages_.begin();
  Message message{.priority = first->first, .data = std::move(first->second.front())};
  first->second.pop_front();
  if (first->second.empty()) messages_.erase(first);
  count--;
  bytes -= message.data.size();
  changes.Notify(EPOLLOUT);
  return message;
}

EventMask PosixQueue::Readiness() const {
  return (count > 0 ? EventMask{EPOLLIN | EPOLLRDNORM} : 0) | (count < max_messages ? EventMask{EPOLLOUT | EPOLLWRNORM} : 0);
}

Result<void> PosixQueue::SetNotification(ThreadGroup& group, const sigevent& event) {
  if (notified_ && !notified_->zombie) return Errno::kEBUSY;
  notified_ = RefPtr<ThreadGroup>(&group);
  notification_ = event;
  return {};
}

void PosixQueue::ClearNotification(const ThreadGroup& group) {
  if (notified_.get() == &group) notified_.reset();
}

void PosixQueue::Notify() {
  RefPtr<ThreadGroup> group = std::move(notified_);
  if (!group || group->zombie || notification_.sigev_notify != SIGEV_SIGNAL) return;
  Task* sender = Task::CurrentOrNull();
  SignalInfo info = MakeSignalInfo(notification_.sigev_signo, SI_MESGQ);
  if (sender != nullptr) {
    info.si_pid = sender->thread_group().tgid(*group->pid_ns());
    info.si_uid = sender->creds()->ruid;
  }
  info.si_value = notification_.sigev_value;
  group->SendSignal(info);
}

std::string PosixQueue::Status(const PidNamespace& ns) const {
  bool notified = notified_ && !notified_->zombie;
  return fmt::format("QSIZE:{:<10} NOTIFY:{:<5} SIGNO:{:<5} NOTIFY_PID:{:<6}\n", bytes, notified ? notification_.sigev_notify : 0,
                     notified && notification_.sigev_notify == SIGEV_SIGNAL ? notification_.sigev_signo : 0,
                     notified ? notified_->tgid(ns) : 0);
}

namespace {

class QueueFile final : public vfs::FileDescription {
 public:
  static inline char kKind;
  explicit QueueFile(RefPtr<PosixQueue> queue) : queue_(std::move(queue)) {}
  const void* kind() const override { return &kKind; }
  PosixQueue& queue() const { return *queue_; }

  EventMask Readiness() override { return queue_->Readiness(); }
  WaitQueue* wait_queue() override { return &queue_->changes; }
  Result<size_t> ReadAt(const IoVec& to, uint64_t offset, int) override {
    Task* task = Task::CurrentOrNull();
    if (task == nullptr) return Errno::kEINVAL;
    std::string text = queue_->Status(*task->pid_ns());
    if (offset >= text.size()) return size_t{0};
    return to.Write(0, text.data() + offset, std::min(to.size(), text.size() - offset));
  }
  Result<size_t> WriteAt(const IoVec&, uint64_t, int) override { return Errno::kEINVAL; }
  Result<void> OnClose() override {
    if (Task* task = Task::CurrentOrNull()) queue_->ClearNotification(task->thread_group());
    return {};
  }

 private:
  const RefPtr<PosixQueue> queue_;
};

class QueueInode final : public vfs::Inode {
 public:
  QueueInode(vfs::FileSystem* fs, const vfs::CreateOptions& options, RefPtr<PosixQueue> queue)
      : Inode(fs), ino_(fs->NextIno()), queue_(std::move(queue)) {
    attributes_.mode = S_IFREG | (options.mode & 07777);
    attributes_.uid = options.uid;
    attributes_.gid = options.gid;
    attributes_.ino = ino_;
    attributes_.dev = fs->dev();
    attributes_.nlink = 1;
    attributes_.size = 80;
    attributes_.blksize = 4096;
    attributes_.atime = attributes_.mtime = attributes_.ctime = base::RealtimeNow();
  }
  uint64_t ino() const { return ino_; }
  uint32_t type() const override { return S_IFREG; }
  Result<vfs::Attributes> Stat() override { return attributes_; }
  Result<void> SetAttr(const vfs::SetAttributes& changes) override {
    if ((changes.valid & changes.kMode) != 0) attributes_.mode = S_IFREG | (changes.mode & 07777);
    if ((changes.valid & changes.kUid) != 0) attributes_.uid = changes.uid;
    if ((changes.valid & changes.kGid) != 0) attributes_.gid = changes.gid;
    attributes_.ctime = base::RealtimeNow();
    return {};
  }
  Result<RefPtr<vfs::FileDescription>> Open(const vfs::OpenOptions&, const Credentials&) override {
    return RefPtr<vfs::FileDescription>(MakeRef<QueueFile>(queue_));
  }
  void Unlinked() { attributes_.nlink = 0; }

 private:
  const uint64_t ino_;
  const RefPtr<PosixQueue> queue_;
  vfs::Attributes attributes_;
};

class QueueDirectory final : public pseudo::Directory {
 public:
  explicit QueueDirectory(vfs::FileSystem* fs) : Directory(fs, 01777) {}

  Result<RefPtr<vfs::Inode>> Lookup(std::string_view name) override {
    auto it = queues_.find(name);
    if (it == queues_.end()) return Errno::kENOENT;
    return RefPtr<vfs::Inode>(it->second);
  }
  Result<RefPtr<vfs::Inode>> Create(std::string_view name, const vfs::CreateOptions& options) override {
    auto queue = MakeRef<PosixQueue>(std::exchange(next_messages, PosixQueue::kDefaultMessages),
                                     std::exchange(next_size, PosixQueue::kDefaultSize));
    auto inode = MakeRef<QueueInode>(fs_, options, std::move(queue));
    queues_.emplace(std::string(name), inode);
    return RefPtr<vfs::Inode>(std::move(inode));
  }
  Result<void> Unlink(std::string_view name, vfs::Inode& child) override {
    auto it = queues_.find(name);
    if (it == queues_.end() || it->second.get() != &child) return Errno::kENOENT;
    it->second->Unlinked();
    queues_.erase(it);
    return {};
  }
  std::vector<Entry> List() override {
    std::vector<Entry> entries;
    for (const auto& [name, inode] : queues_) entries.push_back({name, inode->ino(), DT_REG});
    return entries;
  }
  size_t size() const { return queues_.size(); }

  long next_messages = PosixQueue::kDefaultMessages, next_size = PosixQueue::kDefaultSize;

 private:
  std::map<std::string, RefPtr<QueueInode>, std::less<>> queues_;
};

class MqueueFs final : public vfs::FileSystem {
 public:
  MqueueFs() : FileSystem("mqueue", "mqueue"), root_(MakeRef<QueueDirectory>(this)) {}
  RefPtr<vfs::Inode> root() override { return root_; }
  QueueDirectory& directory() { return *root_; }
  Result<struct statfs> StatFs() override { return vfs::SimpleStatFs(0x19800202); }

 private:
  const RefPtr<QueueDirectory> root_;
};

// What the namespace holds: a mount that is attached nowhere.
class QueueRoot final : public RefCounted {
 public:
  QueueRoot() : fs(MakeRef<MqueueFs>()), mount(MakeRef<vfs::Mount>(fs, MS_NOSUID | MS_NODEV | MS_NOEXEC)) {}
  const RefPtr<MqueueFs> fs;
  const RefPtr<vfs::Mount> mount;
};

QueueRoot& RootOf(IpcNamespace& ns) {
  if (!ns.mqueue) ns.mqueue = MakeRef<QueueRoot>();
  return static_cast<QueueRoot&>(*ns.mqueue);
}

}  // namespace

RefPtr<vfs::FileSystem> MqueueFileSystem(IpcNamespace& ns) { return RootOf(ns).fs; }

vfs::Path MqueueRoot(IpcNamespace& ns) {
  QueueRoot& root = RootOf(ns);
  return {root.mount, root.mount->root()};
}

void SetNextQueueAttributes(IpcNamespace& ns, long max_messages, long max_size) {
  QueueDirectory& directory = RootOf(ns).fs->directory();
  directory.next_messages = max_messages;
  directory.next_size = max_size;
}

size_t QueueCount(IpcNamespace& ns) { return RootOf(ns).fs->directory().size(); }

PosixQueue* QueueOf(vfs::FileDescription& file) {
  QueueFile* queue = vfs::FileAs<QueueFile>(&file);
  return queue != nullptr ? &queue->queue() : nullptr;
}

}  // namespace kernel
