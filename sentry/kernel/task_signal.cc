// Sending and delivering signals, signal(7).

#include "base/log.h"
#include "sentry/kernel/kernel.h"
#include "sentry/kernel/task.h"

namespace kernel {

namespace {

// What sending does to job control before the signal itself is looked at (signal(7), "Stopping and continuing").
void PrepareSend(ThreadGroup& group, int signo) {
  SignalSet discard = 0;
  if ((SignalBit(signo) & kStopSignals) != 0) discard = SignalBit(SIGCONT);
  if (signo == SIGCONT) discard = kStopSignals;
  if (discard != 0) {
    group.pending.Discard(discard);
    for (Task* task : group.tasks) task->pending.Discard(discard);
  }
  if (signo == SIGCONT) group.Continue();
}

// An ignored signal is dropped when it is sent, unless some task blocks it: its action may change before it is unblocked.
bool DroppedAtOnce(const ThreadGroup& group, const Task& task, int signo) {
  // A tracer wants to know of all.
  return group.handlers->Ignores(signo) && (task.blocked() & SignalBit(signo)) == 0 && task.tracer() == nullptr;
}

}  // namespace

void Task::SendSignal(const SignalInfo& info) {
  int signo = info.si_signo;
  if (signo == SIGKILL) thread_group_->ExitGroup(SIGKILL);
  if (signo == 0 || signo == SIGKILL || exiting_) return;
  PrepareSend(*thread_group_, signo);
  if (DroppedAtOnce(*thread_group_, *this, signo)) return;
  pending.Add(info);
  signal_events.Notify(EPOLLIN);
  if ((blocked_ & SignalBit(signo)) == 0) Kick();
}

void ThreadGroup::SendSignal(const SignalInfo& info) {
  int signo = info.si_signo;
  if (signo == 0 || tasks.empty() || zombie) return;
  if (signo == SIGKILL) ExitGroup(SIGKILL);
  if (exiting) return;
  PrepareSend(*this, signo);
  if (DroppedAtOnce(*this, *tasks.front(), signo)) return;
  // Init is shielded from signals that it has no handler for (pid_namespaces(7)).
  if (pid_ns_->init == this && handlers->actions[signo].is_default() && info.si_code <= 0 &&
      (SignalBit(signo) & kSynchronousSignals) == 0 && info.si_code != SI_KERNEL && !started_by_kernel) {
    return;
  }
  pending.Add(info);
  Task* chosen = nullptr;
  for (Task* task : tasks) {
    task->signal_events.Notify(EPOLLIN);
    if (task->exiting() || (task->blocked() & SignalBit(signo)) != 0) continue;
    // The leader first, as Linux prefers; else any that does not block it.
    if (chosen == nullptr || task->is_leader()) chosen = task;
  }
  if (chosen != nullptr) chosen->Kick();
}

void ProcessGroup::SendSignal(const SignalInfo& info) {
  std::vector<RefPtr<ThreadGroup>> targets;
  for (ThreadGroup* group : members) targets.emplace_back(group);
  for (auto& group : targets) group->SendSignal(info);
}

void Task::ForceSignal(SignalInfo info) {
  SignalAction& action = thread_group_->handlers->actions[info.si_signo];
  SignalSet bit = SignalBit(info.si_signo);
  if ((blocked_ & bit) != 0 || action.is_ignore()) {
    action = SignalAction{};
    blocked_ &= ~bit;
  }
  pending.Add(info);
  Kick();
}

void Task::Kill() {
  killed_ = true;
  exit_status_ = SIGKILL;
  Kick();
  if (fiber_ != nullptr) fiber_->Unpark();
}

void Task::SetBlocked(SignalSet mask) {
  blocked_ = mask & ~kUnblockableSignals;
  // Group signals that this task now blocks may be some other task's business.
  SignalSet group_pending = thread_group_->pending.set();
  if ((group_pending & blocked_) != 0) {
    for (Task* task : thread_group_->tasks) {
      if (task != this && (group_pending & ~task->blocked_) != 0) task->Kick();
    }
  }
  RecalcPending();
}

void Task::SetTemporaryMask(SignalSet mask) {
  saved_mask_ = blocked_;
  have_saved_mask_ = true;
  SetBlocked(mask);
}

void Task::ReplaceMask(SignalSet mask) {
  have_saved_mask_ = false;
  SetBlocked(mask);
}

SignalInfo Task::TakeSignal(SignalSet set) {
  SignalInfo info = pending.Take(set);
  if (info.si_signo == 0) info = thread_group_->pending.Take(set);
  if (info.si_code == SI_TIMER && thread_group_->posix_timers) thread_group_->posix_timers->OnSignalTaken(info);
  return info;
}

// Delivers one pending signal. False: nothing changed for the task except that the signal is gone (or it ends or stops,
// which the caller sees).
bool Task::DeliverSignals() {
  SignalInfo info = TakeSignal(~blocked_);
  if (info.si_signo == 0) return true;
  if (tracer() != nullptr && !trace->SignalStop(&info)) return false;
  const int signo = info.si_signo;
  SignalAction action = thread_group_->handlers->actions[signo];
  if (action.is_ignore()) return false;
  if (action.is_default()) {
    switch (DefaultActionOf(signo)) {
      case DefaultAction::kIgnore:
      case DefaultAction::kContinue:
        return false;
      case DefaultAction::kStop:
        // Job control stops do nothing in an orphaned group: nobody could continue it.
        if (signo != SIGSTOP && thread_group_->process_group->IsOrphaned()) return false;
        thread_group_->Stop(signo);
        return false;
      case DefaultAction::kTerminate:
        thread_group_->ExitGroup(signo);
        return false;
      case DefaultAction::kCore:
        LOG_INFO("task {} ({}) ends by signal {} code {} address {}", tid(), comm, signo, info.si_code, info.si_addr);
        // Bit 0x80 says that a core was dumped; none is.
        thread_group_->ExitGroup(signo);
        return false;
    }
  }
  if ((action.flags & SA_RESETHAND) != 0) thread_group_->handlers->actions[signo].handler = 0;
  SetUpRestart(&action);
  Result<void> pushed = context_->EnsureRegisters();
  if (!pushed.ok()) {
    thread_group_->ExitGroup(SIGKILL);
    return false;
  }
  if (killed_ || thread_group_->exiting) return false;
  pushed = PushSignalFrame(info, action);
  if (!pushed.ok()) {
    // No room for the frame: SIGSEGV, and if that is the one, its default action.
    if (signo == SIGSEGV) thread_group_->handlers->actions[SIGSEGV] = SignalAction{};
    ForceSignal(MakeSignalInfo(SIGSEGV, SI_KERNEL));
    return false;
  }
  SignalSet mask = blocked_ | action.mask;
  if ((action.flags & SA_NODEFER) == 0) mask |= SignalBit(signo);
  have_saved_mask_ = false;
  SetBlocked(mask);
  if (tracer() != nullptr) trace->HandlerEntered();
  return true;
}

// A handler is about to run: decides between EINTR and restarting the interrupted call after it (signal(7)).
void Task::SetUpRestart(const SignalAction* action) {
  Errno restart = restart_;
  restart_ = Errno{};
  if (restart == Errno{}) return;
  restart_block = nullptr;
  bool again = restart == Errno::kERESTARTNOINTR ||
               (restart == Errno::kERESTARTSYS && (action->flags & SA_RESTART) != 0);
  if (!again) context_->SetResult(-static_cast<int64_t>(Errno::kEINTR));  // a tracer may have seen the restart code
  if (!again || !context_->EnsureRegisters().ok()) return;
  platform::Registers& regs = context_->mutable_registers();
  regs.rip -= 2;  // both `syscall` and `int 0x80` are two bytes
  memory_->RestoreCalls(regs.rip);  // the handler may look
  regs.rax = trace ? regs.orig_rax : event_.nr;
}

void ThreadGroup::ExitGroup(int status) {
  if (status == SIGKILL) {
    for (Task* task : tasks) {
      if (task->trace) task->trace->OnKill();
    }
  }
  if (exiting) return;
  exiting = true;
  exit_status = status;
  for (Task* task : tasks) {
    task->Kick();
    // Also out of stops and vfork waits.
    if (task->fiber_ != nullptr) task->fiber_->Unpark();
  }
}

void ThreadGroup::Stop(int signo) {
  if (exiting) return;
  for (Task* task : tasks) {
    if (task->trace) task->trace->OnGroupStop();
  }
  if (stopped) return;
  stopped = true;
  stop_signal = signo;
  stop_reported = false;
  for (Task* task : tasks) task->Kick();
  // A parent that traces it hears of the tracees' stops.
  Task* tracer = leader_->tracer();
  if (tracer == nullptr || &tracer->thread_group() != parent_) NotifyParent(CLD_STOPPED, signo);
}

void ThreadGroup::Continue() {
  for (Task* task : tasks) {
    if (task->trace) task->trace->OnContinue();
  }
  if (!stopped) return;
  stopped = false;
  stop_reported = true;
  continue_reported = false;
  resume_events.Notify(EPOLLIN);
  NotifyParent(CLD_CONTINUED, SIGCONT);
}

}  // namespace kernel
