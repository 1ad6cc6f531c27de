// getrlimit(2), getrusage(2), sched_setaffinity(2), sched_setscheduler(2), getpriority(2), ioprio_set(2), getcpu(2).

#include <sched.h>
#include <sys/resource.h>

#include "sentry/kernel/kernel.h"
#include "syscalls/handlers.h"
#include "syscalls/permissions.h"
#include "syscalls/time_util.h"

namespace syscalls {

using kernel::ThreadGroup;

namespace {

// The memory manager keeps copies of the limits that it enforces.
void PublishLimits(Task& task, ThreadGroup& group) {
  for (Task* member : group.tasks) {
    if (!member->memory()) continue;
    mm::MemoryManager& memory = member->mm();
    memory.limit_as = group.Limit(RLIMIT_AS);
    memory.limit_data = group.Limit(RLIMIT_DATA);
    memory.limit_stack = group.Limit(RLIMIT_STACK);
    memory.limit_memlock = group.Limit(RLIMIT_MEMLOCK);
  }
}

Result<void> SetLimit(Task& task, ThreadGroup& group, int resource, const rlimit& limit) {
  if (limit.rlim_cur > limit.rlim_max) return Errno::kEINVAL;
  if (resource == RLIMIT_NOFILE && limit.rlim_max > 1 << 20) return Errno::kEPERM;
  if (limit.rlim_max > group.limits[resource].rlim_max && !task.creds()->Has(CAP_SYS_RESOURCE)) return Errno::kEPERM;
  group.limits[resource] = limit;
  PublishLimits(task, group);
  if (resource == RLIMIT_CPU) group.ArmCpuLimit();
  return {};
}

}  // namespace

Result<uint64_t> SysGetrlimit(Task& task, int resource, OutArg<rlimit> out) {
  if (resource < 0 || resource >= RLIM_NLIMITS) return Errno::kEINVAL;
  TRY(out.Write(task, task.thread_group().limits[resource]));
  return 0;
}

Result<uint64_t> SysSetrlimit(Task& task, int resource, InArg<rlimit> in) {
  rlimit limit = TRY(in.Read(task));
  if (resource < 0 || resource >= RLIM_NLIMITS) return Errno::kEINVAL;
  TRY(SetLimit(task, task.thread_group(), resource, limit));
  return 0;
}

Result<uint64_t> SysPrlimit64(Task& task, int pid, int resource, InArg<rlimit> in, OutArg<rlimit> old) {
  if (resource < 0 || resource >= RLIM_NLIMITS) return Errno::kEINVAL;
  rlimit limit = {};
  if (!in.null()) limit = TRY(in.Read(task));
  Task* target = TRY(FindTask(task, pid));
  ThreadGroup& group = target->thread_group();
  if (&group != &task.thread_group()) {
    const Credentials& from = *task.creds();
    const Credentials& to = *target->creds();
    bool same = from.ruid == to.euid && from.ruid == to.suid && from.ruid == to.ruid && from.rgid == to.egid &&
                from.rgid == to.sgid && from.rgid == to.rgid;
    if (!same && !from.HasIn(CAP_SYS_RESOURCE, *to.user_ns)) return Errno::kEPERM;
  }
  rlimit before = group.limits[resource];
  if (!in.null()) TRY(SetLimit(task, group, resource, limit));
  if (!old.null()) TRY(old.Write(task, before));
  return 0;
}

Result<uint64_t> SysGetrusage(Task& task, int who, OutArg<rusage> out) {
  kernel::Usage usage;
  switch (who) {
    case RUSAGE_SELF:
      usage = task.thread_group().TotalUsage();
      break;
    case RUSAGE_CHILDREN:
      usage = task.thread_group().children_usage;
      break;
    case RUSAGE_THREAD:
      usage = task.CurrentUsage();
      break;
    default:
      return Errno::kEINVAL;
  }
  if (who != RUSAGE_CHILDREN) usage.max_resident_kb = std::max(usage.max_resident_kb, task.mm().resident_bytes() / 1024);
  TRY(out.Write(task, ToRusage(usage)));
  return 0;
}

// --- scheduling: the values are kept and reported; the host schedules ---

Result<uint64_t> SysSchedYield(Task&) { return 0; }

Result<uint64_t> SysSchedGetaffinity(Task& task, int pid, size_t size, UserAddress mask) {
  size_t needed = (static_cast<size_t>(task.kernel().cpu_count()) + 63) / 64 * 8;
  if (size < needed || size % sizeof(unsigned long) != 0) return Errno::kEINVAL;
  Task* target = TRY(FindTask(task, pid));
  TRY(task.mm().CopyOut(mask, &target->affinity, needed));
  return needed;
}

Result<uint64_t> SysSchedSetaffinity(Task& task, int pid, size_t size, UserAddress mask) {
  cpu_set_t wanted;
  CPU_ZERO(&wanted);
  TRY(task.mm().CopyIn(&wanted, mask, std::min(size, sizeof wanted)));
  Task* target = TRY(FindTask(task, pid));
  const Credentials& from = *task.creds();
  if (from.euid != target->creds()->euid && from.euid != target->creds()->ruid && !from.Has(CAP_SYS_NICE)) return Errno::kEPERM;
  cpu_set_t online;
  CPU_ZERO(&online);
  for (int cpu = 0; cpu < task.kernel().cpu_count(); cpu++) CPU_SET(cpu, &online);
  CPU_AND(&wanted, &wanted, &online);
  if (CPU_COUNT(&wanted) == 0) return Errno::kEINVAL;
  target->affinity = wanted;
  return 0;
}

namespace {

bool IsRealtime(int policy) { return policy == SCHED_FIFO || policy == SCHED_RR; }

Result<void> SetPolicy(Task& task, Task& target, int policy, int priority) {
  bool reset = (policy & SCHED_RESET_ON_FORK) != 0;
  policy &= ~SCHED_RESET_ON_FORK;
  if (policy != SCHED_OTHER && policy != SCHED_BATCH && policy != SCHED_IDLE && !IsRealtime(policy)) return Errno::kEINVAL;
  if (IsRealtime(policy) ? priority < 1 || priority > 99 : priority != 0) return Errno::kEINVAL;
  if (IsRealtime(policy) && !task.creds()->Has(CAP_SYS_NICE) &&
      static_cast<uint64_t>(priority) > target.thread_group().Limit(RLIMIT_RTPRIO)) {
    return Errno::kEPERM;
  }
  target.sched_policy = policy;
  target.sched_priority = priority;
  target.sched_reset_on_fork = reset;
  return {};
}

}  // namespace

Result<uint64_t> SysSchedGetscheduler(Task& task, int pid) {
  if (pid < 0) return Errno::kEINVAL;
  Task* target = TRY(FindTask(task, pid));
  return static_cast<uint64_t>(target->sched_policy | (target->sched_reset_on_fork ? SCHED_RESET_ON_FORK : 0));
}

Result<uint64_t> SysSchedSetscheduler(Task& task, int pid, int policy, InArg<sched_param> param) {
  if (pid < 0 || policy < 0 || param.null()) return Errno::kEINVAL;
  int priority = TRY(param.Read(task)).sched_priority;
  TRY(SetPolicy(task, *TRY(FindTask(task, pid)), policy, priority));
  return 0;
}

Result<uint64_t> SysSchedGetparam(Task& task, int pid, OutArg<sched_param> param) {
  if (pid < 0 || param.null()) return Errno::kEINVAL;
  TRY(param.Write(task, {.sched_priority = TRY(FindTask(task, pid))->sched_priority}));
  return 0;
}

Result<uint64_t> SysSchedSetparam(Task& task, int pid, InArg<sched_param> param) {
  if (pid < 0 || param.null()) return Errno::kEINVAL;
  int priority = TRY(param.Read(task)).sched_priority;
  Task* target = TRY(FindTask(task, pid));
  TRY(SetPolicy(task, *target, target->sched_policy, priority));
  return 0;
}

Result<uint64_t> SysSchedGetPriorityMax(Task&, int policy) {
  if (IsRealtime(policy)) return 99;
  if (policy == SCHED_OTHER || policy == SCHED_BATCH || policy == SCHED_IDLE || policy == 6) return 0;
  return Errno::kEINVAL;
}
Result<uint64_t> SysSchedGetPriorityMin(Task&, int policy) {
  if (IsRealtime(policy)) return 1;
  if (policy == SCHED_OTHER || policy == SCHED_BATCH || policy == SCHED_IDLE || policy == 6) return 0;
  return Errno::kEINVAL;
}

Result<uint64_t> SysSchedRrGetInterval(Task& task, int pid, OutArg<timespec> out) {
  if (pid < 0) return Errno::kEINVAL;
  Task* target = TRY(FindTask(task, pid));
  int64_t ns = target->sched_policy == SCHED_RR ? 100'000'000 : target->sched_policy == SCHED_FIFO ? 0 : 4'000'000;
  TRY(out.Write(task, ToTimespec(ns)));
  return 0;
}

namespace {
struct SchedAttr {
  uint32_t size, policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t runtime, deadline, period;
};
}  // namespace

Result<uint64_t> SysSchedGetattr(Task& task, int pid, UserAddress attr, uint32_t size, FlagsArg flags) {
  if (flags.value != 0 || pid < 0 || size < sizeof(SchedAttr) || size > kPageSize) return Errno::kEINVAL;
  Task* target = TRY(FindTask(task, pid));
  SchedAttr out{.size = sizeof(SchedAttr),
                .policy = static_cast<uint32_t>(target->sched_policy),
                .flags = target->sched_reset_on_fork ? uint64_t{1} : 0,
                .nice = target->nice,
                .priority = static_cast<uint32_t>(target->sched_priority)};
  TRY(task.mm().CopyOut(attr, &out, sizeof out));
  return 0;
}

Result<uint64_t> SysSchedSetattr(Task& task, int pid, UserAddress attr, FlagsArg flags) {
  if (flags.value != 0 || pid < 0) return Errno::kEINVAL;
  SchedAttr in = TRY(task.mm().Read<SchedAttr>(attr));
  if (in.size != 0 && in.size < sizeof in) return Errno::kE2BIG;
  if (in.policy == 6 /* SCHED_DEADLINE */) return Errno::kEPERM;
  Task* target = TRY(FindTask(task, pid));
  TRY(SetPolicy(task, *target, static_cast<int>(in.policy) | ((in.flags & 1) != 0 ? SCHED_RESET_ON_FORK : 0), static_cast<int>(in.priority)));
  if (!IsRealtime(target->sched_policy)) target->nice = std::clamp(in.nice, -20, 19);
  return 0;
}

namespace {

// The tasks that getpriority(2) and setpriority(2) mean.
Result<std::vector<Task*>> PriorityTargets(Task& task, int which, uint32_t who) {
  std::vector<Task*> targets;
  if (which == PRIO_PROCESS) {
    targets.push_back(TRY(FindTask(task, static_cast<int>(who))));
    return targets;
  }
  if (which != PRIO_PGRP && which != PRIO_USER) return Errno::kEINVAL;
  int group = who == 0 ? task.thread_group().process_group->id->In(*task.pid_ns()) : static_cast<int>(who);
  uid_t uid = who == 0 ? task.creds()->ruid : who;
  task.pid_ns()->ForEach([&](int, kernel::Pid& pid) {
    if (pid.task == nullptr || pid.task->thread_group().reaped) return;
    bool match = which == PRIO_USER ? pid.task->creds()->ruid == uid
                                    : pid.task->thread_group().process_group &&
                                          pid.task->thread_group().process_group->id->In(*task.pid_ns()) == group;
    if (match) targets.push_back(pid.task);
  });
  if (targets.empty()) return Errno::kESRCH;
  return targets;
}

}  // namespace

Result<uint64_t> SysGetpriority(Task& task, int which, uint32_t who) {
  int best = 19;
  for (Task* target : TRY(PriorityTargets(task, which, who))) best = std::min(best, target->nice);
  return static_cast<uint64_t>(20 - best);  // the system call's own scale: 40 .. 1
}

Result<uint64_t> SysSetpriority(Task& task, int which, uint32_t who, int nice) {
  nice = std::clamp(nice, -20, 19);
  Errno failure{};
  for (Task* target : TRY(PriorityTargets(task, which, who))) {
    const Credentials& from = *task.creds();
    if (from.euid != target->creds()->ruid && from.euid != target->creds()->euid && !from.Has(CAP_SYS_NICE)) {
      failure = Errno::kEPERM;
    } else if (nice < target->nice && !from.Has(CAP_SYS_NICE) &&
               static_cast<uint64_t>(20 - nice) > target->thread_group().Limit(RLIMIT_NICE)) {
      failure = Errno::kEACCES;
    } else {
      target->nice = nice;
    }
  }
  if (failure != Errno{}) return failure;
  return 0;
}

Result<uint64_t> SysIoprioGet(Task& task, int which, int who) {
  if (which < 1 || which > 3) return Errno::kEINVAL;
  return static_cast<uint64_t>(TRY(FindTask(task, which == 1 ? who : 0))->ioprio);
}
Result<uint64_t> SysIoprioSet(Task& task, int which, int who, int ioprio) {
  if (which < 1 || which > 3) return Errno::kEINVAL;
  int io_class = ioprio >> 13;
  if (io_class < 0 || io_class > 3 || (ioprio & 0x1fff) > 7) return Errno::kEINVAL;
  if (io_class == 1 && !task.creds()->Has(CAP_SYS_NICE) && !task.creds()->Has(CAP_SYS_ADMIN)) return Errno::kEPERM;
  TRY(FindTask(task, which == 1 ? who : 0))->ioprio = ioprio;
  return 0;
}

Result<uint64_t> SysGetcpu(Task& task, OutArg<uint32_t> cpu, OutArg<uint32_t> node) {
  uint32_t here = 0;
  while (here + 1 < CPU_SETSIZE && !CPU_ISSET(here, &task.affinity)) here++;
  if (!cpu.null()) TRY(cpu.Write(task, here));
  if (!node.null()) TRY(node.Write(task, 0));
  return 0;
}

}  // namespace syscalls
