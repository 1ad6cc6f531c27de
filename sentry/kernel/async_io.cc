#include "sentry/kernel/async_io.h"

#include <fcntl.h>
#include <sys/epoll.h>

#include <algorithm>
#include <memory>

#include "absl/container/flat_hash_map.h"
#include "base/wait_queue.h"

namespace kernel {

namespace {

constexpr EventMask kEvents = EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP | EPOLLHUP | EPOLLERR;

// What an event is called in si_code and si_band (Linux: band_table in fs/fcntl.c).
struct Band {
  EventMask event;
  int code;
  long band;
};
constexpr Band kBands[] = {
    {EPOLLERR, POLL_ERR, EPOLLERR},
    {EPOLLHUP, POLL_HUP, EPOLLHUP | EPOLLERR},
    {EPOLLPRI, POLL_PRI, EPOLLPRI | EPOLLRDBAND},
    {EPOLLIN, POLL_IN, EPOLLIN | EPOLLRDNORM},
    {EPOLLOUT, POLL_OUT, EPOLLOUT | EPOLLWRNORM | EPOLLWRBAND},
};

// Tells the owner of one file of its events. Lives until the file goes.
class Notifier final : public vfs::FileDescription::Hook, public base::Waiter {
 public:
  void OnRelease() override;

  void OnEvent(EventMask events) override {
    if (!owner || file() == nullptr) return;
    SignalInfo info = MakeSignalInfo(SIGIO, SI_KERNEL);
    if (int signo = file()->async_signal; signo != 0) {
      const Band* band = std::find_if(std::begin(kBands), std::end(kBands), [&](const Band& b) { return (events & b.event) != 0; });
      if (band == std::end(kBands)) return;
      info = MakeSignalInfo(signo, band->code);
      info.si_band = band->band;
      info.si_fd = fd;
    }
    if (type == F_OWNER_PGRP) {
      if (owner->process_group == nullptr) return;
      std::vector<RefPtr<ThreadGroup>> members;
      for (ThreadGroup* group : owner->process_group->members) members.emplace_back(group);
      for (auto& group : members) {
        if (MaySignal(group->leader())) group->SendSignal(info);
      }
      return;
    }
    RefPtr<Task> task(owner->task);
    if (!task || !MaySignal(*task)) return;
    if (type == F_OWNER_TID) {
      task->SendSignal(info);
    } else {
      task->thread_group().SendSignal(info);
    }
  }

  int type = F_OWNER_PID;
  int fd = -1;
  RefPtr<Pid> owner;
  RefPtr<const Credentials> setter;

 private:
  // As whoever set the owner (Linux: sigio_perm).
  bool MaySignal(const Task& target) const {
    const Credentials& to = *target.creds();
    return setter->euid == 0 || setter->euid == to.suid || setter->euid == to.ruid || setter->ruid == to.suid || setter->ruid == to.ruid;
  }
};

using Notifiers = absl::flat_hash_map<vfs::FileDescription*, std::unique_ptr<Notifier>>;
Notifiers& All() {
  static Notifiers& all = *new Notifiers;
  return all;
}

void Notifier::OnRelease() {
  // The hook is unlinked by now, so it is found by itself; few files have one.
  for (auto it = All().begin(); it != All().end(); ++it) {
    if (it->second.get() != this) continue;
    All().erase(it);
    return;
  }
}

Notifier* Find(vfs::FileDescription& file) {
  auto it = All().find(&file);
  return it != All().end() ? it->second.get() : nullptr;
}

Notifier& FindOrMake(vfs::FileDescription& file) {
  std::unique_ptr<Notifier>& notifier = All()[&file];
  if (!notifier) {
    notifier = std::make_unique<Notifier>();
    notifier->LinkTo(file);
  }
  return *notifier;
}

}  // namespace

Result<void> SetAsyncOwner(Task& task, vfs::FileDescription& file, int type, int id) {
  if (type != F_OWNER_TID && type != F_OWNER_PID && type != F_OWNER_PGRP) return Errno::kEINVAL;
  RefPtr<Pid> pid;
  if (id != 0) {
    Pid* found = task.pid_ns()->Find(id);
    if (found == nullptr) return Errno::kESRCH;
    pid = RefPtr<Pid>(found);
  }
  Notifier& notifier = FindOrMake(file);
  notifier.type = type;
  notifier.owner = std::move(pid);
  notifier.setter = task.creds();
  return {};
}

AsyncOwner GetAsyncOwner(Task& task, vfs::FileDescription& file) {
  Notifier* notifier = Find(file);
  if (notifier == nullptr || !notifier->owner) return {};
  const Pid& pid = *notifier->owner;
  bool exists = notifier->type == F_OWNER_PGRP ? pid.process_group != nullptr : pid.task != nullptr;
  return {notifier->type, exists ? pid.In(*task.pid_ns()) : 0};
}

void UpdateAsync(vfs::FileDescription& file, int fd) {
  bool on = (file.flags() & O_ASYNC) != 0;
  WaitQueue* queue = file.wait_queue();
  if (!on) {
    if (Notifier* notifier = Find(file)) notifier->Remove();
    return;
  }
  if (queue == nullptr) return;
  Notifier& notifier = FindOrMake(file);
  notifier.fd = fd;
  if (!notifier.queued()) queue->Add(notifier, kEvents);
}

}  // namespace kernel
