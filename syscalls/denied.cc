// Calls whose answer is a refusal that programs know how to take, because what they act on does not exist here: memory
// protection keys, quotas, file handles, fanotify. And two that act on another process by pidfd.

#include <sys/stat.h>

#include "sentry/kernel/kernel.h"
#include "sentry/kernel/pid_file.h"
#include "syscalls/handlers.h"
#include "syscalls/io_util.h"
#include "syscalls/permissions.h"
#include "vfs/path_walk.h"

namespace syscalls {

// pkeys(7): as on a processor without them.
Result<uint64_t> SysPkeyAlloc(Task&, uint64_t flags, uint64_t rights) {
  if (flags != 0 || (rights & ~uint64_t{3}) != 0) return Errno::kEINVAL;
  return Errno::kENOSPC;
}
Result<uint64_t> SysPkeyFree(Task&, int) { return Errno::kEINVAL; }

namespace {

Result<RefPtr<Task>> ProcessOf(Task& task, int pidfd) {
  RefPtr<vfs::FileDescription> file = TRY(task.GetFile(pidfd));
  kernel::ThreadGroup* group = kernel::PidFileTarget(*file);
  if (group == nullptr) return Errno::kEBADF;
  if (group->zombie || group->reaped) return Errno::kESRCH;
  return RefPtr<Task>(&group->leader());
}

}  // namespace

Result<uint64_t> SysProcessMadvise(Task& task, FdArg pidfd, UserAddress vector, size_t count, int advice, FlagsArg flags) {
  if (flags.value != 0) return Errno::kEINVAL;
  UserRanges ranges = TRY(ReadIovecs(task, vector, count));
  RefPtr<Task> target = TRY(ProcessOf(task, pidfd));
  constexpr int kCold = 20, kPageout = 21, kWillNeed = 3, kCollapse = 25;
  if (advice != kCold && advice != kPageout && advice != kWillNeed && advice != kCollapse) return Errno::kEINVAL;
  TRY(CheckMayTrace(task, *target));
  if (target->memory() != task.memory() && !task.creds()->Has(CAP_SYS_NICE)) return Errno::kEPERM;
  RefPtr<mm::MemoryManager> memory = target->memory();
  if (!memory) return Errno::kESRCH;
  uint64_t done = 0;
  for (const auto& [address, length] : ranges) {
    Result<void> result = memory->Advise(address, length, advice);
    if (!result.ok()) return done > 0 ? Result<uint64_t>(done) : result.error();
    done += length;
  }
  return done;
}

Result<uint64_t> SysProcessMrelease(Task& task, FdArg pidfd, FlagsArg flags) {
  if (flags.value != 0) return Errno::kEINVAL;
  RefPtr<Task> target = TRY(ProcessOf(task, pidfd));
  // The memory of a process that is being killed goes with it, without help.
  return target->thread_group().exiting ? Result<uint64_t>(0) : Errno::kEINVAL;
}

Result<uint64_t> SysNameToHandleAt(Task& task, DirFdArg dirfd, PathArg path, UserAddress handle, UserAddress, FlagsArg flags) {
  if ((flags.value & ~uint64_t{AT_SYMLINK_FOLLOW | AT_EMPTY_PATH | 0x200 /* AT_HANDLE_FID */}) != 0) return Errno::kEINVAL;
  std::string name = TRY(path.Read(task));
  bool empty = (flags & AT_EMPTY_PATH) != 0;
  vfs::WalkContext context = TRY(task.WalkFrom(dirfd, name, empty));
  unsigned walk = ((flags & AT_SYMLINK_FOLLOW) != 0 ? unsigned{vfs::kWalkFollow} : 0u) | (empty ? unsigned{vfs::kWalkEmptyPath} : 0u);
  (void)TRY(vfs::Walk(context, name, walk));
  (void)TRY(task.mm().Read<uint64_t>(handle));
  return Errno::kEOPNOTSUPP;
}

Result<uint64_t> SysOpenByHandleAt(Task& task, FdArg, UserAddress, FlagsArg) {
  // There are no handles that could be good.
  return task.creds()->Has(CAP_DAC_READ_SEARCH) ? Errno::kESTALE : Errno::kEPERM;
}

Result<uint64_t> SysQuotactl(Task& task, uint32_t command, UserAddress, int, UserAddress) {
  if ((command & 0xff) > 2) return Errno::kEINVAL;  // user, group, project
  return task.creds()->Has(CAP_SYS_ADMIN) ? Errno::kENOTBLK : Errno::kEPERM;
}

Result<uint64_t> SysQuotactlFd(Task& task, FdArg fd, uint32_t command, int, UserAddress) {
  TRY(task.GetFile(fd));
  if ((command & 0xff) > 2) return Errno::kEINVAL;
  return task.creds()->Has(CAP_SYS_ADMIN) ? Errno::kENOSYS : Errno::kEPERM;
}

Result<uint64_t> SysFanotifyInit(Task&, uint32_t, uint32_t) { return Errno::kEPERM; }
Result<uint64_t> SysFanotifyMark(Task& task, FdArg group, uint32_t, uint64_t, DirFdArg, PathArg) {
  TRY(task.GetFile(group));
  return Errno::kEINVAL;
}

Result<uint64_t> SysLookupDcookie(Task& task, uint64_t, UserAddress, size_t) {
  return task.creds()->Has(CAP_SYS_ADMIN) ? Errno::kEINVAL : Errno::kEPERM;
}

Result<uint64_t> SysUstat(Task&, uint32_t, UserAddress) { return Errno::kEINVAL; }

}  // namespace syscalls
