// seccomp(2): classic BPF filters that an application puts on itself, run by the Sentry before it dispatches a call.

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>

#include <vector>

#include "sentry/kernel/kernel.h"
#include "syscalls/handlers.h"

namespace syscalls {

namespace {

// A filter and those that were there before it: a chain shared by the tasks that inherited it.
class Filter : public RefCounted {
 public:
  std::vector<sock_filter> program;
  RefPtr<RefCounted> previous;
};

// The subset of classic BPF that Linux admits for seccomp: loads are 32-bit words of seccomp_data at constant offsets.
bool Valid(const std::vector<sock_filter>& program) {
  for (size_t pc = 0; pc < program.size(); pc++) {
    const sock_filter& i = program[pc];
    size_t rest = program.size() - pc - 1;
    switch (i.code) {
      case BPF_LD | BPF_W | BPF_ABS:
        if (i.k % 4 != 0 || i.k >= sizeof(seccomp_data)) return false;
        break;
      case BPF_LD | BPF_MEM:
      case BPF_LDX | BPF_MEM:
      case BPF_ST:
      case BPF_STX:
        if (i.k >= BPF_MEMWORDS) return false;
        break;
      case BPF_ALU | BPF_DIV | BPF_K:
        if (i.k == 0) return false;
        break;
      case BPF_ALU | BPF_LSH | BPF_K:
      case BPF_ALU | BPF_RSH | BPF_K:
        if (i.k >= 32) return false;
        break;
      case BPF_LD | BPF_IMM: case BPF_LDX | BPF_IMM: case BPF_LD | BPF_W | BPF_LEN: case BPF_LDX | BPF_W | BPF_LEN:
      case BPF_RET | BPF_K: case BPF_RET | BPF_A: case BPF_MISC | BPF_TAX: case BPF_MISC | BPF_TXA: case BPF_ALU | BPF_NEG:
      case BPF_ALU | BPF_ADD | BPF_K: case BPF_ALU | BPF_ADD | BPF_X: case BPF_ALU | BPF_SUB | BPF_K: case BPF_ALU | BPF_SUB | BPF_X:
      case BPF_ALU | BPF_MUL | BPF_K: case BPF_ALU | BPF_MUL | BPF_X: case BPF_ALU | BPF_DIV | BPF_X:
      case BPF_ALU | BPF_AND | BPF_K: case BPF_ALU | BPF_AND | BPF_X: case BPF_ALU | BPF_OR | BPF_K: case BPF_ALU | BPF_OR | BPF_X:
      case BPF_ALU | BPF_XOR | BPF_K: case BPF_ALU | BPF_XOR | BPF_X: case BPF_ALU | BPF_LSH | BPF_X: case BPF_ALU | BPF_RSH | BPF_X:
        break;
      case BPF_JMP | BPF_JA:
        if (i.k >= rest) return false;
        break;
      case BPF_JMP | BPF_JEQ | BPF_K: case BPF_JMP | BPF_JEQ | BPF_X: case BPF_JMP | BPF_JGT | BPF_K: case BPF_JMP | BPF_JGT | BPF_X:
      case BPF_JMP | BPF_JGE | BPF_K: case BPF_JMP | BPF_JGE | BPF_X: case BPF_JMP | BPF_JSET | BPF_K: case BPF_JMP | BPF_JSET | BPF_X:
        if (i.jt >= rest || i.jf >= rest) return false;
        break;
      default:
        return false;
    }
  }
  return !program.empty() && BPF_CLASS(program.back().code) == BPF_RET;
}

uint32_t RunFilter(const std::vector<sock_filter>& program, const seccomp_data& data) {
  uint32_t a = 0, x = 0, memory[BPF_MEMWORDS] = {};
  for (size_t pc = 0; pc < program.size(); pc++) {
    const sock_filter& i = program[pc];
    uint32_t operand = BPF_SRC(i.code) == BPF_X ? x : i.k;
    switch (BPF_CLASS(i.code)) {
      case BPF_LD:
        if (BPF_MODE(i.code) == BPF_ABS) memcpy(&a, reinterpret_cast<const char*>(&data) + i.k, 4);
        else a = BPF_MODE(i.code) == BPF_IMM ? i.k : BPF_MODE(i.code) == BPF_MEM ? memory[i.k] : uint32_t{sizeof data};
        break;
      case BPF_LDX:
        x = BPF_MODE(i.code) == BPF_IMM ? i.k : BPF_MODE(i.code) == BPF_MEM ? memory[i.k] : uint32_t{sizeof data};
        break;
      case BPF_ST: memory[i.k] = a; break;
      case BPF_STX: memory[i.k] = x; break;
      case BPF_ALU:
        switch (BPF_OP(i.code)) {
          case BPF_ADD: a += operand; break;
          case BPF_SUB: a -= operand; break;
          case BPF_MUL: a *= operand; break;
          case BPF_DIV:
            if (operand == 0) return SECCOMP_RET_KILL_THREAD;
            a /= operand;
            break;
          case BPF_AND: a &= operand; break;
          case BPF_OR: a |= operand; break;
          case BPF_XOR: a ^= operand; break;
          case BPF_LSH: a = operand < 32 ? a << operand : 0; break;
          case BPF_RSH: a = operand < 32 ? a >> operand : 0; break;
          case BPF_NEG: a = -a; break;
        }
        break;
      case BPF_JMP: {
        if (BPF_OP(i.code) == BPF_JA) {
          pc += i.k;
          break;
        }
        bool taken = BPF_OP(i.code) == BPF_JEQ ? a == operand : BPF_OP(i.code) == BPF_JGT ? a > operand
                     : BPF_OP(i.code) == BPF_JGE ? a >= operand : (a & operand) != 0;
        pc += taken ? i.jt : i.jf;
        break;
      }
      case BPF_RET:
        return BPF_RVAL(i.code) == BPF_A ? a : i.k;
      case BPF_MISC:
        if (BPF_MISCOP(i.code) == BPF_TAX) x = a;
        else a = x;
        break;
    }
  }
  return SECCOMP_RET_KILL_THREAD;
}

Result<uint64_t> AddFilter(Task& task, uint64_t flags, UserAddress args) {
  if ((flags & ~uint64_t{SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_LOG | SECCOMP_FILTER_FLAG_SPEC_ALLOW | SECCOMP_FILTER_FLAG_TSYNC_ESRCH}) != 0) {
    return Errno::kEINVAL;
  }
  if (!task.no_new_privs && !task.creds()->Has(CAP_SYS_ADMIN)) return Errno::kEACCES;
  sock_fprog header = TRY(task.mm().Read<sock_fprog>(args));
  if (header.len == 0 || header.len > BPF_MAXINSNS) return Errno::kEINVAL;
  auto filter = MakeRef<Filter>();
  filter->program.resize(header.len);
  TRY(task.mm().CopyIn(filter->program.data(), reinterpret_cast<UserAddress>(header.filter), header.len * sizeof(sock_filter)));
  if (!Valid(filter->program)) return Errno::kEINVAL;
  filter->previous = task.seccomp;
  auto apply = [&](Task& target) {
    target.seccomp = filter;
    target.seccomp_mode = SECCOMP_MODE_FILTER;
    target.context().ForgetAnswers();
    if (task.no_new_privs) target.no_new_privs = true;
  };
  apply(task);
  if ((flags & SECCOMP_FILTER_FLAG_TSYNC) != 0) {
    for (Task* member : task.thread_group().tasks) apply(*member);
  }
  return 0;
}

void KillBySeccomp(Task& task, bool whole_process) {
  if (whole_process || task.thread_group().live_tasks == 1) {
    task.thread_group().ExitGroup(SIGSYS | 0x80);
  } else {
    task.Exit(SIGSYS);
  }
}

}  // namespace

Result<uint64_t> SetSeccomp(Task& task, uint64_t mode, UserAddress args) {
  if (mode == SECCOMP_MODE_STRICT) {
    if (task.seccomp_mode == SECCOMP_MODE_FILTER) return Errno::kEINVAL;
    task.seccomp_mode = SECCOMP_MODE_STRICT;
    task.context().ForgetAnswers();
    return 0;
  }
  if (mode != SECCOMP_MODE_FILTER || task.seccomp_mode == SECCOMP_MODE_STRICT) return Errno::kEINVAL;
  return AddFilter(task, 0, args);
}

Result<uint64_t> SysSeccomp(Task& task, uint32_t operation, FlagsArg flags, UserAddress args) {
  switch (operation) {
    case SECCOMP_SET_MODE_STRICT:
      if (flags.value != 0 || args != 0) return Errno::kEINVAL;
      return SetSeccomp(task, SECCOMP_MODE_STRICT, 0);
    case SECCOMP_SET_MODE_FILTER:
      if (task.seccomp_mode == SECCOMP_MODE_STRICT) return Errno::kEINVAL;
      return AddFilter(task, flags.value, args);
    case SECCOMP_GET_ACTION_AVAIL: {
      if (flags.value != 0) return Errno::kEINVAL;
      uint32_t action = TRY(task.mm().Read<uint32_t>(args));
      switch (action) {
        case SECCOMP_RET_KILL_PROCESS: case SECCOMP_RET_KILL_THREAD: case SECCOMP_RET_TRAP: case SECCOMP_RET_ERRNO: case SECCOMP_RET_LOG:
        case SECCOMP_RET_ALLOW:
          return 0;
        default:
          return Errno::kEOPNOTSUPP;
      }
    }
    default:
      return Errno::kEINVAL;
  }
}

// The verdict of the task's own filters: nothing to go on, or what the call returns. Signals and the end of the task are arranged
// here.
std::optional<int64_t> CheckSeccomp(Task& task, const platform::Event& event, bool recheck) {
  constexpr int64_t kDenied = -ENOSYS;
  uint32_t number = static_cast<uint32_t>(event.nr);
  if (task.seccomp_mode == SECCOMP_MODE_STRICT) {
    if (number == 0 || number == 1 || number == 15 || number == 60) return std::nullopt;
    task.thread_group().ExitGroup(SIGKILL);
    return kDenied;
  }
  seccomp_data data{.nr = static_cast<int>(number), .arch = AUDIT_ARCH_X86_64, .instruction_pointer = event.ip};
  memcpy(data.args, event.args, sizeof data.args);
  // Of all filters the most restrictive answer counts, the newest one's in case of a draw.
  uint32_t verdict = SECCOMP_RET_ALLOW;
  for (RefCounted* f = task.seccomp.get(); f != nullptr; f = static_cast<Filter*>(f)->previous.get()) {
    uint32_t answer = RunFilter(static_cast<Filter*>(f)->program, data);
    if (static_cast<int32_t>(answer & SECCOMP_RET_ACTION_FULL) < static_cast<int32_t>(verdict & SECCOMP_RET_ACTION_FULL)) verdict = answer;
  }
  uint32_t value = verdict & SECCOMP_RET_DATA;
  switch (verdict & SECCOMP_RET_ACTION_FULL) {
    case SECCOMP_RET_ALLOW:
    case SECCOMP_RET_LOG:
      return std::nullopt;
    case SECCOMP_RET_ERRNO:
      return -static_cast<int64_t>(std::min<uint32_t>(value, 4095));
    case SECCOMP_RET_TRAP: {
      kernel::SignalInfo info = kernel::MakeSignalInfo(SIGSYS, 1 /* SYS_SECCOMP */);
      info.si_errno = static_cast<int>(value);
      info.si_call_addr = reinterpret_cast<void*>(event.ip);
      info.si_syscall = static_cast<int>(number);
      info.si_arch = AUDIT_ARCH_X86_64;
      task.ForceSignal(info);
      return kDenied;
    }
    case SECCOMP_RET_TRACE: {
      if (recheck) return std::nullopt;
      if (task.tracer() == nullptr) return kDenied;
      bool told = false;
      // The tracer may have made another call of it, which must not get past the filters.
      if (task.trace->SeccompStop(value, &told)) return CheckSeccomp(task, task.syscall(), true);
      // Taken away by the tracer: its rax is the result. Nobody asked for the event: as without a tracer.
      if (!told || !task.context().has_registers()) return kDenied;
      return static_cast<int64_t>(task.context().registers().rax);
    }
    default:
      KillBySeccomp(task, (verdict & SECCOMP_RET_ACTION_FULL) != SECCOMP_RET_KILL_THREAD);
      return kDenied;
  }
}

}  // namespace syscalls
