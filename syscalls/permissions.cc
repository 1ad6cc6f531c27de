#include "syscalls/permissions.h"

namespace syscalls {

using kernel::Task;

Result<void> CheckMaySignal(Task& sender, Task& target, int signo) {
  if (&sender.thread_group() == &target.thread_group()) return {};
  const Credentials& from = *sender.creds();
  const Credentials& to = *target.creds();
  if (from.euid == to.suid || from.euid == to.ruid || from.ruid == to.suid || from.ruid == to.ruid) return {};
  if (from.HasIn(CAP_KILL, *to.user_ns)) return {};
  if (signo == SIGCONT && &sender.thread_group().session() == &target.thread_group().session()) return {};
  return Errno::kEPERM;
}

Result<void> CheckMayTrace(Task& tracer, Task& target) {
  if (&tracer.thread_group() == &target.thread_group()) return {};
  const Credentials& from = *tracer.creds();
  const Credentials& to = *target.creds();
  bool same = from.fsuid == to.euid && from.fsuid == to.suid && from.fsuid == to.ruid && from.fsgid == to.egid &&
              from.fsgid == to.sgid && from.fsgid == to.rgid;
  if (!same && !from.HasIn(CAP_SYS_PTRACE, *to.user_ns)) return Errno::kEPERM;
  if (target.memory() && target.mm().dumpable != 1 && !from.HasIn(CAP_SYS_PTRACE, *to.user_ns)) return Errno::kEPERM;
  if ((to.permitted & ~from.permitted) != 0 && !from.HasIn(CAP_SYS_PTRACE, *to.user_ns)) return Errno::kEPERM;
  return {};
}

Result<Task*> FindTask(Task& task, int tid) {
  if (tid == 0) return &task;
  Task* found = tid > 0 ? task.pid_ns()->FindTask(tid) : nullptr;
  if (found == nullptr) return Errno::kESRCH;
  return found;
}

namespace {
constexpr uint32_t kOverflowId = 65534;
}

uid_t ShowUid(Task& task, uid_t id) {
  uid_t shown = task.creds()->user_ns->UidFromKernel(id);
  return shown == UINT32_MAX ? kOverflowId : shown;
}

gid_t ShowGid(Task& task, gid_t id) {
  gid_t shown = task.creds()->user_ns->GidFromKernel(id);
  return shown == UINT32_MAX ? kOverflowId : shown;
}

}  // namespace syscalls
