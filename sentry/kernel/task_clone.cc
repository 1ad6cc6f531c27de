// clone(2), clone3(2), fork(2), vfork(2).

#include <sched.h>

#include "base/log.h"
#include "sentry/kernel/kernel.h"
#include "sentry/kernel/pid_file.h"
#include "sentry/kernel/task.h"

namespace kernel {

namespace {

Result<void> CheckFlags(const CloneArgs& args) {
  uint64_t flags = args.flags;
  auto has = [flags](uint64_t bits) { return (flags & bits) != 0; };
  if (has(CLONE_SIGHAND) && !has(CLONE_VM)) return Errno::kEINVAL;
  if (has(CLONE_THREAD) && !has(CLONE_SIGHAND)) return Errno::kEINVAL;
  if (has(CLONE_FS) && has(CLONE_NEWNS | CLONE_NEWUSER)) return Errno::kEINVAL;
  if (has(CLONE_THREAD) && has(CLONE_NEWPID | CLONE_NEWUSER)) return Errno::kEINVAL;
  if (has(CLONE_NEWIPC) && has(CLONE_SYSVSEM)) return Errno::kEINVAL;
  if (has(CLONE_PIDFD) && has(CLONE_THREAD)) return Errno::kEINVAL;
  if (has(CLONE_CLEAR_SIGHAND_FLAG) && has(CLONE_SIGHAND)) return Errno::kEINVAL;
  return {};
}

}  // namespace

Result<void> MakeNamespaces(Task& task, uint64_t flags, Credentials& creds, Namespaces* namespaces, RefPtr<FsContext>* fs) {
  constexpr uint64_t kPrivileged = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWCGROUP;
  if ((flags & CLONE_NEWUSER) != 0) {
    creds.user_ns = MakeRef<base::UserNamespace>(creds.user_ns, creds.euid);
    creds.permitted = creds.effective = creds.bounding = base::kAllCapabilities;
    creds.inheritable = creds.ambient = 0;
    creds.securebits = 0;
  } else if ((flags & kPrivileged) != 0 && !creds.Has(CAP_SYS_ADMIN)) {
    return Errno::kEPERM;
  }
  if ((flags & CLONE_NEWUTS) != 0) {
    auto uts = MakeRef<UtsNamespace>(creds.user_ns);
    uts->hostname = namespaces->uts->hostname;
    uts->domainname = namespaces->uts->domainname;
    namespaces->uts = std::move(uts);
  }
  if ((flags & CLONE_NEWIPC) != 0) namespaces->ipc = MakeRef<IpcNamespace>(creds.user_ns);
  if ((flags & CLONE_NEWNET) != 0) namespaces->net = MakeRef<NetNamespace>(creds.user_ns);
  if ((flags & CLONE_NEWPID) != 0) {
    namespaces->pid_for_children = MakeRef<PidNamespace>(namespaces->pid_for_children, creds.user_ns);
  }
  if ((flags & CLONE_NEWNS) != 0) {
    RefPtr<vfs::MountNamespace> copy = namespaces->mount->Clone();
    // Root and working directory move to the copies of their mounts.
    auto translate = [&](vfs::Path& path) { path = vfs::TranslatePath(path, *namespaces->mount, *copy); };
    *fs = (*fs)->Copy();
    translate((*fs)->root);
    translate((*fs)->cwd);
    namespaces->mount = std::move(copy);
  }
  return {};
}

Result<int> Task::Clone(const CloneArgs& args) {
  TRY(CheckFlags(args));
  const uint64_t flags = args.flags;
  auto has = [flags](uint64_t bits) { return (flags & bits) != 0; };

  Init init;
  init.namespaces = namespaces;
  init.comm = comm;
  init.fs = has(CLONE_FS) ? fs_ : fs_->Copy();
  init.creds = creds_;
  if (has(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWCGROUP)) {
    auto creds = MakeRef<Credentials>(*creds_);
    TRY(MakeNamespaces(*this, flags, *creds, &init.namespaces, &init.fs));
    init.creds = std::move(creds);
  }

  if (has(CLONE_THREAD)) {
    if (thread_group_->exiting) return Errno::kERESTARTNOINTR;
    init.thread_group = thread_group_;
    init.pid = TRY(pid_ns()->Allocate());
  } else {
    uint64_t limit = thread_group_->Limit(RLIMIT_NPROC);
    if (kernel_.live_tasks >= limit && creds_->ruid != 0 && !creds_->Has(CAP_SYS_ADMIN) && !creds_->Has(CAP_SYS_RESOURCE)) {
      return Errno::kEAGAIN;
    }
    RefPtr<SignalHandlers> handlers = has(CLONE_SIGHAND) ? thread_group_->handlers : thread_group_->handlers->Copy();
    if (has(CLONE_CLEAR_SIGHAND_FLAG)) handlers->ResetForExec();
    init.pid = TRY(init.namespaces.pid_for_children->Allocate());
    init.thread_group = MakeRef<ThreadGroup>(init.namespaces.pid_for_children, std::move(handlers));
  }
  init.fds = has(CLONE_FILES) ? fds_ : fds_->Copy();
  init.context = TRY(kernel_.platform().CreateContext());
  TRY(context_->EnsureRegisters());
  init.context->CopyStateFrom(*context_);
  init.memory = has(CLONE_VM) ? memory_ : TRY(memory_->Fork({.stack_pointer = context_->registers().rsp}));

  auto child = MakeRef<Task>(kernel_, std::move(init));
  kernel_.forks++;
  child->event_ = event_;
  child->blocked_ = blocked_;
  child->no_new_privs = no_new_privs;
  child->keep_caps = keep_caps;
  child->seccomp = seccomp;
  child->seccomp_mode = seccomp_mode;
  child->timer_slack_ns = timer_slack_ns;
  child->affinity = affinity;
  child->ioprio = ioprio;
  child->memory_policy = memory_policy;
  child->memory_policy_nodes = memory_policy_nodes;
  child->creator = pid_;
  if (has(CLONE_SYSVSEM)) {
    if (!sem_undo) sem_undo = MakeRef<SemUndoList>();
    child->sem_undo = sem_undo;
  }
  if (!sched_reset_on_fork) {
    child->nice = nice;
    child->sched_policy = sched_policy;
    child->sched_priority = sched_priority;
  }
  if (!has(CLONE_VM) || has(CLONE_VFORK)) child->signal_stack = signal_stack;

  ThreadGroup& group = child->thread_group();
  if (!has(CLONE_THREAD)) {
    memcpy(group.limits, thread_group_->limits, sizeof group.limits);
    group.exit_signal = has(CLONE_PARENT) ? thread_group_->exit_signal : args.exit_signal;
    group.personality = thread_group_->personality;
    group.ArmCpuLimit();
    group.oom_score_adj = thread_group_->oom_score_adj;
    group.start_time_ns = base::MonotonicNow();
    group.JoinProcessGroup(thread_group_->process_group);
    ThreadGroup* parent = has(CLONE_PARENT) && thread_group_->parent() != nullptr ? thread_group_->parent() : thread_group_.get();
    group.SetParent(parent);
    if (group.pid_ns()->init == nullptr) group.pid_ns()->init = &group;
  }

  platform::Registers& regs = child->regs();
  regs.rax = 0;
  if (args.stack != 0) regs.rsp = args.stack;
  if (has(CLONE_SETTLS)) regs.fs_base = args.tls;
  if (has(CLONE_CHILD_CLEARTID)) child->clear_child_tid = args.child_tid;

  int number = child->tid_in(*pid_ns());
  // As in Linux, a bad address for a tid is not an error of the call.
  if (has(CLONE_PARENT_SETTID)) (void)memory_->Write<int>(args.parent_tid, number).ok();
  if (has(CLONE_CHILD_SETTID)) (void)child->memory_->Write<int>(args.child_tid, child->tid()).ok();
  if (has(CLONE_PIDFD)) {
    Result<int> fd = InstallFd(MakePidFile(child->thread_group_ref(), creds_, 0), true);
    if (fd.ok()) (void)memory_->Write<int>(args.pidfd, *fd).ok();
  }

  // ptrace(2): which event this is, and whether the child is traced from its first instruction.
  int event = has(CLONE_VFORK) ? PTRACE_EVENT_VFORK : args.exit_signal == SIGCHLD ? PTRACE_EVENT_FORK : PTRACE_EVENT_CLONE;
  if (tracer() != nullptr) {
    bool told = !has(CLONE_UNTRACED) && (trace->options() & (1u << event)) != 0;
    if (!told) event = 0;
    if (told || has(CLONE_PTRACE)) {
      child->EnsureTrace().Attach(*tracer(), trace->seized() ? Trace::Mode::kSeized : Trace::Mode::kClassic, trace->options());
      if (trace->seized()) {
        child->trace->Interrupt();
      } else {
        child->pending.Add(MakeSignalInfo(SIGSTOP, SI_USER));
      }
    }
  }

  WaitQueue vfork_done;
  base::FiberWaiter waiter;
  if (has(CLONE_VFORK)) {
    vfork_done.Add(waiter, EPOLLIN);
    child->vfork_done_ = &vfork_done;
  }
  child->Start();
  if (tracer() != nullptr && event != 0) {
    trace->Event(event, static_cast<uint64_t>(child->tid_in(*tracer()->pid_ns())));
  }
  if (has(CLONE_VFORK)) {
    while (!waiter.fired && !killed_ && !thread_group_->exiting) base::Fiber::Park();
    if (!waiter.fired) child->vfork_done_ = nullptr;
    if (tracer() != nullptr) trace->Event(PTRACE_EVENT_VFORK_DONE, static_cast<uint64_t>(number));
  }
  return number;
}

}  // namespace kernel
