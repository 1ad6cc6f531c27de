#include "sentry/kernel/task.h"

#include "base/log.h"
#include "base/tick_clock.h"
#include "sentry/kernel/kernel.h"

namespace kernel {

Task* Task::CurrentOrNull() {
  base::Fiber* fiber = base::Fiber::Current();
  return fiber != nullptr ? static_cast<Task*>(fiber->owner) : nullptr;
}

Task& Task::Current() {
  Task* task = CurrentOrNull();
  CHECK(task != nullptr);
  return *task;
}

Task::Task(Kernel& kernel, Init init)
    : comm(std::move(init.comm)),
      namespaces(std::move(init.namespaces)),
      kernel_(kernel),
      thread_group_(std::move(init.thread_group)),
      pid_(std::move(init.pid)),
      memory_(std::move(init.memory)),
      fds_(std::move(init.fds)),
      fs_(std::move(init.fs)),
      creds_(std::move(init.creds)),
      context_(std::move(init.context)) {
  CPU_ZERO(&affinity);
  for (int cpu = 0; cpu < kernel_.cpu_count(); cpu++) CPU_SET(cpu, &affinity);
  pid_->task = this;
  if (thread_group_->leader_ == nullptr) thread_group_->leader_ = this;
  thread_group_->tasks.push_back(this);
  thread_group_->live_tasks++;
  if (memory_) memory_->users++;
  kernel_.live_tasks++;
}

Task::~Task() {
  if (pid_->task == this) pid_->task = nullptr;
  if (thread_group_->leader_ == this) thread_group_->leader_ = nullptr;
}

void Task::Start() {
  fiber_ = base::Fiber::Start([self = RefPtr<Task>(this)] {
    self->RunLoop();
    self->ExitNotify();
    base::Fiber::Current()->owner = nullptr;
    self->fiber_ = nullptr;
  });
  fiber_->owner = this;
  RecalcPending();
}

void Task::SetImage(RefPtr<mm::MemoryManager> memory, uint64_t entry, uint64_t stack_pointer, std::string new_comm) {
  if (memory_) LeaveMemory();
  memory_ = std::move(memory);
  memory_->users++;
  comm = std::move(new_comm);
  context_->ResetFpuState();
  context_->ForgetAnswers();
  platform::Registers& regs = context_->mutable_registers();
  regs = {};
  regs.rip = entry;
  regs.rsp = stack_pointer;
  regs.cs = 0x33;
  regs.ss = 0x2b;
  regs.eflags = 0x200;
  regs.orig_rax = ~0ull;
}

Usage Task::CurrentUsage() const {
  Usage now = usage;
  if (in_app_) now.user_ns += base::TickNow() - entered_app_ns_;
  return now;
}

void Task::RunLoop() {
  left_app_ns_ = base::TickNow();
  uint64_t parks = fiber_->parks;
  while (PrepareReturn()) {
    if (restart_ != Errno{}) {
      // Nothing was delivered that would end the call: go on with it as if it had never been interrupted.
      HandleSyscall();
      continue;
    }
    // Processor time is accounted by the clock: time between leaving application code and going back is the system's unless
    // the task waited, which shows in a park.
    entered_app_ns_ = base::TickNow();
    if (fiber_->parks == parks) {
      usage.system_ns += entered_app_ns_ - left_app_ns_;
    } else {
      usage.voluntary_switches++;
    }
    if (trace) [[unlikely]] trace->BeforeRun();
    in_app_ = true;
    memory_->running++;
    const platform::Event& event = context_->Run(memory_->space());
    memory_->running--;
    in_app_ = false;
    if (!came_by.empty()) [[unlikely]] came_by.Notify(EPOLLIN);
    if (trace) [[unlikely]] trace->AfterRun();
    left_app_ns_ = base::TickNow();
    usage.user_ns += left_app_ns_ - entered_app_ns_;
    parks = fiber_->parks;
    switch (event.kind) {
      case platform::Event::Kind::kSyscall:
        event_ = event;
        if ((event_.hot || event_.warm) && !trace) [[unlikely]] ReplaceCalls();
        HandleSyscall();
        break;
      case platform::Event::Kind::kFault:
        HandleFault(event);
        break;
      case platform::Event::Kind::kInterrupted:
        break;
      case platform::Event::Kind::kExited:
        LOG_WARNING("task {}: its host process is gone; killed", tid());
        thread_group_->ExitGroup(SIGKILL);
        break;
    }
  }
}

void Task::ReplaceCalls() {
  if (event_.warm) {
    for (const mm::FileCalls& calls : memory_->Calls()) {
      memory_->ReplaceCalls(*calls.file, kernel_.known_calls.Learn(*creds_, *calls.file, calls.offsets));
    }
  }
  if (event_.hot) memory_->ReplaceCall(event_.ip);
}

void Task::HandleSyscall() {
  if (tracer() != nullptr && restart_ == Errno{} && !trace->SyscallEntry()) [[unlikely]] {
    // Not made: what the tracer left in rax is the result.
  } else {
    MakeSyscall();
  }
  if (tracer() != nullptr) [[unlikely]] trace->SyscallExit();
}

void Task::MakeSyscall() {
  keep_registers_ = false;
  in_syscall = true;
  int64_t value;
  if (restart_ == Errno::kERESTART_RESTARTBLOCK && restart_block) {
    auto resume = std::move(restart_block);
    restart_ = Errno{};
    Result<uint64_t> result = resume(*this);
    value = result.ok() ? static_cast<int64_t>(*result) : -static_cast<int64_t>(result.error());
  } else {
    restart_ = Errno{};
    value = kernel_.dispatch(*this, event_);
  }
  in_syscall = false;
  if (keep_registers_) return;
  if (value <= -static_cast<int64_t>(Errno::kERESTARTSYS) && value >= -static_cast<int64_t>(Errno::kERESTART_RESTARTBLOCK)) {
    restart_ = static_cast<Errno>(-value);
    // What a handler that looks at the interrupted context sees; redone calls never return it.
    value = -static_cast<int64_t>(Errno::kEINTR);
  }
  context_->SetResult(value);
  // A call with a temporary mask that was not interrupted: what the mask let through stays pending (Linux:
  // restore_saved_sigmask_unless).
  if (have_saved_mask_ && restart_ == Errno{} && value != -static_cast<int64_t>(Errno::kEINTR)) {
    have_saved_mask_ = false;
    SetBlocked(saved_mask_);
  }
}

void Task::HandleFault(const platform::Event& event) {
  usage.minor_faults++;
  int signo = event.signo, code = event.si_code;
  if (event.page_fault()) {
    mm::Access access = event.execute() ? mm::Access::kExecute : event.write() ? mm::Access::kWrite : mm::Access::kRead;
    RefPtr<mm::MemoryManager> memory = memory_;
    Result<void> result = memory->HandleFault(event.address, access);
    // A platform that cannot tell a read from a write says write.
    if (!result.ok() && result.error() == Errno::kEACCES && event.access_unknown) result = memory->HandleFault(event.address, mm::Access::kRead);
    if (result.ok()) return;
    switch (result.error()) {
      case Errno::kENXIO:
        signo = SIGBUS;
        code = BUS_ADRERR;
        break;
      case Errno::kENOMEM:
        LOG_WARNING("task {}: no memory for address {:#x}; killed", tid(), event.address);
        thread_group_->ExitGroup(SIGKILL);
        return;
      default:
        signo = SIGSEGV;
        code = result.error() == Errno::kEACCES ? SEGV_ACCERR : SEGV_MAPERR;
    }
  }
  LOG_DEBUG("task {} ({}): fault signal {} code {} address {:#x} rip {:#x}", tid(), comm, signo, code, event.address,
            context_->has_registers() ? context_->registers().rip : 0);
  SignalInfo info = MakeSignalInfo(signo, code);
  info.si_addr = reinterpret_cast<void*>(event.address);
  fault_trap_number = event.trap_number;
  fault_error_code = event.error_code;
  if (event.page_fault()) fault_address = event.address;
  ForceSignal(info);
}

bool Task::PrepareReturn() {
  for (;;) {
    if (exiting_) return false;
    if (killed_ || thread_group_->exiting) {
      if (thread_group_->exiting) exit_status_ = thread_group_->exit_status;
      exiting_ = true;
      return false;
    }
    // A tracee stops for its tracer, not with its group.
    bool traced = tracer() != nullptr;
    if (kernel_.paused() || (thread_group_->stopped && !traced)) {
      ParkWhileStopped();
      continue;
    }
    if (traced && trace->trap_pending()) {
      trace->JobControlStop();
      continue;
    }
    if ((PendingSet() & ~blocked_) == 0) break;
    if (!DeliverSignals()) continue;
  }
  if (restart_ != Errno{} && trace && trace->restarts_visibly()) trace->RewindForRestart();
  if (have_saved_mask_) {
    // The call with a temporary mask is over and nothing was delivered; what the mask held back may be due now.
    if (restart_ != Errno{} && restart_ != Errno::kERESTARTNOHAND) {
      // It goes on: the mask stays.
    } else if (restart_ == Errno{}) {
      have_saved_mask_ = false;
      SetBlocked(saved_mask_);
      return PrepareReturn();
    }
  }
  fiber_->ClearInterrupt();
  return true;
}

void Task::ParkWhileStopped() {
  base::FiberWaiter stop_waiter, pause_waiter;
  thread_group_->resume_events.Add(stop_waiter, EPOLLIN);
  kernel_.resume_events.Add(pause_waiter, EPOLLIN);
  auto stays = [this] { return kernel_.paused() || (thread_group_->stopped && tracer() == nullptr); };
  while (stays() && !killed_ && !thread_group_->exiting) base::Fiber::Park();
}

Trace& Task::EnsureTrace() {
  if (!trace) {
    trace = std::make_unique<Trace>(*this);
    context_->ForgetAnswers();
    if (memory_) memory_->RestoreCalls();
  }
  return *trace;
}

char Task::State() const {
  if (thread_group_->zombie || fiber_ == nullptr) return 'Z';
  if (trace && trace->stopped()) return 't';
  if (thread_group_->stopped && tracer() == nullptr) return 'T';
  if (in_app_ || this == CurrentOrNull()) return 'R';
  return 'S';
}

void Task::Kick() {
  if (fiber_ == nullptr) return;
  fiber_->Interrupt();
  if (in_app_) context_->Interrupt();
}

void Task::RecalcPending() {
  if (fiber_ == nullptr) return;
  bool stop = thread_group_->stopped && tracer() == nullptr;
  if (HasPendingSignal() || stop || thread_group_->exiting || kernel_.paused() || (trace && trace->trap_pending())) {
    Kick();
  } else {
    fiber_->ClearInterrupt();
  }
}

Result<RefPtr<vfs::FileDescription>> Task::GetIoFile(int fd) {
  vfs::FileDescription* file = fds_->Peek(fd);
  if (file == nullptr || (file->flags() & O_PATH) != 0) return Errno::kEBADF;
  return RefPtr<vfs::FileDescription>(file);
}

Result<int> Task::InstallFd(RefPtr<vfs::FileDescription> file, bool cloexec, int minimum) {
  return fds_->Install(std::move(file), cloexec, thread_group_->Limit(RLIMIT_NOFILE), minimum);
}

vfs::WalkContext Task::WalkFromCwd() { return {.root = fs_->root, .start = fs_->cwd, .creds = creds_, .task = this}; }

Result<vfs::WalkContext> Task::WalkFrom(int dirfd, std::string_view name, bool empty_path) {
  // No name at all is an error whatever the descriptor is.
  if (name.empty() && !empty_path) return Errno::kENOENT;
  vfs::WalkContext context = WalkFromCwd();
  if (dirfd == AT_FDCWD || (!name.empty() && name[0] == '/')) return context;
  vfs::FileDescription* file = fds_->Peek(dirfd);
  if (file == nullptr) return Errno::kEBADF;
  bool directory = file->path().valid() && file->path().dentry->is_directory();
  if (!directory && !(name.empty() && empty_path)) return Errno::kENOTDIR;
  context.start = file->path();
  return context;
}

}  // namespace kernel
