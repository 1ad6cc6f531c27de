#include "sentry/kernel/pid.h"

#include "sentry/kernel/namespaces.h"
#include "sentry/kernel/task.h"
#include "sentry/kernel/thread_group.h"

namespace kernel {

uint64_t NextNamespaceId() {
  static uint64_t next = 0xf0000000;
  return next++;
}

Pid::~Pid() {
  for (auto& [ns, number] : numbers_) ns->pids_.erase(number);
}

int Pid::In(const PidNamespace& ns) const {
  for (const auto& [mine, number] : numbers_) {
    if (mine == &ns) return number;
  }
  return 0;
}

PidNamespace::PidNamespace(RefPtr<PidNamespace> parent_namespace, RefPtr<base::UserNamespace> user)
    : parent(std::move(parent_namespace)),
      user_ns(std::move(user)),
      level(parent ? parent->level + 1 : 0),
      id(NextNamespaceId()) {}

Result<RefPtr<Pid>> PidNamespace::Allocate() {
  if (dead) return Errno::kENOMEM;
  auto pid = MakeRef<Pid>();
  for (PidNamespace* ns = this; ns != nullptr; ns = ns->parent.get()) {
    int number = ns->last;
    int tried = 0;
    do {
      if (++tried > ns->pid_max) return Errno::kEAGAIN;
      // After the first round numbers start at 300, as in Linux: low ones are left to long-lived daemons.
      number = number + 1 < ns->pid_max ? number + 1 : 300;
    } while (ns->pids_.contains(number));
    ns->last = number;
    ns->pids_.emplace(number, pid.get());
    pid->numbers_.emplace_back(RefPtr<PidNamespace>(ns), number);
  }
  return pid;
}

Pid* PidNamespace::Find(int number) const {
  auto it = pids_.find(number);
  return it != pids_.end() ? it->second : nullptr;
}

Task* PidNamespace::FindTask(int tid) const {
  Pid* pid = Find(tid);
  return pid != nullptr ? pid->task : nullptr;
}

ThreadGroup* PidNamespace::FindThreadGroup(int tgid) const {
  Task* task = FindTask(tgid);
  return task != nullptr && task->is_leader() ? &task->thread_group() : nullptr;
}

}  // namespace kernel
