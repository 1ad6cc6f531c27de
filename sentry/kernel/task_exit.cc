// The end of a task and of a process: exit(2), _exit(2), pid_namespaces(7), get_robust_list(2).

#include <linux/futex.h>

#include "base/log.h"
#include "sentry/kernel/kernel.h"
#include "sentry/kernel/task.h"

namespace kernel {

void Task::Exit(int status) {
  exiting_ = true;
  exit_status_ = status;
}

void Task::LeaveMemory() {
  context_->Release();
  if (memory_ && --memory_->users == 0) memory_->aio.reset();
  memory_.reset();
  if (vfork_done_ != nullptr) std::exchange(vfork_done_, nullptr)->Notify(EPOLLIN);
}

// Marks the locks on the robust list as left by a dead owner. All of it is application memory: bounded, and every failure
// ends the walk.
void Task::WalkRobustList() {
  struct Head {
    uint64_t next;
    int64_t futex_offset;
    uint64_t pending;
  };
  constexpr int kLimit = 2048;
  Result<Head> head = memory_->Read<Head>(robust_list);
  if (!head.ok()) return;
  auto handle = [&](uint64_t entry, bool pending_operation) {
    uint64_t address = (entry & ~1ull) + static_cast<uint64_t>(head->futex_offset);
    Result<std::atomic<uint32_t>*> word = memory_->AtomicWord(address, true);
    if (!word.ok()) return false;
    uint32_t value = (*word)->load();
    for (;;) {
      if ((value & FUTEX_TID_MASK) != static_cast<uint32_t>(tid())) {
        if (pending_operation && value == 0) (void)kernel_.futexes.Wake(*memory_, address, true, 1, ~0u).ok();
        return true;
      }
      if ((*word)->compare_exchange_strong(value, (value & FUTEX_WAITERS) | FUTEX_OWNER_DIED)) break;
    }
    if ((value & FUTEX_WAITERS) != 0) {
      (void)kernel_.futexes.Wake(*memory_, address, true, 1, ~0u).ok();
      (void)kernel_.futexes.Wake(*memory_, address, false, 1, ~0u).ok();
    }
    return true;
  };
  uint64_t entry = head->next;
  for (int i = 0; i < kLimit && (entry & ~1ull) != robust_list; i++) {
    Result<uint64_t> next = memory_->Read<uint64_t>(entry & ~1ull);
    if (entry != head->pending && !handle(entry, false)) return;
    if (!next.ok()) return;
    entry = *next;
  }
  if (head->pending != 0) handle(head->pending, true);
}

namespace {

void NotifyTracerOfEnd(Task& task, int status) {
  bool normal = (status & 0x7f) == 0;
  int code = normal ? CLD_EXITED : (status & 0x80) != 0 ? CLD_DUMPED : CLD_KILLED;
  task.trace->NotifyTracer(code, normal ? status >> 8 & 0xff : status & 0x7f);
}

}  // namespace

// The end of a tracer: its tracees go on, or die with it (PTRACE_O_EXITKILL).
void Task::ReleaseTracees() {
  while (!tracees.empty()) {
    RefPtr<Task> tracee = tracees.back();
    if ((tracee->trace->options() & PTRACE_O_EXITKILL) != 0) tracee->thread_group().ExitGroup(SIGKILL);
    // The signal that it is stopped at is delivered after all.
    tracee->trace->Detach(tracee->trace->kind() == Trace::Kind::kSignal ? tracee->trace->code() : 0);
  }
}

void Task::ExitNotify() {
  RefPtr<ThreadGroup> group = thread_group_;
  exiting_ = true;
  if (trace) trace->ExitStop(group->exiting ? group->exit_status : exit_status_);
  ReleaseTracees();
  if (memory_) {
    if (robust_list != 0) WalkRobustList();
    if (clear_child_tid != 0 && memory_->users > 1) {
      if (memory_->Write<uint32_t>(clear_child_tid, 0).ok()) {
        (void)kernel_.futexes.Wake(*memory_, clear_child_tid, false, 1, ~0u).ok();
        (void)kernel_.futexes.Wake(*memory_, clear_child_tid, true, 1, ~0u).ok();
      }
    }
  }
  group->dead_tasks_usage.Add(usage);
  LeaveMemory();
  context_.reset();
  fds_.reset();
  sem_undo.reset();
  fs_.reset();
  kernel_.live_tasks--;

  if (is_leader()) group->zombie_leader = RefPtr<Task>(this);
  if (!is_leader()) {
    std::erase(group->tasks, this);
    // A traced thread is found by its number until its tracer has waited for it.
    if (tracer() == nullptr) pid_->task = nullptr;
  }
  if (!is_leader() && tracer() != nullptr) {
    // A thread is waited for by its tracer alone.
    if (group->exiting) exit_status_ = group->exit_status;
    const SignalAction& action = tracer()->thread_group().handlers->actions[SIGCHLD];
    bool unwanted = action.is_ignore() || (action.flags & SA_NOCLDWAIT) != 0;
    NotifyTracerOfEnd(*this, exit_status_);
    if (unwanted) trace->Detach(0);
  } else if (!is_leader()) {
    pid_->task = nullptr;  // nothing finds it by its number any more
  }
  group->live_tasks--;
  group->member_events.Notify(EPOLLIN);
  if (group->live_tasks > 0) return;
  group->Finish(group->exiting ? group->exit_status : group->zombie_leader->exit_status_);
}

namespace {

// Who adopts the children of a process that ends: a living sub-reaper among its ancestors, else init of its namespace.
ThreadGroup* ReaperFor(ThreadGroup& group) {
  for (ThreadGroup* p = group.parent(); p != nullptr && p->pid_ns() == group.pid_ns(); p = p->parent()) {
    if (p->child_subreaper && !p->zombie && !p->exiting) return p;
  }
  ThreadGroup* init = group.pid_ns()->init;
  if (init != &group && init != nullptr && !init->zombie) return init;
  return nullptr;
}

// setpgid(2): a group that becomes orphaned with a stopped member gets SIGHUP and SIGCONT.
void KillOrphanedGroup(ProcessGroup& group) {
  if (!group.HasStoppedMember() || !group.IsOrphaned()) return;
  group.SendSignal(MakeSignalInfo(SIGHUP, SI_KERNEL));
  group.SendSignal(MakeSignalInfo(SIGCONT, SI_KERNEL));
}

}  // namespace

void ThreadGroup::Finish(int status) {
  RefPtr<ThreadGroup> self(this);
  Kernel& kernel = leader_->kernel();
  exit_status = status;
  exiting = true;
  for (IntervalTimer& timer : itimers) timer.timer.reset();
  posix_timers.reset();
  cpu_limit_timer.reset();

  if (pid_ns_->init == this) {
    // The end of init ends its namespace.
    pid_ns_->dead = true;
    std::vector<RefPtr<ThreadGroup>> others;
    pid_ns_->ForEach([&](int, Pid& pid) {
      if (pid.task != nullptr && pid.task->is_leader() && &pid.task->thread_group() != this) {
        others.emplace_back(&pid.task->thread_group());
      }
    });
    for (auto& other : others) other->ExitGroup(SIGKILL);
    // At each one's own queue: what `exec` started has no parent to tell.
    for (auto& other : others) {
      base::FiberWaiter waiter;
      other->exit_events.Add(waiter, EPOLLIN);
      while (!other->zombie && !other->reaped) base::Fiber::Park();
      waiter.Remove();
    }
  }

  zombie = true;
  ThreadGroup* reaper = ReaperFor(*this);
  for (ThreadGroup* child : std::vector<ThreadGroup*>(children.begin(), children.end())) {
    RefPtr<ThreadGroup> hold(child);
    if (child->parent_death_signal_of_leader() != 0) {
      child->SendSignal(MakeSignalInfo(child->parent_death_signal_of_leader(), SI_USER));
    }
    if (reaper != nullptr) {
      RefPtr<ProcessGroup> child_group = child->process_group;
      child->SetParent(reaper);
      child->exit_signal = SIGCHLD;
      if (child->zombie) child->NotifyParent(CLD_EXITED, child->exit_status);
      if (child_group != process_group) KillOrphanedGroup(*child_group);
    } else {
      child->SetParent(nullptr);
      if (child->zombie) child->Reap();
    }
  }
  if (session().leader == this) {
    session().leader = nullptr;
    if (session().terminal) {
      if (session().foreground) {
        session().foreground->SendSignal(MakeSignalInfo(SIGHUP, SI_KERNEL));
        session().foreground->SendSignal(MakeSignalInfo(SIGCONT, SI_KERNEL));
      }
      session().foreground.reset();
      session().terminal.reset();
    }
  }
  exit_events.Notify(EPOLLIN);
  if (started_by_kernel && kernel.on_exit) kernel.on_exit(*this, status);
  if (Task* tracer = leader_->tracer(); tracer != nullptr && &tracer->thread_group() != parent_) {
    // It hears of the end first; the parent when it has waited or detached.
    NotifyTracerOfEnd(*leader_, status);
    return;
  }
  TellParent();
}

void ThreadGroup::TellParent() {
  RefPtr<ThreadGroup> self(this);
  const int status = exit_status;
  RefPtr<ProcessGroup> my_group = process_group;
  if (parent_ == nullptr) {
    Reap();
    return;
  }
  // Only the end of a process that tied its group to the parent's, in one session, can orphan the group.
  bool tied = parent_->process_group && parent_->process_group != my_group && &parent_->session() == my_group->session.get();
  if (tied) KillOrphanedGroup(*my_group);
  int code = (status & 0x7f) == 0 ? CLD_EXITED : (status & 0x80) != 0 ? CLD_DUMPED : CLD_KILLED;
  bool ignored = false;
  if (exit_signal == SIGCHLD) {
    const SignalAction& action = parent_->handlers->actions[SIGCHLD];
    ignored = action.is_ignore() || (action.flags & SA_NOCLDWAIT) != 0;
  }
  RefPtr<ThreadGroup> parent(parent_);
  NotifyParent(code, status);
  if (ignored || parent->zombie || parent->exiting) {
    if (ignored) {
      Reap();
      parent->child_events.Notify(EPOLLIN);
    }
  }
}

void ThreadGroup::Reap() {
  if (reaped) return;
  RefPtr<ThreadGroup> self(this);
  reaped = true;
  if (zombie_leader && zombie_leader->trace) zombie_leader->trace->Detach(0);
  if (parent_ != nullptr) {
    parent_->children_usage.Add(TotalUsage());
    parent_->children_usage.Add(children_usage);
  }
  SetParent(nullptr);
  if (process_group) process_group->members.erase(this);
  process_group.reset();
  tasks.clear();
  if (leader_ != nullptr && leader_->pid_->task == leader_) leader_->pid_->task = nullptr;
  RefPtr<Task> leader = std::move(zombie_leader);  // frees the task and its number once its fiber is done
}

}  // namespace kernel
