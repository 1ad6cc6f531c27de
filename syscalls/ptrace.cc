// ptrace(2). The stops themselves are in sentry/kernel/ptrace.cc, registers in ptrace_registers.cc.

#include <linux/audit.h>

#include <optional>

#include "sentry/kernel/kernel.h"
#include "syscalls/handlers.h"
#include "syscalls/permissions.h"
#include "syscalls/ptrace_registers.h"

namespace syscalls {

using kernel::SignalInfo;
using kernel::SignalSet;
using kernel::Trace;

namespace {

constexpr uint32_t kKnownOptions = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE |
                                   PTRACE_O_TRACEEXEC | PTRACE_O_TRACEVFORKDONE | PTRACE_O_TRACEEXIT | PTRACE_O_TRACESECCOMP |
                                   PTRACE_O_EXITKILL;
// Requests that x86 has and the generic header lacks.
constexpr int64_t kGetRegs = 12, kSetRegs = 13, kGetFpRegs = 14, kSetFpRegs = 15;
constexpr int64_t kSingleStep = 9, kSysemu = 31, kSysemuSingleStep = 32;

Result<uint64_t> TraceMe(Task& task) {
  if (task.tracer() != nullptr) return Errno::kEPERM;
  kernel::ThreadGroup* parent = task.thread_group().parent();
  if (parent == nullptr || parent->zombie || parent->exiting) return 0;
  // The thread that made this process, as long as it lives.
  Task* tracer = task.creator ? task.creator->task : nullptr;
  if (tracer == nullptr || &tracer->thread_group() != parent || tracer->exiting()) tracer = &parent->leader();
  if (tracer->exiting()) return 0;
  task.EnsureTrace().Attach(*tracer, Trace::Mode::kClassic, 0);
  return 0;
}

Result<uint64_t> AttachTo(Task& task, Task& target, int64_t request, uint64_t address, uint64_t data) {
  bool seize = request == PTRACE_SEIZE;
  if (seize && address != 0) return Errno::kEIO;
  if (seize && (data & ~uint64_t{kKnownOptions}) != 0) return Errno::kEIO;
  if (&target.thread_group() == &task.thread_group()) return Errno::kEPERM;
  TRY(CheckMayTrace(task, target));
  if (target.exiting() || target.ended() || target.tracer() != nullptr) return Errno::kEPERM;
  Trace& trace = target.EnsureTrace();
  trace.Attach(task, seize ? Trace::Mode::kSeized : Trace::Mode::kClassic, seize ? static_cast<uint32_t>(data) : 0);
  if (!seize) target.SendSignal(kernel::MakeSignalInfo(SIGSTOP, SI_KERNEL));
  if (target.thread_group().stopped) {
    trace.OnGroupStop();
    target.thread_group().resume_events.Notify(EPOLLIN);
  }
  return 0;
}

// Request -> how the tracee goes on; nothing for other requests.
std::optional<Trace::Resumption> ResumptionOf(int64_t request) {
  switch (request) {
    case PTRACE_CONT: return Trace::Resumption::kContinue;
    case PTRACE_SYSCALL: return Trace::Resumption::kSyscall;
    case kSingleStep: return Trace::Resumption::kStep;
    case kSysemu: return Trace::Resumption::kEmulate;
    case kSysemuSingleStep: return Trace::Resumption::kEmulateStep;
    default: return std::nullopt;
  }
}

Result<uint64_t> PeekMemory(Task& task, Task& target, uint64_t address, uint64_t data) {
  RefPtr<mm::MemoryManager> memory = target.memory();
  uint64_t word = 0;
  if (!memory || memory->CopyInPartial(&word, address, sizeof word, true) != sizeof word) return Errno::kEIO;
  TRY(task.mm().Write<uint64_t>(data, word));
  return 0;
}

Result<uint64_t> PokeMemory(Task& target, uint64_t address, uint64_t word) {
  RefPtr<mm::MemoryManager> memory = target.memory();
  if (!memory || memory->CopyOutPartial(address, &word, sizeof word, true) != sizeof word) return Errno::kEIO;
  return 0;
}

// PTRACE_PEEKSIGINFO: the signals that wait for delivery, without taking them.
Result<uint64_t> PeekSignals(Task& task, Task& target, uint64_t address, uint64_t data) {
  auto args = TRY(task.mm().Read<__ptrace_peeksiginfo_args>(address));
  if ((args.flags & ~uint32_t{PTRACE_PEEKSIGINFO_SHARED}) != 0 || args.nr < 0) return Errno::kEINVAL;
  const auto& pending = (args.flags & PTRACE_PEEKSIGINFO_SHARED) != 0 ? target.thread_group().pending : target.pending;
  std::vector<SignalInfo> queue(pending.queue().begin(), pending.queue().end());
  uint64_t count = 0;
  for (uint64_t i = args.off; i < queue.size() && count < static_cast<uint64_t>(args.nr); i++, count++) {
    Result<void> written = task.mm().Write<SignalInfo>(data + count * sizeof(SignalInfo), queue[i]);
    if (!written.ok()) return count > 0 ? Result<uint64_t>(count) : written.error();
  }
  return count;
}

Result<uint64_t> GetSyscallInfo(Task& task, Task& target, uint64_t size, uint64_t data) {
  const platform::Registers& regs = target.context().registers();
  Trace& trace = *target.trace;
  __ptrace_syscall_info info;
  memset(&info, 0, sizeof info);
  info.arch = AUDIT_ARCH_X86_64;
  info.instruction_pointer = regs.rip;
  info.stack_pointer = regs.rsp;
  size_t actual = offsetof(__ptrace_syscall_info, entry);
  const uint64_t args[6] = {regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9};
  // Without PTRACE_O_TRACESYSGOOD such a stop cannot be told from a plain SIGTRAP.
  bool good = trace.code() == (SIGTRAP | 0x80);
  if (trace.kind() == Trace::Kind::kSyscallEntry && good) {
    info.op = PTRACE_SYSCALL_INFO_ENTRY;
    info.entry.nr = regs.orig_rax;
    std::copy(args, args + 6, info.entry.args);
    actual += sizeof info.entry;
  } else if (trace.kind() == Trace::Kind::kSyscallExit && good) {
    info.op = PTRACE_SYSCALL_INFO_EXIT;
    info.exit.rval = static_cast<int64_t>(regs.rax);
    info.exit.is_error = info.exit.rval < 0 && info.exit.rval >= -4095;
    actual += offsetof(decltype(info.exit), is_error) + 1;
  } else if (trace.kind() == Trace::Kind::kSeccomp) {
    info.op = PTRACE_SYSCALL_INFO_SECCOMP;
    info.seccomp.nr = regs.orig_rax;
    std::copy(args, args + 6, info.seccomp.args);
    info.seccomp.ret_data = static_cast<uint32_t>(trace.message());
    actual += offsetof(decltype(info.seccomp), ret_data) + 4;
  }
  TRY(task.mm().CopyOut(data, &info, std::min<uint64_t>(size, actual)));
  return actual;
}

Result<uint64_t> OnStopped(Task& task, Task& target, int64_t request, uint64_t address, uint64_t data) {
  Trace& trace = *target.trace;
  if (std::optional<Trace::Resumption> how = ResumptionOf(request)) {
    if (data > static_cast<uint64_t>(kernel::kMaxSignal)) return Errno::kEIO;
    trace.Resume(*how, static_cast<int>(data));
    return 0;
  }
  switch (request) {
    case PTRACE_PEEKTEXT:
    case PTRACE_PEEKDATA:
      return PeekMemory(task, target, address, data);
    case PTRACE_POKETEXT:
    case PTRACE_POKEDATA:
      return PokeMemory(target, address, data);
    case PTRACE_PEEKUSER:
      TRY(task.mm().Write<uint64_t>(data, TRY(PeekUser(target, address))));
      return 0;
    case PTRACE_POKEUSER:
      TRY(PokeUser(target, address, data));
      return 0;
    case kGetRegs:
      TRY(task.mm().Write<platform::Registers>(data, target.context().registers()));
      return 0;
    case kSetRegs: {
      platform::Registers regs = TRY(task.mm().Read<platform::Registers>(data));
      // Reading may have parked: the tracee may have been killed meanwhile.
      if (!trace.accessible()) return Errno::kESRCH;
      TRY(SetGeneralRegisters(target, regs));
      return 0;
    }
    case kGetFpRegs: {
      std::vector<uint8_t> image = GetFpRegisters(target);
      TRY(task.mm().CopyOut(data, image.data(), image.size()));
      return 0;
    }
    case kSetFpRegs: {
      std::vector<uint8_t> image(sizeof(user_fpregs_struct));
      TRY(task.mm().CopyIn(image.data(), data, image.size()));
      if (!trace.accessible()) return Errno::kESRCH;
      TRY(SetFpRegisters(target, image));
      return 0;
    }
    case PTRACE_GETREGSET:
    case PTRACE_SETREGSET:
      return RegisterSet(task, target, address, data, request == PTRACE_SETREGSET);
    case PTRACE_DETACH:
      if (data > static_cast<uint64_t>(kernel::kMaxSignal)) return Errno::kEIO;
      trace.Detach(static_cast<int>(data));
      return 0;
    case PTRACE_SETOPTIONS:
      if ((data & ~uint64_t{kKnownOptions}) != 0) return Errno::kEINVAL;
      trace.set_options(static_cast<uint32_t>(data));
      return 0;
    case PTRACE_GETEVENTMSG:
      TRY(task.mm().Write<uint64_t>(data, trace.message()));
      return 0;
    case PTRACE_GETSIGINFO:
      if (trace.info() == nullptr) return Errno::kEINVAL;
      TRY(task.mm().Write<SignalInfo>(data, *trace.info()));
      return 0;
    case PTRACE_SETSIGINFO: {
      SignalInfo info = TRY(task.mm().Read<SignalInfo>(data));
      if (trace.info() == nullptr) return Errno::kEINVAL;
      *trace.info() = info;
      return 0;
    }
    case PTRACE_GETSIGMASK:
      if (address != sizeof(SignalSet)) return Errno::kEINVAL;
      TRY(task.mm().Write<SignalSet>(data, target.saved_mask()));
      return 0;
    case PTRACE_SETSIGMASK:
      if (address != sizeof(SignalSet)) return Errno::kEINVAL;
      target.ReplaceMask(TRY(task.mm().Read<SignalSet>(data)));
      return 0;
    case PTRACE_PEEKSIGINFO:
      return PeekSignals(task, target, address, data);
    case PTRACE_LISTEN:
      TRY(trace.Listen());
      return 0;
    case PTRACE_GET_SYSCALL_INFO:
      return GetSyscallInfo(task, target, address, data);
    default:
      return Errno::kEIO;
  }
}

}  // namespace

Result<uint64_t> SysPtrace(Task& task, int64_t request, int pid, uint64_t address, uint64_t data) {
  if (request == PTRACE_TRACEME) return TraceMe(task);
  Task* found = pid > 0 ? task.pid_ns()->FindTask(pid) : nullptr;
  if (found == nullptr) return Errno::kESRCH;
  RefPtr<Task> target(found);
  if (request == PTRACE_ATTACH || request == PTRACE_SEIZE) return AttachTo(task, *target, request, address, data);
  if (target->tracer() != &task || target->ended()) return Errno::kESRCH;
  if (request == PTRACE_KILL) {
    target->SendSignal(kernel::MakeSignalInfo(SIGKILL, SI_USER));
    return 0;
  }
  if (request == PTRACE_INTERRUPT) {
    if (!target->trace->seized()) return Errno::kEIO;
    target->trace->Interrupt();
    return 0;
  }
  if (!target->trace->accessible()) return Errno::kESRCH;
  return OnStopped(task, *target, request, address, data);
}

}  // namespace syscalls
