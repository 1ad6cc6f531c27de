#include "platform/systrap/context.h"

#include <linux/audit.h>
#include <signal.h>

#include <algorithm>
#include <cstring>

#include "base/log.h"
#include "platform/systrap/address_space.h"
#include "platform/systrap/cpuid_table.h"
#include "platform/systrap/signals.h"
#include "platform/systrap/stub_layout.h"

namespace platform::systrap {

namespace {

constexpr uint32_t kX32Bit = 0x40000000;
constexpr uint64_t kTrapFlag = 0x100;

Event Exited() {
  Event event;
  event.kind = Event::Kind::kExited;
  return event;
}

// The host must not take a result for one of its own restart codes when an interrupt signal is
// pending.
int64_t HostResultValue(int64_t result) {
  return result <= -512 && result >= -516 ? -EINTR : result;
}

}  // namespace

SystrapContext::SystrapContext() : result_(-ENOSYS) {}

const Event& SystrapContext::Run(AddressSpace& space) {
  StubProcess& stub = static_cast<SystrapAddressSpace&>(space).stub();
  if (thread_ != nullptr && thread_->stub != &stub) Release();
  if (stub.has_changes() && !stub.Flush().ok()) return event_ = Exited();
  if (thread_ != nullptr && !has_registers_ && (interrupt_ || registers_dirty_)) {
    const bool rewritten = registers_dirty_;
    const Registers wanted = registers_;
    if (!EnsureRegisters().ok()) return event_ = Exited();
    if (rewritten) mutable_registers() = wanted;
  }
  if (thread_ == nullptr && !Enter(stub).ok()) return event_ = Exited();
  if (std::exchange(interrupt_, false)) {
    return event_ = Event();
  }
  int64_t reply = HostResultValue(result_);
  if (thread_->at_doorbell) {
    const StubArea area = thread_->area();
    const bool load_bases = thread_->frame == 0 || registers_.fs_base != loaded_fs_base_ ||
                            registers_.gs_base != loaded_gs_base_;
    // Signal handlers begin with the initial FPU state.
    if (fpu_dirty_ && fpu_ == nullptr && thread_->frame != 0) {
      fpu_dirty_ = !ResetFpu(area, thread_->frame);
    }
    if (fpu_dirty_ || thread_->frame == 0) {
      WriteFrame(area, registers_, Fpu());
      thread_->frame = StandardFrameOffset();
      fpu_.reset();
    } else if (registers_dirty_) {
      WriteRegisters(area, thread_->frame, registers_);
    } else if (rax_dirty_) {
      WriteRax(area, thread_->frame, registers_.rax);
    }
    if (load_bases) {
      WriteBases(area, registers_);
      loaded_fs_base_ = registers_.fs_base;
      loaded_gs_base_ = registers_.gs_base;
      stub.OnBases(*thread_, loaded_fs_base_);
    }
    reply = thread_->frame | (load_bases ? STUB_REPLY_LOAD_BASES : 0);
  }
  has_registers_ = registers_dirty_ = rax_dirty_ = fpu_dirty_ = fpu_in_frame_ = false;
  signalled_ = false;
  wait_ = Wait::kEvent;
  fiber_ = Fiber::Current();
  stub.Resume(*thread_, reply);
  while (wait_ != Wait::kNone) Fiber::Park();
  return event_;
}

Result<void> SystrapContext::Enter(StubProcess& stub) {
  if (!has_registers_ && !registers_dirty_) return Errno::kESRCH;  // lost with its thread
  thread_ = TRY(stub.AcquireThread());
  thread_->context = this;
  thread_->frame = 0;  // whoever had the thread before left its frame
  has_registers_ = true;
  for (auto [nr, value] : answers_) StoreAnswer(nr, value + 1);
  return {};
}

void SystrapContext::Interrupt() {
  if (wait_ == Wait::kEvent && thread_ != nullptr) {
    signalled_ = true;
    thread_->stub->Signal(*thread_);
  } else {
    interrupt_ = true;
  }
}

void SystrapContext::SetResult(int64_t value) {
  result_ = value;
  if (!has_registers_) return;
  registers_.rax = static_cast<uint64_t>(value);
  rax_dirty_ = true;
}

Result<void> SystrapContext::EnsureRegisters() {
  if (has_registers_) return {};
  if (thread_ == nullptr) return Errno::kESRCH;
  StubProcess& stub = *thread_->stub;
  const int64_t result = result_;
  wait_ = Wait::kRegisters;
  fiber_ = Fiber::Current();
  // Delivered when the reply ends the system call, with the reply in rax. A thread that waits for
  // the result of a posted call is running.
  stub.Signal(*thread_);
  if (!thread_->posted) stub.Resume(*thread_, HostResultValue(result));
  while (wait_ != Wait::kNone) Fiber::Park();
  if (!has_registers_) return Errno::kESRCH;
  registers_.orig_rax = system_call_;
  registers_.rax = static_cast<uint64_t>(result);
  rax_dirty_ = true;
  return {};
}

uint8_t* SystrapContext::Fpu() const {
  const FpuLayout& layout = FpuLayout::Get();
  if (!fpu_) {
    fpu_ = std::make_unique_for_overwrite<uint8_t[]>(layout.frame_size());
    if (!fpu_in_frame_) layout.Reset(fpu_.get());
  }
  if (fpu_in_frame_) {
    const StubArea area = thread_->area();
    ReadFpu(area, ReadUcontext(area, thread_->frame), fpu_.get());
    fpu_in_frame_ = false;
  }
  return fpu_.get();
}

std::span<const uint8_t> SystrapContext::fpu_state() const {
  return {Fpu(), FpuLayout::Get().frame_size()};
}

Result<void> SystrapContext::SetFpuState(std::span<const uint8_t> state) {
  const FpuLayout& layout = FpuLayout::Get();
  TRY(layout.Check(state));
  if (!fpu_) fpu_ = std::make_unique_for_overwrite<uint8_t[]>(layout.frame_size());
  fpu_in_frame_ = false;
  layout.Load(state, fpu_.get());
  fpu_dirty_ = true;
  return {};
}

void SystrapContext::ResetFpuState() {
  fpu_in_frame_ = false;
  fpu_.reset();
  fpu_dirty_ = true;
}

void SystrapContext::CopyStateFrom(const Context& parent) {
  const auto& from = static_cast<const SystrapContext&>(parent);
  registers_ = from.registers_;
  has_registers_ = registers_dirty_ = true;
  fpu_in_frame_ = false;
  if (from.fpu_ || from.fpu_in_frame_) {
    memcpy(Fpu(), from.Fpu(), FpuLayout::Get().frame_size());
  } else {
    fpu_.reset();
  }
  fpu_dirty_ = true;
}

void SystrapContext::Release() {
  if (thread_ == nullptr) return;
  HostThread& thread = *thread_;
  OnThreadGone();
  thread.stub->LeaveThread(thread);
}

void SystrapContext::OnThreadGone() {
  if (fpu_in_frame_) Fpu();
  for (auto [nr, value] : answers_) StoreAnswer(nr, 0);
  thread_ = nullptr;
  fpu_dirty_ = true;
  if (wait_ == Wait::kNone) return;
  event_ = Exited();
  Deliver();
}

void SystrapContext::StoreAnswer(uint8_t nr, uint32_t field) const {
  char* header = thread_->area().local + STUB_AREA_HEADER;
  memcpy(header + STUB_CALL_ANSWERS + 4 * nr, &field, sizeof field);
}

void SystrapContext::SetAnswer(uint64_t nr, uint32_t value) {
  if (nr >= STUB_MAX_ANSWER || value == ~uint32_t{0}) return;
  if (thread_ == nullptr || !thread_->bound) return;
  for (auto& answer : answers_) {
    if (answer.first == nr) return;
  }
  answers_.emplace_back(nr, value);
  StoreAnswer(nr, value + 1);
}

void SystrapContext::ForgetAnswers() {
  if (thread_ != nullptr) {
    for (auto [nr, value] : answers_) StoreAnswer(nr, 0);
  }
  answers_.clear();
}

void SystrapContext::Deliver() {
  wait_ = Wait::kNone;
  fiber_->Unpark();
}

void SystrapContext::LoadFrame(const Doorbell& doorbell, bool taken) {
  const StubUcontext ucontext = ReadUcontext(thread_->area(), thread_->frame);
  LoadRegisters(ucontext, registers_);
  registers_.fs_base = loaded_fs_base_ = doorbell.fs_base;
  registers_.gs_base = loaded_gs_base_ = doorbell.gs_base;
  registers_.orig_rax = ~uint64_t{0};
  has_registers_ = true;
  rax_dirty_ = false;
  fpu_in_frame_ = true;
  fpu_.reset();
  thread_->answered = false;
  // One step at a time a thread has to get through a trampoline.
  registers_dirty_ = (registers_.eflags & kTrapFlag) == 0 &&
                     thread_->stub->sites().Normalise(thread_->area(), taken, registers_);
}

void SystrapContext::TakeFault(const Doorbell& doorbell) {
  const StubUcontext ucontext = ReadUcontext(thread_->area(), thread_->frame);
  event_.kind = Event::Kind::kFault;
  event_.signo = static_cast<int>(doorbell.reason);
  event_.error_code = ucontext.error_code;
  event_.trap_number = ucontext.trap_number;
  ReadSignalInfo(thread_->area(), doorbell.siginfo, event_.si_code, event_.address);
}

void SystrapContext::TakeSystemCallFromRegisters() {
  event_.kind = Event::Kind::kSyscall;
  event_.nr = static_cast<uint32_t>(registers_.rax);
  const uint64_t args[6] = {registers_.rdi, registers_.rsi, registers_.rdx,
                            registers_.r10, registers_.r8,  registers_.r9};
  std::copy(args, args + 6, event_.args);
  event_.ip = registers_.rip;
  registers_.orig_rax = event_.nr;
  SetResult(-ENOSYS);
}

void SystrapContext::TakeSignal(const Doorbell& doorbell) {
  event_ = Event();
  switch (doorbell.reason) {
    case kInterruptSignal:
      break;  // an Event is kInterrupted by itself
    case SIGSYS:
      TakeSystemCallFromRegisters();
      break;
    case SIGILL:
      switch (thread_->stub->sites().OnInvalidInstruction(registers_)) {
        case CallSites::Trap::kNone:
          TakeFault(doorbell);
          break;
        case CallSites::Trap::kCall:
          registers_dirty_ = true;
          TakeSystemCallFromRegisters();
          break;
        case CallSites::Trap::kReturn:
          registers_dirty_ = true;
          break;
      }
      break;
    default:
      TakeFault(doorbell);
      if (IsReplacedCpuid(event_.trap_number, event_.error_code) &&
          thread_->stub->cpuid_range().Contains(registers_.rip)) {
        thread_->stub->cpuid().Execute(registers_);
        registers_.rip += kCpuidReplacement.size();
        registers_dirty_ = true;
        event_ = Event();
      }
      break;
  }
}

void SystrapContext::TakeSystemCall(uint64_t nr, const uint64_t (&args)[6], uint64_t ip) {
  event_.kind = Event::Kind::kSyscall;
  event_.nr = system_call_ = nr;
  event_.compat = (nr & kX32Bit) != 0;
  std::copy(std::begin(args), std::end(args), event_.args);
  event_.ip = ip;
  event_.hot = event_.warm = false;
  result_ = -ENOSYS;
}

void SystrapContext::OnDoorbell(const Doorbell& doorbell) {
  StubProcess& stub = *thread_->stub;
  const uint64_t reason = doorbell.reason;
  const bool known = std::find(std::begin(kStubSignals), std::end(kStubSignals),
                               static_cast<int>(reason)) != std::end(kStubSignals) &&
                     reason <= 64;
  if (thread_->frame == 0 || !known || (wait_ == Wait::kRegisters && reason != kInterruptSignal)) {
    return stub.Kill();  // the application made this call itself; its death is delivered by
                         // OnThreadGone
  }
  if (reason == kInterruptSignal && wait_ == Wait::kEvent && !signalled_) {
    // The trace of an interrupt that another event forestalled.
    return stub.Resume(*thread_, thread_->frame);
  }
  LoadFrame(doorbell, /*taken=*/false);
  TakeSignal(doorbell);
  Deliver();
}

void SystrapContext::OnCall(const seccomp_notif& n) {
  StubProcess& stub = *thread_->stub;
  if (wait_ == Wait::kRegisters) return stub.Kill();  // it has blocked the interrupt signal
  const uint64_t ip = n.data.instruction_pointer;
  const auto nr = static_cast<uint32_t>(n.data.nr);
  const auto& a = n.data.args;
  if (std::optional<uint64_t> return_address = stub.sites().ReturnAddress(ip)) {
    stub.Bind(*thread_, loaded_fs_base_);
    if (nr == STUB_PARK) {
      // Nobody took the call that it had posted.
      const PostedCall call = ReadPosted(thread_->area());
      TakeSystemCall(call.nr, call.args, *return_address);
    } else {
      TakeSystemCall(nr, {a[0], a[1], a[2], a[3], a[4], a[5]}, *return_address);
    }
  } else {
    TakeSystemCall(nr, {a[0], a[1], a[2], a[3], a[4], a[5]}, ip);
    if (n.data.arch != AUDIT_ARCH_X86_64) event_.compat = true;
    if (!event_.compat) event_.hot = stub.CountCall(ip, &event_.warm);
  }
  Deliver();
}

void SystrapContext::OnPosted(const PostedCall& call) {
  std::optional<uint64_t> return_address = thread_->stub->sites().ReturnAddress(call.return_to);
  TakeSystemCall(call.nr, call.args, return_address.value_or(call.return_to));
  Deliver();
}

void SystrapContext::OnPostedStops(const seccomp_notif& n) {
  StubProcess& stub = *thread_->stub;
  if (!thread_->at_doorbell) {
    if (static_cast<uint32_t>(n.data.nr) != STUB_PARK) return stub.Kill();
    // The interrupt signal is still on its way.
    if (wait_ == Wait::kRegisters) stub.Resume(*thread_, HostResultValue(result_));
    return;
  }
  const Doorbell doorbell(n.data.args);
  if (thread_->frame == 0 || doorbell.reason != kInterruptSignal) return stub.Kill();
  LoadFrame(doorbell, /*taken=*/true);
  registers_.orig_rax = system_call_;
  SetResult(result_);
  if (wait_ == Wait::kRegisters) Deliver();
}

}  // namespace platform::systrap
