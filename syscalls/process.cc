// fork(2), clone(2), execve(2), wait(2), exit(2), getpid(2), setpgid(2), setsid(2), unshare(2), pidfd_open(2).

#include <linux/sched.h>
#include <sched.h>
#include <sys/wait.h>

#include "sentry/kernel/kernel.h"
#include "sentry/kernel/pid_file.h"
#include "syscalls/handlers.h"
#include "syscalls/permissions.h"

namespace syscalls {

using kernel::CloneArgs;
using kernel::Pid;
using kernel::ProcessGroup;
using kernel::ThreadGroup;
using kernel::WaitRequest;
using kernel::WaitResult;

namespace {
Result<uint64_t> ToTid(Result<int> tid) { return static_cast<uint64_t>(TRY(std::move(tid))); }
}  // namespace

Result<uint64_t> SysFork(Task& task) { return ToTid(task.Clone({.exit_signal = SIGCHLD})); }

Result<uint64_t> SysVfork(Task& task) {
  return ToTid(task.Clone({.flags = CLONE_VFORK | CLONE_VM, .exit_signal = SIGCHLD}));
}

Result<uint64_t> SysClone(Task& task, FlagsArg flags, UserAddress stack, UserAddress parent_tid, UserAddress child_tid, uint64_t tls) {
  CloneArgs args{.flags = flags.value & 0xffffff00ull & ~uint64_t{CLONE_DETACHED},
                 .stack = stack,
                 .tls = tls,
                 .parent_tid = parent_tid,
                 .child_tid = child_tid,
                 .pidfd = parent_tid,  // clone(2): the pidfd takes the place of the parent's tid
                 .exit_signal = static_cast<int>(flags.value & 0xff)};
  if ((flags.value & CLONE_PIDFD) != 0 && (flags.value & (CLONE_PARENT_SETTID | CLONE_DETACHED)) != 0) return Errno::kEINVAL;
  if (args.exit_signal > kernel::kMaxSignal) return Errno::kEINVAL;
  return ToTid(task.Clone(args));
}

Result<uint64_t> SysClone3(Task& task, UserAddress address, size_t size) {
  struct clone_args raw = {};
  if (size < CLONE_ARGS_SIZE_VER0) return Errno::kEINVAL;
  if (size > kPageSize) return Errno::kE2BIG;
  std::vector<uint8_t> bytes(size);
  TRY(task.mm().CopyIn(bytes.data(), address, size));
  for (size_t i = sizeof raw; i < size; i++) {
    if (bytes[i] != 0) return Errno::kE2BIG;
  }
  memcpy(&raw, bytes.data(), std::min(size, sizeof raw));
  if ((raw.flags & 0xff) != 0 || (raw.flags & CLONE_DETACHED) != 0) return Errno::kEINVAL;
  if (raw.exit_signal > static_cast<uint64_t>(kernel::kMaxSignal)) return Errno::kEINVAL;
  if ((raw.flags & (CLONE_THREAD | CLONE_PARENT)) != 0 && raw.exit_signal != 0) return Errno::kEINVAL;
  if ((raw.stack == 0) != (raw.stack_size == 0)) return Errno::kEINVAL;
  if ((raw.flags & CLONE_INTO_CGROUP) != 0) return Errno::kEOPNOTSUPP;
  if (raw.set_tid_size != 0) return raw.set_tid_size > 32 ? Errno::kEINVAL : Errno::kEPERM;
  constexpr uint64_t kKnown = 0x1ffffffffull | CLONE_NEWTIME;
  if ((raw.flags & ~kKnown) != 0) return Errno::kEINVAL;
  if ((raw.flags & CLONE_NEWTIME) != 0) return Errno::kEINVAL;
  return ToTid(task.Clone({.flags = raw.flags,
                           .stack = raw.stack != 0 ? raw.stack + raw.stack_size : 0,
                           .tls = raw.tls,
                           .parent_tid = raw.parent_tid,
                           .child_tid = raw.child_tid,
                           .pidfd = raw.pidfd,
                           .exit_signal = static_cast<int>(raw.exit_signal)}));
}

namespace {

// argv or envp: at most 2 MB of strings in all (the loader checks the exact limit against the stack's).
Result<std::vector<std::string>> ReadStringArray(Task& task, UserAddress array) {
  std::vector<std::string> strings;
  constexpr size_t kMaxBytes = 6 << 20, kMaxString = 131072;
  size_t bytes = 0;
  if (array == 0) return strings;
  for (UserAddress at = array;; at += 8) {
    UserAddress string = TRY(task.mm().Read<uint64_t>(at));
    if (string == 0) return strings;
    Result<std::string> text = task.mm().CopyInString(string, kMaxString);
    if (!text.ok()) return text.error() == Errno::kENAMETOOLONG ? Errno::kE2BIG : text.error();
    bytes += text->size() + 9;
    if (bytes > kMaxBytes) return Errno::kE2BIG;
    strings.push_back(std::move(text).value());
  }
}

Result<uint64_t> Exec(Task& task, int dirfd, PathArg path, UserAddress argv, UserAddress envp, int flags) {
  std::string name = TRY(path.Read(task));
  if (name.empty() && (flags & AT_EMPTY_PATH) == 0) return Errno::kENOENT;
  RefPtr<vfs::FileDescription> file = TRY(task.OpenExecutable(dirfd, name, flags));
  // What the program hears of its name when it came by a descriptor (execveat(2)).
  std::string shown = name;
  if (dirfd != AT_FDCWD && (name.empty() || name[0] != '/')) {
    shown = fmt::format("/dev/fd/{}{}{}", dirfd, name.empty() ? "" : "/", name);
  }
  auto args = TRY(ReadStringArray(task, argv));
  auto env = TRY(ReadStringArray(task, envp));
  TRY(task.Execve(std::move(file), std::move(shown), std::move(args), std::move(env)));
  return 0;
}

}  // namespace

Result<uint64_t> SysExecve(Task& task, PathArg path, UserAddress argv, UserAddress envp) {
  return Exec(task, AT_FDCWD, path, argv, envp, 0);
}

Result<uint64_t> SysExecveat(Task& task, DirFdArg dirfd, PathArg path, UserAddress argv, UserAddress envp, FlagsArg flags) {
  if ((flags.value & ~uint64_t{AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW}) != 0) return Errno::kEINVAL;
  return Exec(task, dirfd, path, argv, envp, flags);
}

Result<uint64_t> SysExit(Task& task, int status) {
  task.Exit((status & 0xff) << 8);
  return 0;
}

Result<uint64_t> SysExitGroup(Task& task, int status) {
  task.thread_group().ExitGroup((status & 0xff) << 8);
  return 0;
}

rusage ToRusage(const kernel::Usage& usage) {
  rusage out = {};
  out.ru_utime = {usage.user_ns / 1'000'000'000, usage.user_ns / 1000 % 1'000'000};
  out.ru_stime = {usage.system_ns / 1'000'000'000, usage.system_ns / 1000 % 1'000'000};
  out.ru_maxrss = static_cast<long>(usage.max_resident_kb);
  out.ru_minflt = static_cast<long>(usage.minor_faults);
  out.ru_majflt = static_cast<long>(usage.major_faults);
  out.ru_nvcsw = static_cast<long>(usage.voluntary_switches);
  out.ru_nivcsw = static_cast<long>(usage.involuntary_switches);
  return out;
}

Result<uint64_t> SysWait4(Task& task, int pid, OutArg<int> status, FlagsArg options, OutArg<rusage> usage) {
  if ((options.value & ~uint64_t{WNOHANG | WUNTRACED | WCONTINUED | __WNOTHREAD | __WCLONE | __WALL}) != 0) return Errno::kEINVAL;
  if (pid == INT32_MIN) return Errno::kESRCH;
  WaitRequest request{.options = options | WEXITED};
  RefPtr<Pid> hold;
  if (pid > 0) {
    hold = RefPtr<Pid>(task.pid_ns()->Find(pid));
    request.kind = WaitRequest::Kind::kPid;
    request.pid = hold.get();
    if (!hold) return Errno::kECHILD;
  } else if (pid != -1) {
    request.kind = WaitRequest::Kind::kProcessGroup;
    if (pid == 0) {
      request.group = task.thread_group().process_group.get();
    } else {
      hold = RefPtr<Pid>(task.pid_ns()->Find(-pid));
      if (!hold || hold->process_group == nullptr) return Errno::kECHILD;
      request.group = hold->process_group;
    }
  }
  WaitResult result = TRY(WaitForChild(task, request));
  if (result.pid != 0) {
    if (!status.null()) TRY(status.Write(task, result.status));
    if (!usage.null()) TRY(usage.Write(task, ToRusage(result.usage)));
  }
  return static_cast<uint64_t>(result.pid);
}

Result<uint64_t> SysWaitid(Task& task, int which, int id, OutArg<siginfo_t> info, FlagsArg options, OutArg<rusage> usage) {
  constexpr int kWhat = WEXITED | WSTOPPED | WCONTINUED;
  if ((options & ~(WNOHANG | WNOWAIT | kWhat | __WNOTHREAD | __WCLONE | __WALL)) != 0 || (options & kWhat) == 0) return Errno::kEINVAL;
  WaitRequest request{.options = options};
  RefPtr<Pid> hold;
  switch (which) {
    case P_ALL:
      break;
    case P_PID:
      if (id <= 0) return Errno::kEINVAL;
      request.kind = WaitRequest::Kind::kPid;
      hold = RefPtr<Pid>(task.pid_ns()->Find(id));
      if (!hold) return Errno::kECHILD;
      request.pid = hold.get();
      break;
    case P_PGID:
      if (id < 0) return Errno::kEINVAL;
      request.kind = WaitRequest::Kind::kProcessGroup;
      if (id == 0) {
        request.group = task.thread_group().process_group.get();
      } else {
        hold = RefPtr<Pid>(task.pid_ns()->Find(id));
        if (!hold || hold->process_group == nullptr) return Errno::kECHILD;
        request.group = hold->process_group;
      }
      break;
    case P_PIDFD: {
      if (id < 0) return Errno::kEINVAL;
      RefPtr<vfs::FileDescription> file = TRY(task.GetFile(id));
      ThreadGroup* group = kernel::PidFileTarget(*file);
      if (group == nullptr) return Errno::kEBADF;
      if (group->reaped) return Errno::kECHILD;
      request.kind = WaitRequest::Kind::kPid;
      hold = group->leader().pid();
      request.pid = hold.get();
      if (file->nonblocking()) request.options |= WNOHANG;
      WaitResult probe = TRY(WaitForChild(task, {.kind = request.kind, .pid = request.pid, .options = request.options | WNOHANG | WNOWAIT}));
      if (file->nonblocking() && (options & WNOHANG) == 0 && probe.pid == 0) return Errno::kEAGAIN;
      break;
    }
    default:
      return Errno::kEINVAL;
  }
  WaitResult result = TRY(WaitForChild(task, request));
  if (!info.null()) {
    siginfo_t out;
    memset(&out, 0, sizeof out);
    if (result.pid != 0) {
      out.si_signo = SIGCHLD;
      out.si_code = result.code;
      out.si_pid = result.pid;
      out.si_uid = result.uid;
      out.si_status = result.code == CLD_EXITED   ? WEXITSTATUS(result.status)
                      : result.code == CLD_STOPPED   ? WSTOPSIG(result.status)
                      : result.code == CLD_TRAPPED   ? result.status >> 8
                      : result.code == CLD_CONTINUED ? SIGCONT
                                                     : WTERMSIG(result.status);
    }
    TRY(info.Write(task, out));
  }
  if (!usage.null() && result.pid != 0) TRY(usage.Write(task, ToRusage(result.usage)));
  return 0;
}

// --- who is who ---

Result<uint64_t> SysGetpid(Task& task) { return task.Lasting(task.tgid()); }
Result<uint64_t> SysGettid(Task& task) { return task.Lasting(task.tid()); }
Result<uint64_t> SysGetppid(Task& task) {
  ThreadGroup* parent = task.thread_group().parent();
  return parent != nullptr ? static_cast<uint64_t>(parent->tgid(*task.pid_ns())) : 0;
}

namespace {
Result<ThreadGroup*> FindProcess(Task& task, int pid) {
  if (pid == 0) return &task.thread_group();
  ThreadGroup* group = pid > 0 ? task.pid_ns()->FindThreadGroup(pid) : nullptr;
  if (group == nullptr || group->reaped || !group->process_group) return Errno::kESRCH;
  return group;
}
}  // namespace

Result<uint64_t> SysGetpgid(Task& task, int pid) {
  return static_cast<uint64_t>(TRY(FindProcess(task, pid))->process_group->id->In(*task.pid_ns()));
}
Result<uint64_t> SysGetpgrp(Task& task) { return SysGetpgid(task, 0); }
Result<uint64_t> SysGetsid(Task& task, int pid) {
  return static_cast<uint64_t>(TRY(FindProcess(task, pid))->session().id->In(*task.pid_ns()));
}

Result<uint64_t> SysSetpgid(Task& task, int pid, int pgid) {
  if (pgid < 0) return Errno::kEINVAL;
  ThreadGroup* group = TRY(FindProcess(task, pid));
  if (group->zombie) return Errno::kESRCH;
  if (group != &task.thread_group()) {
    if (group->parent() != &task.thread_group()) return Errno::kESRCH;
    if (&group->session() != &task.thread_group().session()) return Errno::kEPERM;
    if (group->has_executed) return Errno::kEACCES;
  }
  if (group->session().leader == group) return Errno::kEPERM;
  const RefPtr<Pid>& own = group->leader().pid();
  if (pgid == 0) pgid = own->In(*task.pid_ns());
  if (pgid == own->In(*task.pid_ns())) {
    if (own->process_group != nullptr) {
      if (own->process_group == group->process_group.get()) return 0;
      group->JoinProcessGroup(RefPtr<ProcessGroup>(own->process_group));
    } else {
      group->JoinProcessGroup(MakeRef<ProcessGroup>(own, group->process_group->session));
    }
    return 0;
  }
  Pid* target = task.pid_ns()->Find(pgid);
  if (target == nullptr || target->process_group == nullptr) return Errno::kEPERM;
  if (target->process_group->session.get() != &group->session()) return Errno::kEPERM;
  group->JoinProcessGroup(RefPtr<ProcessGroup>(target->process_group));
  return 0;
}

Result<uint64_t> SysSetsid(Task& task) {
  ThreadGroup& group = task.thread_group();
  const RefPtr<Pid>& id = group.leader().pid();
  if (id->process_group != nullptr || id->session != nullptr) return Errno::kEPERM;
  auto session = MakeRef<kernel::Session>(id);
  session->leader = &group;
  group.JoinProcessGroup(MakeRef<ProcessGroup>(id, session));
  return static_cast<uint64_t>(id->In(*task.pid_ns()));
}

Result<uint64_t> SysSetTidAddress(Task& task, UserAddress address) {
  task.clear_child_tid = address;
  return static_cast<uint64_t>(task.tid());
}

Result<uint64_t> SysUnshare(Task& task, FlagsArg flags) {
  constexpr uint64_t kNamespaces = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWUSER | CLONE_NEWCGROUP;
  constexpr uint64_t kKnown = kNamespaces | CLONE_FS | CLONE_FILES | CLONE_SYSVSEM | CLONE_THREAD | CLONE_SIGHAND | CLONE_VM;
  if ((flags.value & ~kKnown) != 0) return Errno::kEINVAL;
  bool alone = task.thread_group().live_tasks == 1;
  if ((flags.value & (CLONE_THREAD | CLONE_SIGHAND | CLONE_VM | CLONE_NEWUSER | CLONE_NEWPID)) != 0 && !alone) return Errno::kEINVAL;
  if ((flags.value & (CLONE_SIGHAND | CLONE_VM)) != 0 && task.mm().users > 1) return Errno::kEINVAL;
  kernel::Namespaces namespaces = task.namespaces;
  RefPtr<kernel::FsContext> fs = task.fs();
  if ((flags.value & (CLONE_FS | CLONE_NEWNS | CLONE_NEWUSER)) != 0) fs = fs->Copy();
  auto creds = MakeRef<Credentials>(*task.creds());
  TRY(kernel::MakeNamespaces(task, flags.value & kNamespaces, *creds, &namespaces, &fs));
  if ((flags.value & CLONE_FILES) != 0 && task.fds()->refs() > 1) task.set_fds(task.fds()->Copy());
  if ((flags.value & (CLONE_SYSVSEM | CLONE_NEWIPC)) != 0) task.sem_undo.reset();
  task.namespaces = std::move(namespaces);
  task.set_fs(std::move(fs));
  if ((flags.value & CLONE_NEWUSER) != 0) task.set_creds(std::move(creds));
  return 0;
}

// --- pidfds ---

Result<uint64_t> SysPidfdOpen(Task& task, int pid, FlagsArg flags) {
  if ((flags.value & ~uint64_t{O_NONBLOCK}) != 0 || pid <= 0) return Errno::kEINVAL;
  Task* target = task.pid_ns()->FindTask(pid);
  if (target == nullptr) return Errno::kESRCH;
  if (!target->is_leader()) return Errno::kEINVAL;
  return ToTid(task.InstallFd(kernel::MakePidFile(target->thread_group_ref(), task.creds(), flags), true));
}

Result<uint64_t> SysPidfdSendSignal(Task& task, FdArg fd, SignalArg signo, InArg<siginfo_t> info, FlagsArg flags) {
  if (flags.value != 0) return Errno::kEINVAL;
  RefPtr<vfs::FileDescription> file = TRY(task.GetFile(fd));
  RefPtr<ThreadGroup> group(kernel::PidFileTarget(*file));
  if (!group) return Errno::kEBADF;
  if (signo < 0 || signo > kernel::kMaxSignal) return Errno::kEINVAL;
  kernel::SignalInfo send = kernel::MakeSignalInfo(signo, SI_USER, task.tgid(), task.creds()->ruid);
  if (!info.null()) {
    send = TRY(info.Read(task));
    if (send.si_signo != signo) return Errno::kEINVAL;
    if ((send.si_code >= 0 || send.si_code == SI_TKILL) && group.get() != &task.thread_group()) return Errno::kEPERM;
  }
  if (group->reaped || group->zombie) return Errno::kESRCH;
  TRY(CheckMaySignal(task, group->leader(), signo));
  group->SendSignal(send);
  return 0;
}

Result<uint64_t> SysPidfdGetfd(Task& task, FdArg pidfd, int fd, FlagsArg flags) {
  if (flags.value != 0) return Errno::kEINVAL;
  RefPtr<vfs::FileDescription> file = TRY(task.GetFile(pidfd));
  ThreadGroup* group = kernel::PidFileTarget(*file);
  if (group == nullptr) return Errno::kEBADF;
  if (group->zombie || group->reaped) return Errno::kESRCH;
  TRY(CheckMayTrace(task, group->leader()));
  return ToTid(task.InstallFd(TRY(group->leader().fds()->Get(fd)), true));
}

}  // namespace syscalls
