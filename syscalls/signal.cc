// sigaction(2), sigprocmask(2), sigsuspend(2), sigaltstack(2), sigpending(2), sigtimedwait(2), sigreturn(2), kill(2),
// tgkill(2), rt_sigqueueinfo(2), pause(2).

#include "base/event_loop.h"
#include "sentry/kernel/kernel.h"
#include "syscalls/handlers.h"
#include "syscalls/permissions.h"
#include "syscalls/time_util.h"

namespace syscalls {

using kernel::SignalAction;
using kernel::SignalBit;
using kernel::SignalInfo;
using kernel::SignalSet;
using kernel::ThreadGroup;

Result<SignalSet> ReadSignalSet(Task& task, UserAddress address, size_t size) {
  if (size != sizeof(SignalSet)) return Errno::kEINVAL;
  return task.mm().Read<SignalSet>(address);
}

Result<uint64_t> SysRtSigaction(Task& task, SignalArg signo, InArg<SignalAction> action, OutArg<SignalAction> old, size_t size) {
  if (size != sizeof(SignalSet)) return Errno::kEINVAL;
  if (signo < 1 || signo > kernel::kMaxSignal) return Errno::kEINVAL;
  SignalAction& current = task.thread_group().handlers->actions[signo];
  SignalAction before = current;
  if (!action.null()) {
    SignalAction changed = TRY(action.Read(task));
    if ((SignalBit(signo) & kernel::kUnblockableSignals) != 0) return Errno::kEINVAL;
    constexpr uint64_t kKnownFlags = SA_NOCLDSTOP | SA_NOCLDWAIT | SA_SIGINFO | 0x800 /* SA_EXPOSE_TAGBITS */ |
                                     kernel::SA_RESTORER_FLAG | SA_ONSTACK | SA_RESTART | SA_NODEFER | SA_RESETHAND;
    changed.flags &= kKnownFlags;
    changed.mask &= ~kernel::kUnblockableSignals;
    current = changed;
    if (task.thread_group().handlers->Ignores(signo)) {
      task.thread_group().pending.Discard(SignalBit(signo));
      for (Task* member : task.thread_group().tasks) member->pending.Discard(SignalBit(signo));
    }
  }
  if (!old.null()) TRY(old.Write(task, before));
  return 0;
}

Result<uint64_t> SysRtSigprocmask(Task& task, int how, InArg<SignalSet> set, OutArg<SignalSet> old, size_t size) {
  if (size != sizeof(SignalSet)) return Errno::kEINVAL;
  SignalSet before = task.blocked();
  if (!set.null()) {
    SignalSet mask = TRY(set.Read(task)) & ~kernel::kUnblockableSignals;
    switch (how) {
      case SIG_BLOCK:
        task.SetBlocked(before | mask);
        break;
      case SIG_UNBLOCK:
        task.SetBlocked(before & ~mask);
        break;
      case SIG_SETMASK:
        task.SetBlocked(mask);
        break;
      default:
        return Errno::kEINVAL;
    }
  }
  if (!old.null()) TRY(old.Write(task, before));
  return 0;
}

Result<uint64_t> SysRtSigpending(Task& task, OutArg<SignalSet> set, size_t size) {
  if (size > sizeof(SignalSet)) return Errno::kEINVAL;
  SignalSet pending = task.PendingSet() & task.blocked();
  TRY(task.mm().CopyOut(set.address, &pending, size));
  return 0;
}

Result<uint64_t> SysRtSigsuspend(Task& task, InArg<SignalSet> set, size_t size) {
  SignalSet mask = TRY(ReadSignalSet(task, set.address, size));
  task.SetTemporaryMask(mask);
  while (base::Fiber::Block() != base::WakeReason::kInterrupted) {
  }
  return Errno::kERESTARTNOHAND;
}

Result<uint64_t> SysPause(Task& task) {
  while (base::Fiber::Block() != base::WakeReason::kInterrupted) {
  }
  return Errno::kERESTARTNOHAND;
}

// Made by the kernel itself in place of a call that was interrupted in a ptrace-stop.
Result<uint64_t> SysRestartSyscall(Task& task) {
  if (!task.restart_block) return Errno::kEINTR;
  auto resume = std::move(task.restart_block);
  return resume(task);
}

Result<uint64_t> SysRtSigtimedwait(Task& task, InArg<SignalSet> set, OutArg<siginfo_t> info, InArg<timespec> timeout, size_t size) {
  SignalSet wanted = TRY(ReadSignalSet(task, set.address, size)) & ~kernel::kUnblockableSignals;
  int64_t deadline = base::kNoDeadline;
  if (!timeout.null()) deadline = TRY(RelativeDeadline(TRY(timeout.Read(task))));
  SignalInfo got = task.TakeSignal(wanted);
  if (got.si_signo == 0) {
    // While it waits the signals count as unblocked, so that they are not dropped as ignored and wake this task.
    base::FiberWaiter waiter;
    task.signal_events.Add(waiter, EPOLLIN);
    for (;;) {
      base::WakeReason reason = base::Fiber::Block(deadline);
      got = task.TakeSignal(wanted);
      if (got.si_signo != 0) break;
      if (reason == base::WakeReason::kTimedOut) return Errno::kEAGAIN;
      if (reason == base::WakeReason::kInterrupted) return Errno::kEINTR;
    }
  }
  if (!info.null()) TRY(info.Write(task, got));
  return static_cast<uint64_t>(got.si_signo);
}

Result<uint64_t> SysRtSigreturn(Task& task) {
  Result<void> result = task.SignalReturn();
  task.KeepRegisters();
  if (!result.ok()) task.ForceSignal(kernel::MakeSignalInfo(SIGSEGV, SI_KERNEL));
  return 0;
}

Result<uint64_t> SysSigaltstack(Task& task, InArg<stack_t> stack, OutArg<stack_t> old) {
  const stack_t before = task.signal_stack;
  uint64_t sp = task.regs().rsp;
  uint64_t base = reinterpret_cast<uint64_t>(before.ss_sp);
  bool on_stack = (before.ss_flags & SS_DISABLE) == 0 && sp > base && sp - base <= before.ss_size;
  if (!stack.null()) {
    stack_t changed = TRY(stack.Read(task));
    if (on_stack && (static_cast<uint32_t>(before.ss_flags) & kernel::SS_AUTODISARM_FLAG) == 0) return Errno::kEPERM;
    uint32_t mode = static_cast<uint32_t>(changed.ss_flags) & ~kernel::SS_AUTODISARM_FLAG;
    if (mode != SS_DISABLE && mode != SS_ONSTACK && mode != 0) return Errno::kEINVAL;
    if (mode == SS_DISABLE) {
      changed = {.ss_sp = nullptr, .ss_flags = changed.ss_flags, .ss_size = 0};
    } else {
      // As with MINSIGSTKSZ: what Linux accepts although AVX-512 frames need more.
      if (changed.ss_size < 2048) return Errno::kENOMEM;
      changed.ss_flags &= ~SS_ONSTACK;
    }
    task.signal_stack = changed;
  }
  if (!old.null()) {
    stack_t out = before;
    if (on_stack) out.ss_flags |= SS_ONSTACK;
    TRY(old.Write(task, out));
  }
  return 0;
}

namespace {

Result<void> SendToProcess(Task& task, ThreadGroup& group, int signo) {
  if (group.reaped || group.tasks.empty()) return Errno::kESRCH;
  TRY(CheckMaySignal(task, group.leader(), signo));
  int sender = task.thread_group().tgid(*group.pid_ns());
  group.SendSignal(kernel::MakeSignalInfo(signo, SI_USER, sender, group.leader().creds()->user_ns->UidFromKernel(task.creds()->ruid)));
  return {};
}

}  // namespace

Result<uint64_t> SysKill(Task& task, int pid, SignalArg signo) {
  if (signo < 0 || signo > kernel::kMaxSignal) return Errno::kEINVAL;
  if (pid == INT32_MIN) return Errno::kESRCH;
  if (pid > 0) {
    Task* target = task.pid_ns()->FindTask(pid);
    if (target == nullptr) return Errno::kESRCH;
    TRY(SendToProcess(task, target->thread_group(), signo));
    return 0;
  }
  std::vector<RefPtr<ThreadGroup>> targets;
  if (pid == -1) {
    task.pid_ns()->ForEach([&](int, kernel::Pid& p) {
      if (p.task == nullptr || !p.task->is_leader()) return;
      ThreadGroup& group = p.task->thread_group();
      if (&group != &task.thread_group() && &group != task.pid_ns()->init) targets.emplace_back(&group);
    });
  } else {
    kernel::ProcessGroup* group = task.thread_group().process_group.get();
    if (pid != 0) {
      kernel::Pid* p = task.pid_ns()->Find(-pid);
      group = p != nullptr ? p->process_group : nullptr;
    }
    if (group == nullptr) return Errno::kESRCH;
    for (ThreadGroup* member : group->members) targets.emplace_back(member);
  }
  Result<void> failure = Errno::kESRCH;
  bool sent = false;
  for (auto& target : targets) {
    Result<void> result = SendToProcess(task, *target, signo);
    sent |= result.ok();
    if (!result.ok()) failure = result;
  }
  if (!sent) return failure.error();
  return 0;
}

namespace {
Result<uint64_t> SendToThread(Task& task, int tgid, int tid, int signo, const SignalInfo* given) {
  if (tid <= 0 || (tgid != -1 && tgid <= 0)) return Errno::kEINVAL;
  if (signo < 0 || signo > kernel::kMaxSignal) return Errno::kEINVAL;
  RefPtr<Task> target(task.pid_ns()->FindTask(tid));
  if (!target || (tgid != -1 && target->tgid() != tgid)) return Errno::kESRCH;
  TRY(CheckMaySignal(task, *target, signo));
  if (given != nullptr && (given->si_code >= 0 || given->si_code == SI_TKILL) && &target->thread_group() != &task.thread_group()) {
    return Errno::kEPERM;
  }
  target->SendSignal(given != nullptr ? *given
                                      : kernel::MakeSignalInfo(signo, SI_TKILL, task.tgid(), task.creds()->ruid));
  return 0;
}
}  // namespace

Result<uint64_t> SysTkill(Task& task, int tid, SignalArg signo) { return SendToThread(task, -1, tid, signo, nullptr); }
Result<uint64_t> SysTgkill(Task& task, int tgid, int tid, SignalArg signo) {
  if (tgid <= 0) return Errno::kEINVAL;
  return SendToThread(task, tgid, tid, signo, nullptr);
}

Result<uint64_t> SysRtSigqueueinfo(Task& task, int tgid, SignalArg signo, InArg<siginfo_t> info) {
  SignalInfo given = TRY(info.Read(task));
  if (signo < 0 || signo > kernel::kMaxSignal) return Errno::kEINVAL;
  given.si_signo = signo;
  ThreadGroup* group = tgid > 0 ? task.pid_ns()->FindThreadGroup(tgid) : nullptr;
  if ((given.si_code >= 0 || given.si_code == SI_TKILL) && group != &task.thread_group()) return Errno::kEPERM;
  if (group == nullptr || group->tasks.empty()) return Errno::kESRCH;
  TRY(CheckMaySignal(task, group->leader(), signo));
  if (signo >= kernel::kFirstRealtimeSignal && group->pending.size() >= group->Limit(RLIMIT_SIGPENDING)) return Errno::kEAGAIN;
  group->SendSignal(given);
  return 0;
}

Result<uint64_t> SysRtTgsigqueueinfo(Task& task, int tgid, int tid, SignalArg signo, InArg<siginfo_t> info) {
  SignalInfo given = TRY(info.Read(task));
  given.si_signo = signo;
  if (tgid <= 0) return Errno::kEINVAL;
  return SendToThread(task, tgid, tid, signo, &given);
}

}  // namespace syscalls
