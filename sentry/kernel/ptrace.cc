#include "sentry/kernel/ptrace.h"

#include <signal.h>

#include "sentry/kernel/kernel.h"
#include "sentry/kernel/task.h"

namespace kernel {

namespace {

constexpr int kEventStop = 128;        // PTRACE_EVENT_STOP
constexpr uint64_t kTrapFlag = 0x100;  // TF of eflags
constexpr int kSyscallMarker = 0x80;   // PTRACE_O_TRACESYSGOOD
constexpr uint64_t kMessageEntry = 1, kMessageExit = 2;  // PTRACE_EVENTMSG_SYSCALL_*
constexpr uint64_t kRestartSyscall = 219;

bool IsRestart(uint64_t rax) {
  int64_t value = -static_cast<int64_t>(rax);
  return value == static_cast<int64_t>(Errno::kERESTARTSYS) || value == static_cast<int64_t>(Errno::kERESTARTNOINTR) ||
         value == static_cast<int64_t>(Errno::kERESTARTNOHAND) || value == static_cast<int64_t>(Errno::kERESTART_RESTARTBLOCK);
}

}  // namespace

// --- the tracer's side ---

void Trace::Attach(Task& tracer, Mode mode, uint32_t options) {
  tracer_ = &tracer;
  mode_ = mode;
  options_ = options;
  resumption_ = Resumption::kContinue;
  interrupt_ = notify_ = group_stop_ = killed_ = false;
  tracer.tracees.emplace_back(&task_);
}

void Trace::Detach(int signo) {
  if (tracer_ == nullptr) return;
  RefPtr<Task> hold(&task_);
  ThreadGroup& group = task_.thread_group();
  const bool foreign = &tracer_->thread_group() != group.parent();
  std::erase_if(tracer_->tracees, [this](const RefPtr<Task>& tracee) { return tracee.get() == &task_; });
  tracer_ = nullptr;
  options_ = 0;
  resumption_ = Resumption::kContinue;
  interrupt_ = notify_ = group_stop_ = false;
  if (task_.fiber_ == nullptr || task_.context_ == nullptr) {
    // The parent was not told of the end as long as the tracer had not seen it.
    if (foreign && task_.is_leader() && group.zombie && !group.reaped) group.TellParent();
    return;
  }
  resume_signal_ = signo;
  if (stopped_) Wake();
  task_.Kick();
}

void Trace::Resume(Resumption how, int signo) {
  resumption_ = how;
  resume_signal_ = signo;
  Wake();
}

Result<void> Trace::Listen() {
  if (!seized() || kind_ != Kind::kGroup || code_ >> 8 != kEventStop) return Errno::kEIO;
  listening_ = true;
  if (notify_) Wake();
  return {};
}

void Trace::Interrupt() {
  interrupt_ = true;
  if (listening_) Wake();
  task_.Kick();
}

void Trace::Wake() {
  stopped_ = listening_ = false;
  if (task_.fiber_ != nullptr) task_.fiber_->Unpark();
}

// --- stopping ---

bool Trace::Dying(Kind kind) const {
  return killed_ || (kind != Kind::kExit && (task_.killed_ || task_.exiting_ || task_.thread_group_->exiting));
}

void Trace::Stop(Kind kind, int code, const SignalInfo* info, uint64_t message) {
  if (tracer_ == nullptr || Dying(kind)) return;
  if (!task_.context_->EnsureRegisters().ok()) return;
  // Fetched now because the tracer could not wait for them safely: this task may be killed meanwhile.
  (void)task_.context_->fpu_state();
  if (tracer_ == nullptr || Dying(kind)) return;
  if (task_.restart_ != Errno{}) {
    task_.context_->SetResult(-static_cast<int64_t>(task_.restart_));
    stopped_in_restart_ = true;
  }
  kind_ = kind;
  code_ = code;
  has_info_ = info != nullptr;
  if (info != nullptr) info_ = *info;
  message_ = message;
  // What holds when the tracer ends without a word.
  resume_signal_ = kind == Kind::kSignal ? code : 0;
  registers_changed_ = listening_ = reported_ = false;
  stopped_ = true;
  NotifyTracer(kind == Kind::kGroup ? CLD_STOPPED : CLD_TRAPPED, code & 0x7f);
  while (stopped_ && !Dying(kind)) base::Fiber::Park();
  stopped_ = listening_ = false;
  kind_ = Kind::kNone;
  if (!registers_changed_) return;
  // As Linux decides it when it goes back to the application: by orig_rax and rax alone. This way a debugger takes a call
  // out of the way and puts it back.
  const platform::Registers& regs = task_.context_->registers();
  bool restart = static_cast<int64_t>(regs.orig_rax) >= 0 && IsRestart(regs.rax);
  if (kind != Kind::kSyscallEntry) task_.restart_ = restart ? static_cast<Errno>(-static_cast<int64_t>(regs.rax)) : Errno{};
  stopped_in_restart_ = restart;
}

void Trace::NotifyTracer(int code, int status) {
  ThreadGroup& group = tracer_->thread_group();
  RefPtr<ThreadGroup> hold(&group);
  const SignalAction& action = group.handlers->actions[SIGCHLD];
  if (!action.is_ignore() && (action.flags & SA_NOCLDSTOP) == 0) {
    SignalInfo info = MakeSignalInfo(SIGCHLD, code, task_.tid_in(*group.pid_ns()), task_.creds()->ruid);
    info.si_status = status;
    group.SendSignal(info);
  }
  group.child_events.Notify(EPOLLIN);
}

bool Trace::SignalStop(SignalInfo* info) {
  Stop(Kind::kSignal, info->si_signo, info, 0);
  if (Dying(Kind::kSignal) || resume_signal_ == 0) return false;
  if (resume_signal_ == info_.si_signo) {
    *info = info_;
  } else {
    *info = MakeSignalInfo(resume_signal_, SI_USER);
    if (tracer_ != nullptr) {
      info->si_pid = tracer_->thread_group().tgid(*task_.pid_ns());
      info->si_uid = tracer_->creds()->ruid;
    }
  }
  if ((task_.blocked() & SignalBit(info->si_signo)) != 0) {
    task_.pending.Add(*info);
    return false;
  }
  return true;
}

void Trace::SyscallStop(Kind kind, uint64_t message) {
  int code = SIGTRAP | ((options_ & PTRACE_O_TRACESYSGOOD) != 0 ? kSyscallMarker : 0);
  SignalInfo info = MakeSignalInfo(SIGTRAP, code, task_.tid(), task_.creds()->ruid);
  Stop(kind, code, &info, message);
  if (resume_signal_ != 0 && !Dying(kind)) task_.SendSignal(MakeSignalInfo(std::exchange(resume_signal_, 0), SI_KERNEL));
}

bool Trace::SyscallEntry() {
  Resumption how = resumption_;
  if (how == Resumption::kContinue || how == Resumption::kStep) return true;
  SyscallStop(Kind::kSyscallEntry, kMessageEntry);
  if (Dying(Kind::kSyscallEntry)) return false;
  if (!task_.context_->has_registers()) return true;
  const platform::Registers& regs = task_.context_->registers();
  platform::Event& event = task_.event_;
  event.nr = regs.orig_rax;
  const uint64_t args[6] = {regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9};
  std::copy(args, args + 6, event.args);
  skip_exit_stop_ = how == Resumption::kEmulate || how == Resumption::kEmulateStep;
  return !skip_exit_stop_ && static_cast<int32_t>(regs.orig_rax) != -1;
}

void Trace::SyscallExit() {
  bool skip = std::exchange(skip_exit_stop_, false);
  if (Dying(Kind::kSyscallExit)) return;
  if (resumption_ == Resumption::kStep || resumption_ == Resumption::kEmulateStep) {
    SignalInfo info = MakeSignalInfo(SIGTRAP, TRAP_BRKPT);
    if (task_.context_->has_registers()) info.si_addr = reinterpret_cast<void*>(task_.context_->registers().rip);
    task_.ForceSignal(info);
  } else if (resumption_ == Resumption::kSyscall && !skip) {
    SyscallStop(Kind::kSyscallExit, kMessageExit);
  }
}

bool Trace::Event(int event, uint64_t message) {
  if (tracer_ == nullptr || (options_ & (1u << event)) == 0) return false;
  int code = SIGTRAP | event << 8;
  SignalInfo info = MakeSignalInfo(SIGTRAP, code, task_.tid(), task_.creds()->ruid);
  Stop(event == PTRACE_EVENT_EXIT ? Kind::kExit : event == PTRACE_EVENT_SECCOMP ? Kind::kSeccomp : Kind::kEvent, code, &info, message);
  return true;
}

bool Trace::SeccompStop(uint32_t data, bool* told) {
  *told = Event(PTRACE_EVENT_SECCOMP, data);
  if (!*told || Dying(Kind::kSeccomp)) return false;
  if (!task_.context_->has_registers()) return true;
  const platform::Registers& regs = task_.context_->registers();
  task_.event_.nr = regs.orig_rax;
  const uint64_t args[6] = {regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9};
  std::copy(args, args + 6, task_.event_.args);
  return static_cast<int32_t>(regs.orig_rax) != -1;
}

void Trace::ExecStop(int old_tid) {
  if (tracer_ == nullptr) return;
  task_.regs().orig_rax = task_.event_.nr;
  if (Event(PTRACE_EVENT_EXEC, static_cast<uint64_t>(old_tid)) || seized()) return;
  task_.SendSignal(MakeSignalInfo(SIGTRAP, SI_USER, task_.tgid(), task_.creds()->ruid));
}

void Trace::ExitStop(int status) {
  if (status == SIGKILL) return;  // ptrace(2): nothing stops a task that SIGKILL ends
  Event(PTRACE_EVENT_EXIT, static_cast<uint64_t>(status));
}

void Trace::HandlerEntered() {
  if (resumption_ != Resumption::kStep && resumption_ != Resumption::kEmulateStep) return;
  SignalInfo info = MakeSignalInfo(SIGTRAP, SIGTRAP, task_.tid(), task_.creds()->ruid);
  Stop(Kind::kEvent, SIGTRAP, &info, 0);
}

void Trace::JobControlStop() {
  ThreadGroup& group = task_.thread_group();
  bool group_stop = std::exchange(group_stop_, false);
  interrupt_ = notify_ = false;
  int signo = group.stopped ? group.stop_signal : 0;
  if (!seized()) {
    if (group_stop && signo != 0) Stop(Kind::kGroup, signo, nullptr, 0);
    return;
  }
  if (signo == 0) signo = SIGTRAP;
  int code = signo | kEventStop << 8;
  SignalInfo info = MakeSignalInfo(signo, code, task_.tid(), task_.creds()->ruid);
  Stop(Kind::kGroup, code, &info, 0);
}

// --- going on ---

void Trace::BeforeRun() {
  bool step = active() && (resumption_ == Resumption::kStep || resumption_ == Resumption::kEmulateStep);
  if (!step || !task_.context_->has_registers() || (task_.context_->registers().eflags & kTrapFlag) != 0) return;
  task_.regs().eflags |= kTrapFlag;
  forced_trap_flag_ = true;
}

void Trace::AfterRun() {
  if (!std::exchange(forced_trap_flag_, false)) return;
  if (task_.context_->EnsureRegisters().ok()) task_.regs().eflags &= ~kTrapFlag;
}

void Trace::RewindForRestart() {
  stopped_in_restart_ = false;
  Errno restart = std::exchange(task_.restart_, Errno{});
  if (!task_.context_->EnsureRegisters().ok()) return;
  platform::Registers& regs = task_.regs();
  regs.rax = restart == Errno::kERESTART_RESTARTBLOCK ? kRestartSyscall : regs.orig_rax;
  regs.rip -= 2;
}

// --- signals ---

void Trace::OnGroupStop() {
  if (!active()) return;
  group_stop_ = true;
  if (listening_) Wake();
  task_.Kick();
}

void Trace::OnContinue() {
  if (!active()) return;
  group_stop_ = false;
  if (!seized()) return;
  notify_ = true;
  if (listening_) Wake();
  task_.Kick();
}

void Trace::OnKill() {
  killed_ = true;
  if (task_.fiber_ != nullptr) task_.fiber_->Unpark();
}

}  // namespace kernel
