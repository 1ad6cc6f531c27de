// prctl(2), arch_prctl(2), personality(2).

#include <asm/prctl.h>
#include <sys/personality.h>
#include <sys/prctl.h>

#include "sentry/kernel/kernel.h"
#include "syscalls/handlers.h"

namespace syscalls {

namespace {

Result<uint64_t> AmbientCapabilities(Task& task, uint64_t action, uint64_t cap) {
  auto creds = MakeRef<Credentials>(*task.creds());
  if (action == PR_CAP_AMBIENT_CLEAR_ALL) {
    if (cap != 0) return Errno::kEINVAL;
    creds->ambient = 0;
  } else {
    if (cap > CAP_LAST_CAP) return Errno::kEINVAL;
    base::CapabilitySet bit = base::CapabilityBit(static_cast<int>(cap));
    switch (action) {
      case PR_CAP_AMBIENT_IS_SET:
        return (creds->ambient & bit) != 0;
      case PR_CAP_AMBIENT_RAISE:
        if ((creds->permitted & creds->inheritable & bit) == 0 || (creds->securebits & (1 << 6)) != 0) return Errno::kEPERM;
        creds->ambient |= bit;
        break;
      case PR_CAP_AMBIENT_LOWER:
        creds->ambient &= ~bit;
        break;
      default:
        return Errno::kEINVAL;
    }
  }
  task.set_creds(std::move(creds));
  return 0;
}

Result<uint64_t> SetMemoryLayout(Task& task, uint64_t what, uint64_t value) {
  if (!task.creds()->Has(CAP_SYS_RESOURCE)) return Errno::kEPERM;
  mm::MemoryManager& memory = task.mm();
  switch (what) {
    case PR_SET_MM_START_CODE: memory.start_code = value; return 0;
    case PR_SET_MM_END_CODE: memory.end_code = value; return 0;
    case PR_SET_MM_START_DATA: memory.start_data = value; return 0;
    case PR_SET_MM_END_DATA: memory.end_data = value; return 0;
    case PR_SET_MM_START_STACK: memory.start_stack = value; return 0;
    case PR_SET_MM_ARG_START: memory.arg_start = value; return 0;
    case PR_SET_MM_ARG_END: memory.arg_end = value; return 0;
    case PR_SET_MM_ENV_START: memory.env_start = value; return 0;
    case PR_SET_MM_ENV_END: memory.env_end = value; return 0;
    default: return Errno::kEINVAL;
  }
}

}  // namespace

Result<uint64_t> SysPrctl(Task& task, int option, uint64_t arg2, uint64_t arg3, uint64_t arg4, uint64_t arg5) {
  const Credentials& creds = *task.creds();
  switch (option) {
    case PR_SET_PDEATHSIG:
      if (arg2 > static_cast<uint64_t>(kernel::kMaxSignal)) return Errno::kEINVAL;
      task.parent_death_signal = static_cast<int>(arg2);
      return 0;
    case PR_GET_PDEATHSIG:
      TRY(task.mm().Write<int>(arg2, task.parent_death_signal));
      return 0;
    case PR_GET_DUMPABLE:
      return static_cast<uint64_t>(task.mm().dumpable);
    case PR_SET_DUMPABLE:
      if (arg2 > 1) return Errno::kEINVAL;
      task.mm().dumpable = static_cast<int>(arg2);
      return 0;
    case PR_SET_NAME: {
      char name[16] = {};
      // Up to 16 bytes, ended by the first NUL.
      for (size_t i = 0; i < 15; i++) {
        TRY(task.mm().CopyIn(&name[i], arg2 + i, 1));
        if (name[i] == 0) break;
      }
      task.comm = name;
      return 0;
    }
    case PR_GET_NAME: {
      char name[16] = {};
      memcpy(name, task.comm.data(), std::min<size_t>(task.comm.size(), 15));
      TRY(task.mm().CopyOut(arg2, name, sizeof name));
      return 0;
    }
    case PR_SET_KEEPCAPS: {
      if (arg2 > 1) return Errno::kEINVAL;
      if ((creds.securebits & (1 << 5)) != 0) return Errno::kEPERM;
      auto changed = MakeRef<Credentials>(creds);
      changed->securebits = arg2 != 0 ? changed->securebits | (1 << 4) : changed->securebits & ~uint32_t{1 << 4};
      task.set_creds(std::move(changed));
      return 0;
    }
    case PR_GET_KEEPCAPS:
      return (creds.securebits & (1 << 4)) != 0;
    case PR_GET_SECUREBITS:
      return creds.securebits;
    case PR_SET_SECUREBITS: {
      if (!creds.Has(CAP_SETPCAP)) return Errno::kEPERM;
      uint32_t bits = static_cast<uint32_t>(arg2);
      uint32_t locks = creds.securebits & 0xaa;  // odd bits lock the even ones below them
      if ((bits & ~0xffu) != 0 || (locks & ~bits) != 0 || (((creds.securebits ^ bits) & (locks >> 1)) != 0)) return Errno::kEPERM;
      auto changed = MakeRef<Credentials>(creds);
      changed->securebits = bits;
      task.set_creds(std::move(changed));
      return 0;
    }
    case PR_CAPBSET_READ:
      if (arg2 > CAP_LAST_CAP) return Errno::kEINVAL;
      return (creds.bounding & base::CapabilityBit(static_cast<int>(arg2))) != 0;
    case PR_CAPBSET_DROP: {
      if (!creds.Has(CAP_SETPCAP)) return Errno::kEPERM;
      if (arg2 > CAP_LAST_CAP) return Errno::kEINVAL;
      auto changed = MakeRef<Credentials>(creds);
      changed->bounding &= ~base::CapabilityBit(static_cast<int>(arg2));
      task.set_creds(std::move(changed));
      return 0;
    }
    case PR_CAP_AMBIENT:
      return AmbientCapabilities(task, arg2, arg3);
    case PR_SET_NO_NEW_PRIVS:
      if (arg2 != 1 || arg3 != 0 || arg4 != 0 || arg5 != 0) return Errno::kEINVAL;
      task.no_new_privs = true;
      return 0;
    case PR_GET_NO_NEW_PRIVS:
      if (arg2 != 0 || arg3 != 0 || arg4 != 0 || arg5 != 0) return Errno::kEINVAL;
      return task.no_new_privs;
    case PR_SET_CHILD_SUBREAPER:
      task.thread_group().child_subreaper = arg2 != 0;
      return 0;
    case PR_GET_CHILD_SUBREAPER:
      TRY(task.mm().Write<int>(arg2, task.thread_group().child_subreaper));
      return 0;
    case PR_SET_TIMERSLACK:
      task.timer_slack_ns = arg2 == 0 ? 50000 : static_cast<int64_t>(arg2);
      return 0;
    case PR_GET_TIMERSLACK:
      return static_cast<uint64_t>(task.timer_slack_ns);
    case PR_GET_SECCOMP:
      return static_cast<uint64_t>(task.seccomp_mode);
    case PR_SET_SECCOMP:
      return SetSeccomp(task, arg2, arg3);
    case PR_SET_MM:
      return SetMemoryLayout(task, arg2, arg3);
    case PR_GET_TID_ADDRESS:
      TRY(task.mm().Write<uint64_t>(arg2, task.clear_child_tid));
      return 0;
    case PR_GET_TIMING:
      return PR_TIMING_STATISTICAL;
    case PR_SET_TIMING:
      return arg2 == PR_TIMING_STATISTICAL ? Result<uint64_t>(uint64_t{0}) : Errno::kEINVAL;
    case PR_GET_TSC:
      TRY(task.mm().Write<int>(arg2, PR_TSC_ENABLE));
      return 0;
    case PR_SET_TSC:
      return arg2 == PR_TSC_ENABLE ? Result<uint64_t>(uint64_t{0}) : Errno::kEINVAL;
    case PR_SET_THP_DISABLE:
    case PR_MCE_KILL:
      return 0;
    case PR_GET_THP_DISABLE:
      return 0;
    case PR_MCE_KILL_GET:
      return PR_MCE_KILL_DEFAULT;
    case PR_SET_PTRACER:
      return 0;
    case 0x53564d41 /* PR_SET_VMA: names for anonymous memory need CONFIG_ANON_VMA_NAME */:
      return Errno::kEINVAL;
    default:
      return Errno::kEINVAL;
  }
}

Result<uint64_t> SysArchPrctl(Task& task, int code, uint64_t address) {
  platform::Registers& regs = task.regs();
  bool user_address = address < task.kernel().platform().max_user_address();
  switch (code) {
    case ARCH_SET_FS:
      if (!user_address) return Errno::kEPERM;
      regs.fs_base = address;
      return 0;
    case ARCH_GET_FS:
      TRY(task.mm().Write<uint64_t>(address, regs.fs_base));
      return 0;
    case ARCH_SET_GS:
      if (!user_address) return Errno::kEPERM;
      regs.gs_base = address;
      return 0;
    case ARCH_GET_GS:
      TRY(task.mm().Write<uint64_t>(address, regs.gs_base));
      return 0;
    case ARCH_GET_CPUID:
      return 1;
    case ARCH_SET_CPUID:
      return Errno::kENODEV;
    default:
      return Errno::kEINVAL;
  }
}

Result<uint64_t> SysPersonality(Task& task, uint64_t persona) {
  uint64_t before = task.thread_group().personality;
  if (persona != 0xffffffff) task.thread_group().personality = static_cast<uint32_t>(persona);
  return before;
}

}  // namespace syscalls
