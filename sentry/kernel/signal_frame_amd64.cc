// The frame that a signal handler finds on its stack, and rt_sigreturn: the layout is the application's binary interface
// (Linux: arch/x86/include/uapi/asm/sigcontext.h, ucontext.h).

#include <cstring>

#include "absl/container/inlined_vector.h"
#include "base/log.h"
#include "sentry/kernel/kernel.h"
#include "sentry/kernel/task.h"

namespace kernel {

namespace {

struct SignalContext {
  uint64_t r8, r9, r10, r11, r12, r13, r14, r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, eflags;
  uint16_t cs, gs, fs, ss;
  uint64_t err, trapno, oldmask, cr2;
  uint64_t fpstate;
  uint64_t reserved[8];
};
static_assert(sizeof(SignalContext) == 256);

struct UserContext {
  uint64_t flags, link;
  stack_t stack;
  SignalContext mcontext;
  SignalSet sigmask;
};
static_assert(sizeof(UserContext) == 304);

struct SignalFrame {
  uint64_t return_address;
  UserContext context;
  SignalInfo info;
};
static_assert(sizeof(SignalFrame) == 8 + 304 + 128);

constexpr uint64_t kUcFpXstate = 1, kUcSigcontextSs = 2, kUcStrictRestoreSs = 4;
constexpr uint64_t kRedZone = 128;
// What an application may set: CF PF AF ZF SF TF DF OF RF AC.
constexpr uint64_t kUserFlags = 0x1 | 0x4 | 0x10 | 0x40 | 0x80 | 0x100 | 0x400 | 0x800 | 0x10000 | 0x40000;
constexpr uint32_t kXstateMagic1 = 0x46505853, kXstateMagic2 = 0x46505845;
constexpr size_t kLegacySize = 512, kSoftwareOffset = 464;
struct SoftwareBytes {
  uint32_t magic1, extended_size;
  uint64_t xfeatures;
  uint32_t xstate_size;
  uint32_t padding[7];
};
static_assert(sizeof(SoftwareBytes) == 48);

bool OnSignalStack(const stack_t& stack, uint64_t sp) {
  uint64_t base = reinterpret_cast<uint64_t>(stack.ss_sp);
  return (stack.ss_flags & SS_DISABLE) == 0 && sp > base && sp - base <= stack.ss_size;
}

}  // namespace

Result<void> Task::PushSignalFrame(const SignalInfo& info, const SignalAction& action) {
  platform::Registers& regs = context_->mutable_registers();
  std::span<const uint8_t> fpu = context_->fpu_state();

  uint64_t sp = regs.rsp;
  bool on_stack = OnSignalStack(signal_stack, sp);
  stack_t reported = signal_stack;
  if (on_stack) reported.ss_flags |= SS_ONSTACK;
  if ((action.flags & SA_ONSTACK) != 0 && (signal_stack.ss_flags & SS_DISABLE) == 0 && !on_stack) {
    sp = reinterpret_cast<uint64_t>(signal_stack.ss_sp) + signal_stack.ss_size;
  } else {
    sp -= kRedZone;
  }
  bool entered_alternate = !on_stack && OnSignalStack(signal_stack, sp);

  uint64_t fpu_address = 0;
  bool extended = fpu.size() > kLegacySize + 64;
  if (!fpu.empty()) {
    sp = (sp - fpu.size() - (extended ? 4 : 0)) & ~63ull;
    fpu_address = sp;
    SoftwareBytes software = {};
    if (extended) {
      memcpy(&software, fpu.data() + kSoftwareOffset, sizeof software);
      uint64_t xfeatures = software.magic1 == kXstateMagic1 ? software.xfeatures : 0;
      // A state as it came from a host's signal frame brings the closing word along, which is not of the XSAVE area.
      if (software.magic1 == kXstateMagic1 && software.xstate_size > kLegacySize && software.xstate_size <= fpu.size()) {
        fpu = fpu.first(software.xstate_size);
      }
      if (xfeatures == 0) memcpy(&xfeatures, fpu.data() + kLegacySize, sizeof xfeatures);
      software = {.magic1 = kXstateMagic1,
                  .extended_size = static_cast<uint32_t>(fpu.size()) + 4,
                  .xfeatures = xfeatures | 3,
                  .xstate_size = static_cast<uint32_t>(fpu.size())};
    }
    TRY(memory_->CopyOut(fpu_address, fpu.data(), fpu.size()));
    if (extended) {
      TRY(memory_->CopyOut(fpu_address + kSoftwareOffset, &software, sizeof software));
      TRY(memory_->CopyOut(fpu_address + fpu.size(), &kXstateMagic2, sizeof kXstateMagic2));
    }
  }
  sp = ((sp - sizeof(SignalFrame)) & ~15ull) - 8;
  if (entered_alternate && !OnSignalStack(signal_stack, sp + 8)) return Errno::kEFAULT;
  if ((action.flags & SA_RESTORER_FLAG) == 0) return Errno::kEFAULT;  // x86-64 has no other way back

  SignalFrame frame = {};
  frame.return_address = action.restorer;
  frame.context.flags = (extended ? kUcFpXstate : 0) | kUcSigcontextSs | kUcStrictRestoreSs;
  frame.context.stack = reported;
  frame.context.mcontext = SignalContext{
      .r8 = regs.r8, .r9 = regs.r9, .r10 = regs.r10, .r11 = regs.r11, .r12 = regs.r12, .r13 = regs.r13, .r14 = regs.r14,
      .r15 = regs.r15, .rdi = regs.rdi, .rsi = regs.rsi, .rbp = regs.rbp, .rbx = regs.rbx, .rdx = regs.rdx,
      .rax = regs.rax, .rcx = regs.rcx, .rsp = regs.rsp, .rip = regs.rip, .eflags = regs.eflags, .cs = 0x33, .gs = 0,
      .fs = 0, .ss = 0x2b, .err = fault_error_code, .trapno = fault_trap_number, .oldmask = have_saved_mask_ ? saved_mask_ : blocked_,
      .cr2 = fault_address,
      .fpstate = fpu_address, .reserved = {}};
  frame.context.sigmask = have_saved_mask_ ? saved_mask_ : blocked_;
  frame.info = info;
  TRY(memory_->CopyOut(sp, &frame, sizeof frame));
  if ((static_cast<uint32_t>(signal_stack.ss_flags) & SS_AUTODISARM_FLAG) != 0) {
    signal_stack = {.ss_sp = nullptr, .ss_flags = SS_DISABLE, .ss_size = 0};
  }

  regs.rdi = static_cast<uint64_t>(info.si_signo);
  regs.rsi = sp + offsetof(SignalFrame, info);
  regs.rdx = sp + offsetof(SignalFrame, context);
  regs.rax = 0;
  regs.rip = action.handler;
  regs.rsp = sp;
  regs.cs = 0x33;
  regs.ss = 0x2b;
  regs.eflags &= ~uint64_t{0x400 | 0x10000 | 0x100};  // DF, RF, TF
  regs.orig_rax = ~0ull;
  return {};
}

Result<void> Task::SignalReturn() {
  platform::Registers& regs = context_->mutable_registers();
  uint64_t frame = regs.rsp - 8;
  UserContext saved = TRY(memory_->Read<UserContext>(frame + offsetof(SignalFrame, context)));
  const SignalContext& m = saved.mcontext;

  if (m.fpstate == 0) {
    context_->ResetFpuState();
  } else {
    absl::InlinedVector<uint8_t, 4096> image(kLegacySize);
    TRY(memory_->CopyIn(image.data(), m.fpstate, kLegacySize));
    SoftwareBytes software;
    memcpy(&software, image.data() + kSoftwareOffset, sizeof software);
    size_t limit = kernel_.platform().xsave_size();
    if (software.magic1 == kXstateMagic1 && software.xstate_size > kLegacySize && software.xstate_size <= limit) {
      uint32_t magic2 = 0;
      TRY(memory_->CopyIn(&magic2, m.fpstate + software.xstate_size, sizeof magic2));
      if (magic2 == kXstateMagic2) {
        image.resize(software.xstate_size);
        TRY(memory_->CopyIn(image.data() + kLegacySize, m.fpstate + kLegacySize, image.size() - kLegacySize));
      }
    }
    TRY(context_->SetFpuState({image.data(), image.size()}));
  }

  regs.r8 = m.r8, regs.r9 = m.r9, regs.r10 = m.r10, regs.r11 = m.r11, regs.r12 = m.r12, regs.r13 = m.r13;
  regs.r14 = m.r14, regs.r15 = m.r15, regs.rdi = m.rdi, regs.rsi = m.rsi, regs.rbp = m.rbp, regs.rbx = m.rbx;
  regs.rdx = m.rdx, regs.rax = m.rax, regs.rcx = m.rcx, regs.rsp = m.rsp, regs.rip = m.rip;
  regs.eflags = (regs.eflags & ~kUserFlags) | (m.eflags & kUserFlags);
  regs.cs = 0x33;
  regs.ss = 0x2b;
  regs.orig_rax = ~0ull;

  uint32_t stack_flags = static_cast<uint32_t>(saved.stack.ss_flags);
  if (!OnSignalStack(signal_stack, regs.rsp) && (stack_flags & ~(SS_DISABLE | SS_ONSTACK | SS_AUTODISARM_FLAG)) == 0) {
    signal_stack = saved.stack;
    signal_stack.ss_flags &= ~SS_ONSTACK;
  }
  SetBlocked(saved.sigmask);
  return {};
}

}  // namespace kernel
