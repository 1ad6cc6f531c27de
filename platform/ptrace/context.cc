#include "platform/ptrace/context.h"

#include <linux/audit.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "base/kernel_lock.h"
#include "base/log.h"
#include "platform/ptrace/access_decoder.h"
#include "platform/ptrace/fpu_state.h"
#include "platform/ptrace/tracee_unsafe.h"

namespace platform::ptrace {

namespace {

// Never raised by a fault and, since stubs make no calls of their own, by nothing else inside;
// unlike a real-time signal it does not pile up.
constexpr int kInterruptSignal = SIGUSR2;
constexpr uint64_t kUserCs = 0x33;
constexpr uint64_t kUserSs = 0x2b;
constexpr int kSysSeccomp = 1;  // si_code of a SIGSYS of the filter

// What the application may have written into its registers (sigreturn) must not reach a 32-bit
// segment, nor make the host refuse the lot.
Registers Sanitize(Registers registers) {
  registers.cs = kUserCs;
  registers.ss = kUserSs;
  registers.ds = registers.es = registers.fs = registers.gs = 0;
  if (registers.fs_base >= kTaskSize) registers.fs_base = 0;
  if (registers.gs_base >= kTaskSize) registers.gs_base = 0;
  registers.orig_rax = ~0ULL;  // the host has no system call to restart
  return registers;
}

}  // namespace

PtraceContext::PtraceContext(std::shared_ptr<Tracer> tracer)
    : tracer_(std::move(tracer)), fpu_(FpuLayout::Get().InitialState()) {
  registers_.cs = kUserCs;
  registers_.ss = kUserSs;
  registers_.eflags = 0x202;
  registers_.orig_rax = ~0ULL;
}

PtraceContext::~PtraceContext() {
  CHECK(!running_);
  Unbind();
}

const Event& PtraceContext::Run(AddressSpace& space) {
  auto& target = static_cast<PtraceAddressSpace&>(space);
  fiber_ = Fiber::Current();
  CHECK(fiber_ != nullptr);
  event_ready_ = false;
  if (tracer_->OnTracerThread()) {
    Start(target);
  } else {
    tracer_->Post([this, &target] { Start(target); });
  }
  while (!event_ready_) Fiber::Park();
  fiber_ = nullptr;
  interrupt_ = false;
  return event_;
}

void PtraceContext::Start(PtraceAddressSpace& space) {
  if (tracer_->shut_down()) return Deliver(Event::Kind::kExited);
  if (thread_ != nullptr && space_ != &space) Release();
  if (thread_ == nullptr) {
    Result<StubThread*> thread = tracer_->AcquireThread(space.stub());
    if (!thread.ok()) {
      LOG_WARNING("ptrace: no host thread for the application: {}", ErrnoName(thread.error()));
      return Deliver(Event::Kind::kExited);
    }
    thread_ = *thread;
    thread_->context = this;
    space_ = RefPtr<PtraceAddressSpace>(&space);
    registers_changed_ = fpu_changed_ = true;
    registers_here_ = fpu_here_ = true;
  }
  if (thread_->dead || thread_->stub->dead) return Deliver(Event::Kind::kExited);
  // What failed was logged; the application will fault where a mapping is missing.
  (void)space.FlushNow();
  if (interrupt_) {
    if (!FetchRegisters().ok()) return Deliver(Event::Kind::kExited);
    return Deliver(Event::Kind::kInterrupted);
  }

  Result<void> loaded;
  if (fpu_changed_) loaded = SetXstate(thread_->tid, FpuLayout::Get().ToHost(fpu_));
  if (loaded.ok() && registers_changed_) {
    loaded = SetRegisters(thread_->tid, Sanitize(registers_));
  } else if (loaded.ok() && result_set_) {
    loaded = SetResultRegister(thread_->tid, static_cast<uint64_t>(result_));
  }
  if (!loaded.ok()) {
    LOG_WARNING("ptrace: cannot load the state of thread {}: {}", thread_->tid,
                ErrnoName(loaded.error()));
    return Deliver(Event::Kind::kExited);
  }
  registers_here_ = registers_changed_ = fpu_here_ = fpu_changed_ = result_set_ = false;
  SetRunning(true);
  Resume();
}

void PtraceContext::SetRunning(bool running) {
  running_ = running;
  tracer_->CountRunning(running ? 1 : -1);
}

void PtraceContext::Resume() {
  // A thread that is being killed refuses; its death is about to be reported.
  auto wake = [this] { (void)ContinueEmulated(thread_->tid); };
  if (tracer_->running() == 1) {
    tracer_->WakeOnThisCpu(thread_->tid, wake);
  } else {
    wake();
  }
}

void PtraceContext::Deliver(Event::Kind kind) {
  event_.kind = kind;
  event_ready_ = true;
  if (Fiber::Current() != fiber_) fiber_->Unpark();
}

void PtraceContext::OnDeath() {
  if (running_) Exit();
}

void PtraceContext::Exit() {
  SetRunning(false);
  event_ = {};
  registers_here_ = fpu_here_ = true;  // stale, and all there is
  Deliver(Event::Kind::kExited);
}

void PtraceContext::OnStop(int status) {
  int signo = WSTOPSIG(status);
  event_ = {};
  if (signo == (SIGTRAP | 0x80)) {
    OnSyscall();
  } else if (status >> 16 != 0) {
    Resume();  // a group stop by somebody's SIGSTOP
  } else {
    OnSignal(signo);
  }
}

void PtraceContext::OnSyscall() {
  __ptrace_syscall_info info = {};
  if (!GetSyscallInfo(thread_->tid, &info).ok() || info.op != PTRACE_SYSCALL_INFO_ENTRY)
    return;  // being killed
  SetRunning(false);
  event_.nr = info.entry.nr;
  event_.ip = info.instruction_pointer;
  std::copy_n(info.entry.args, 6, event_.args);
  event_.compat = info.arch != AUDIT_ARCH_X86_64;
  uint32_t nr = static_cast<uint32_t>(info.entry.nr);
  bool full = nr < tracer_->full_state().size() && tracer_->full_state()[nr];
  if ((full || event_.compat) && !FetchRegisters().ok()) return Exit();
  if (registers_here_ && registers_.cs != kUserCs) return DeliverSegmentFault();
  Deliver(Event::Kind::kSyscall);
}

void PtraceContext::OnSignal(int signo) {
  if (signo == kInterruptSignal) {
    // One that comes after its Run has returned for another reason is dropped here.
    if (!interrupt_ || !FetchRegisters().ok()) return Resume();
    SetRunning(false);
    if (registers_.cs != kUserCs) return DeliverSegmentFault();
    return Deliver(Event::Kind::kInterrupted);
  }
  siginfo_t info;
  if (!GetSignalInfo(thread_->tid, &info).ok()) return Resume();
  if (signo == SIGSYS && info.si_code == kSysSeccomp) {
    // The vsyscall page: emulated by the host, which consults the filter in place of ptrace and
    // then returns to the caller.
    if (!FetchRegisters().ok()) return Resume();
    SetRunning(false);
    event_.nr = static_cast<uint64_t>(static_cast<int64_t>(info.si_syscall));
    event_.ip = registers_.rip;
    event_.compat = info.si_arch != AUDIT_ARCH_X86_64;
    uint64_t args[6] = {registers_.rdi, registers_.rsi, registers_.rdx,
                        registers_.r10, registers_.r8,  registers_.r9};
    std::copy_n(args, 6, event_.args);
    registers_.orig_rax = event_.nr;
    registers_.rax = static_cast<uint64_t>(-ENOSYS);
    return Deliver(Event::Kind::kSyscall);
  }
  bool synchronous =
      signo == SIGSEGV || signo == SIGBUS || signo == SIGFPE || signo == SIGILL || signo == SIGTRAP;
  // Signals from outside have a code of 0 or less; they are for the Sentry to give, not for the
  // host.
  if (!synchronous || info.si_code <= 0) return Resume();
  if (!FetchRegisters().ok()) return Resume();
  SetRunning(false);
  if (registers_.cs != kUserCs) return DeliverSegmentFault();
  event_.signo = signo;
  event_.si_code = info.si_code;
  event_.address = reinterpret_cast<uint64_t>(info.si_addr);
  OnFault(signo);
  Deliver(Event::Kind::kFault);
}

void PtraceContext::DeliverSegmentFault() {
  event_ = {.signo = SIGSEGV, .si_code = SI_KERNEL, .error_code = 4, .trap_number = 13};
  Deliver(Event::Kind::kFault);
}

void PtraceContext::OnFault(int signo) {
  event_.error_code = 4;
  switch (signo) {
    case SIGFPE:
      event_.trap_number = event_.si_code == FPE_INTDIV ? 0 : 19;
      return;
    case SIGILL:
      event_.trap_number = 6;
      return;
    case SIGTRAP:
      event_.trap_number = event_.si_code == SI_KERNEL ? 3 : 1;
      return;
  }
  if (event_.si_code == SI_KERNEL) {
    event_.trap_number = signo == SIGBUS ? 12 : 13;
    event_.address = 0;
    return;
  }
  if (signo == SIGBUS && event_.si_code == BUS_ADRALN) {
    event_.trap_number = 17;
    return;
  }
  event_.trap_number = 14;
  if (event_.si_code == SEGV_ACCERR) event_.error_code |= 1;
  // A fetch faults at rip, or behind it in the next page when the instruction straddles.
  uint64_t rip = registers_.rip;
  if (event_.address - rip < 15 && (event_.address == rip || event_.address % kPageSize == 0)) {
    event_.error_code |= 16;
    return;
  }
  // Aligned words, since one that straddles into a page that is not mapped could not be read at
  // all.
  uint8_t words[24];
  size_t size = 0;
  for (; size < sizeof words; size += 8) {
    Result<uint64_t> word = PeekWord(thread_->tid, (rip & ~7ULL) + size);
    if (!word.ok()) break;
    memcpy(words + size, &*word, 8);
  }
  std::span<const uint8_t> code(words, size);
  code = code.subspan(std::min<size_t>(rip & 7, size));
  switch (DecodeAccess(code, registers_, event_.address)) {
    case Access::kWrite:
      event_.error_code |= 2;
      break;
    case Access::kRead:
      break;
    case Access::kUnknown:
      event_.error_code |= 2;
      event_.access_unknown = true;
      break;
  }
}

void PtraceContext::Interrupt() {
  interrupt_ = true;
  if (running_) tgkill(thread_->stub->leader.tid, thread_->tid, kInterruptSignal);
}

void PtraceContext::SetResult(int64_t value) {
  result_set_ = true;
  result_ = value;
  if (registers_here_) mutable_registers().rax = static_cast<uint64_t>(value);
}

Registers& PtraceContext::mutable_registers() {
  CHECK(registers_here_);
  registers_changed_ = true;
  return registers_;
}

Result<void> PtraceContext::FetchRegisters() {
  if (registers_here_) return {};
  TRY(GetRegisters(thread_->tid, &registers_));
  registers_here_ = true;
  if (result_set_) mutable_registers().rax = static_cast<uint64_t>(result_);
  return {};
}

Result<void> PtraceContext::FetchFpuState() {
  if (fpu_here_) return {};
  const FpuLayout& layout = FpuLayout::Get();
  std::vector<uint8_t> host(layout.host_size());
  host.resize(TRY(GetXstate(thread_->tid, host)));
  fpu_ = layout.ToGuest(host);
  fpu_here_ = true;
  return {};
}

Result<void> PtraceContext::EnsureRegisters() {
  if (registers_here_) return {};
  if (tracer_->OnTracerThread()) return FetchRegisters();
  Result<void> result;
  // The FPU state with them, since it cannot be had from here without parking again.
  tracer_->Do([&] {
    result = FetchRegisters();
    if (result.ok()) result = FetchFpuState();
  });
  return result;
}

std::span<const uint8_t> PtraceContext::fpu_state() const {
  if (!fpu_here_) {
    auto* self = const_cast<PtraceContext*>(this);
    // A dead thread has the state it was last seen with.
    tracer_->Do([self] { (void)self->FetchFpuState(); });
  }
  return fpu_;
}

Result<void> PtraceContext::SetFpuState(std::span<const uint8_t> state) {
  fpu_ = TRY(FpuLayout::Get().Validate(state));
  fpu_here_ = fpu_changed_ = true;
  return {};
}

void PtraceContext::ResetFpuState() {
  fpu_ = FpuLayout::Get().InitialState();
  fpu_here_ = fpu_changed_ = true;
}

void PtraceContext::CopyStateFrom(const Context& parent) {
  auto state = parent.fpu_state();
  fpu_.assign(state.begin(), state.end());
  registers_ = parent.registers();
  registers_here_ = registers_changed_ = fpu_here_ = fpu_changed_ = true;
  result_set_ = false;
}

void PtraceContext::Release() {
  if (thread_ == nullptr) return;
  if (tracer_->OnTracerThread() && !thread_->dead) {
    (void)FetchRegisters();
    (void)FetchFpuState();
  }
  Unbind();
}

void PtraceContext::Unbind() {
  if (thread_ == nullptr) return;
  StubThread* thread = thread_;
  thread->context = nullptr;
  thread_ = nullptr;
  registers_here_ = registers_changed_ = fpu_here_ = fpu_changed_ = true;
  RefPtr<PtraceAddressSpace> space = std::move(space_);
  if (tracer_->OnTracerThread()) {
    tracer_->ReleaseThread(thread);
  } else {
    // The reference keeps the stub that the thread belongs to.
    tracer_->Post(
        [tracer = tracer_, thread, space = std::move(space)] { tracer->ReleaseThread(thread); });
  }
}

}  // namespace platform::ptrace
