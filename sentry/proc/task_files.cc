// The texts of the files below /proc/PID, proc(5).

#include <fmt/core.h>
#include <sys/mount.h>
#include <sys/sysmacros.h>

#include "base/event_loop.h"
#include "base/host.h"
#include "sentry/proc/task_directory.h"
#include "vfs/terminal.h"

namespace proc {

using kernel::PidNamespace;
using kernel::ThreadGroup;

namespace {

int64_t Ticks(int64_t ns) { return ns / 10'000'000; }

const char* StateText(char state) {
  switch (state) {
    case 'R': return "R (running)";
    case 'S': return "S (sleeping)";
    case 'T': return "T (stopped)";
    case 't': return "t (tracing stop)";
    case 'Z': return "Z (zombie)";
    default: return "X (dead)";
  }
}

// A comm as it stands in stat and status: with control characters escaped.
std::string Escaped(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == '\n') out += "\\n";
    else if (c == '\\') out += "\\\\";
    else out += c;
  }
  return out;
}

// Space, tab, newline and backslash in mount tables.
std::string MountEscaped(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == ' ' || c == '\t' || c == '\n' || c == '\\') out += fmt::format("\\{:03o}", static_cast<unsigned char>(c));
    else out += c;
  }
  return out;
}

std::string MountFlags(const vfs::Mount& mount) {
  std::string out = mount.read_only() ? "ro" : "rw";
  if ((mount.flags & MS_NOSUID) != 0) out += ",nosuid";
  if ((mount.flags & MS_NODEV) != 0) out += ",nodev";
  if ((mount.flags & MS_NOEXEC) != 0) out += ",noexec";
  if ((mount.flags & MS_NOATIME) != 0) out += ",noatime";
  else if ((mount.flags & MS_STRICTATIME) == 0) out += ",relatime";
  return out;
}

}  // namespace

Result<std::string> StatText(Task& task, const PidNamespace& ns, TaskLevel level) {
  ThreadGroup& group = task.thread_group();
  bool grouped = static_cast<bool>(group.process_group);
  uint64_t vsize = 0, rss = 0, start_code = 0, end_code = 0, start_stack = 0, start_data = 0, end_data = 0, start_brk = 0;
  uint64_t arg_start = 0, arg_end = 0, env_start = 0, env_end = 0;
  if (RefPtr<mm::MemoryManager> memory = task.memory()) {
    vsize = memory->total_bytes();
    rss = memory->resident_bytes() / kPageSize;
    start_code = memory->start_code, end_code = memory->end_code, start_stack = memory->start_stack;
    start_data = memory->start_data, end_data = memory->end_data, start_brk = memory->start_brk;
    arg_start = memory->arg_start, arg_end = memory->arg_end, env_start = memory->env_start, env_end = memory->env_end;
  }
  kernel::SignalSet ignored = 0, caught = 0;
  for (int signo = 1; signo <= 31; signo++) {
    const kernel::SignalAction& action = group.handlers->actions[signo];
    if (action.is_ignore()) ignored |= kernel::SignalBit(signo);
    else if (!action.is_default()) caught |= kernel::SignalBit(signo);
  }
  int tty = 0, foreground = -1;
  if (grouped && group.session().terminal) {
    tty = static_cast<int>(static_cast<vfs::Terminal&>(*group.session().terminal).device());
    if (group.session().foreground) foreground = group.session().foreground->id->In(ns);
  }
  kernel::Usage usage = level == TaskLevel::kProcess ? group.TotalUsage() : task.CurrentUsage();
  int64_t start = Ticks(group.start_time_ns - task.kernel().boot_time_ns());
  std::string out = fmt::format(
      "{} ({}) {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} 0 {} {} {} {} {} {} {} {} {} {} {} {} {} 0 0 0 {} {} {} {} 0 0 0 ",
      task.tid_in(ns), task.comm, task.State(), group.parent() != nullptr ? group.parent()->tgid(ns) : 0,
      grouped ? group.process_group->id->In(ns) : 0, grouped ? group.session().id->In(ns) : 0, tty, foreground, 4194560,
      usage.minor_faults, group.children_usage.minor_faults, usage.major_faults, group.children_usage.major_faults,
      Ticks(usage.user_ns), Ticks(usage.system_ns), Ticks(group.children_usage.user_ns), Ticks(group.children_usage.system_ns),
      20 + task.nice, task.nice, group.live_tasks, std::max<int64_t>(start, 0), vsize, rss, group.Limit(RLIMIT_RSS), start_code,
      end_code, start_stack, 0, 0, task.PendingSet() & 0x7fffffff, task.blocked() & 0x7fffffff, ignored, caught,
      0, group.exit_signal, 0, task.sched_priority, task.sched_policy);
  out += fmt::format("{} {} {} {} {} {} {} {}\n", start_data, end_data, start_brk, arg_start, arg_end, env_start, env_end,
                     group.zombie ? group.exit_status : 0);
  return out;
}

Result<std::string> StatusText(Task& task, const PidNamespace& ns) {
  ThreadGroup& group = task.thread_group();
  const Credentials& c = *task.creds();
  std::string out = fmt::format("Name:\t{}\n", Escaped(task.comm));
  if (task.fs()) out += fmt::format("Umask:\t{:04o}\n", task.fs()->umask);
  out += fmt::format("State:\t{}\nTgid:\t{}\nNgid:\t0\nPid:\t{}\nPPid:\t{}\nTracerPid:\t{}\n", StateText(task.State()), group.tgid(ns),
                     task.tid_in(ns), group.parent() != nullptr ? group.parent()->tgid(ns) : 0,
                     task.tracer() != nullptr ? task.tracer()->tid_in(ns) : 0);
  out += fmt::format("Uid:\t{}\t{}\t{}\t{}\nGid:\t{}\t{}\t{}\t{}\nFDSize:\t{}\nGroups:\t", c.ruid, c.euid, c.suid, c.fsuid, c.rgid, c.egid,
                     c.sgid, c.fsgid, task.fds() ? std::max<size_t>(task.fds()->size(), 64) : 0);
  for (gid_t gid : c.groups) out += fmt::format("{} ", gid);
  out += fmt::format("\nNStgid:\t{}\nNSpid:\t{}\nNSpgid:\t{}\nNSsid:\t{}\n", group.tgid(ns), task.tid_in(ns),
                     group.process_group ? group.process_group->id->In(ns) : 0,
                     group.process_group ? group.session().id->In(ns) : 0);
  if (RefPtr<mm::MemoryManager> memory = task.memory()) {
    uint64_t size = memory->total_bytes() / 1024, rss = memory->resident_bytes() / 1024;
    out += fmt::format(
        "VmPeak:\t{0:8} kB\nVmSize:\t{0:8} kB\nVmLck:\t{2:8} kB\nVmPin:\t{3:8} kB\nVmHWM:\t{1:8} kB\nVmRSS:\t{1:8} kB\nRssAnon:\t{1:8} "
        "kB\nRssFile:\t{3:8} kB\nRssShmem:\t{3:8} kB\nVmData:\t{4:8} kB\nVmStk:\t{5:8} kB\nVmExe:\t{6:8} kB\nVmLib:\t{3:8} kB\nVmPTE:\t{3:8} "
        "kB\nVmSwap:\t{3:8} kB\n",
        size, rss, memory->locked_bytes() / 1024, 0, size, 132, (memory->end_code - memory->start_code) / 1024);
  }
  kernel::SignalSet ignored = 0, caught = 0;
  for (int signo = 1; signo <= kernel::kMaxSignal; signo++) {
    const kernel::SignalAction& action = group.handlers->actions[signo];
    if (action.is_ignore()) ignored |= kernel::SignalBit(signo);
    else if (!action.is_default()) caught |= kernel::SignalBit(signo);
  }
  out += fmt::format("CoreDumping:\t0\nTHP_enabled:\t0\nThreads:\t{}\nSigQ:\t{}/{}\nSigPnd:\t{:016x}\nShdPnd:\t{:016x}\nSigBlk:\t{:016x}\nSigIgn:\t{:016x}\nSigCgt:\t{:016x}\n",
                     group.live_tasks, task.pending.size() + group.pending.size(), group.Limit(RLIMIT_SIGPENDING), task.pending.set(),
                     group.pending.set(), task.blocked(), ignored, caught);
  out += fmt::format("CapInh:\t{:016x}\nCapPrm:\t{:016x}\nCapEff:\t{:016x}\nCapBnd:\t{:016x}\nCapAmb:\t{:016x}\n", c.inheritable, c.permitted,
                     c.effective, c.bounding, c.ambient);
  uint64_t cpus = 0;
  for (int cpu = 0; cpu < 64; cpu++) cpus |= CPU_ISSET(cpu, &task.affinity) ? uint64_t{1} << cpu : 0;
  std::string list;
  for (int cpu = 0; cpu < 64; cpu++) {
    if ((cpus >> cpu & 1) == 0) continue;
    int last = cpu;
    while (last + 1 < 64 && (cpus >> (last + 1) & 1) != 0) last++;
    list += (list.empty() ? "" : ",") + (last > cpu ? fmt::format("{}-{}", cpu, last) : fmt::format("{}", cpu));
    cpu = last;
  }
  out += fmt::format("NoNewPrivs:\t{}\nSeccomp:\t{}\nSeccomp_filters:\t{}\nCpus_allowed:\t{:x}\nCpus_allowed_list:\t{}\nMems_allowed:\t1\nMems_allowed_list:\t0\nvoluntary_ctxt_switches:\t{}\nnonvoluntary_ctxt_switches:\t{}\n",
                     task.no_new_privs ? 1 : 0, task.seccomp_mode, task.seccomp ? 1 : 0, cpus, list, task.usage.voluntary_switches,
                     task.usage.involuntary_switches);
  return out;
}

Result<std::string> StatmText(Task& task) {
  RefPtr<mm::MemoryManager> memory = task.memory();
  if (!memory) return std::string("0 0 0 0 0 0 0\n");
  uint64_t size = memory->total_bytes() / kPageSize, rss = memory->resident_bytes() / kPageSize;
  return fmt::format("{} {} 0 {} 0 {} 0\n", size, rss, (memory->end_code - memory->start_code) / kPageSize, size);
}

Result<std::string> MapsText(Task& task, bool smaps, bool rollup) {
  std::string out;
  RefPtr<mm::MemoryManager> memory = task.memory();
  if (!memory) return out;
  vfs::Path root = task.fs() ? task.fs()->root : vfs::Path{};
  uint64_t total_rss = 0, first = 0, last = 0;
  memory->ForEachVma([&](const mm::VmaInfo& vma) {
    uint64_t dev = 0, ino = 0;
    std::string name = vma.name;
    if (vma.file != nullptr) {
      auto* file = const_cast<vfs::FileDescription*>(vma.file);
      // Without asking the gofer: what the inode has cached.
      if (Result<vfs::Attributes> attr = file->Stat(); attr.ok()) dev = attr->dev, ino = attr->ino;
      name = file->LinkName();
      if (name.empty()) name = vfs::PathName(file->path(), root);
    }
    if (first == 0) first = vma.start;
    last = vma.end;
    total_rss += vma.committed_bytes;
    if (rollup) return true;
    std::string line = fmt::format("{:08x}-{:08x} {}{}{}{} {:08x} {:02x}:{:02x} {}", vma.start, vma.end, (vma.prot & PROT_READ) != 0 ? 'r' : '-',
                                   (vma.prot & PROT_WRITE) != 0 ? 'w' : '-', (vma.prot & PROT_EXEC) != 0 ? 'x' : '-', vma.shared ? 's' : 'p',
                                   vma.offset, major(dev), minor(dev), ino);
    if (!name.empty()) {
      if (line.size() < 72) line.resize(72, ' ');
      line += ' ' + Escaped(name);
    }
    out += line + '\n';
    if (smaps) {
      uint64_t rss = vma.committed_bytes / 1024;
      out += fmt::format("Size:           {:8} kB\nKernelPageSize:        4 kB\nMMUPageSize:           4 kB\nRss:            {:8} kB\nPss:            {:8} kB\nShared_Clean:          0 kB\nShared_Dirty:          0 kB\nPrivate_Clean:         0 kB\nPrivate_Dirty:  {:8} kB\nReferenced:     {:8} kB\nAnonymous:      {:8} kB\nLazyFree:              0 kB\nAnonHugePages:         0 kB\nSwap:                  0 kB\nLocked:                0 kB\nVmFlags: {}{}{}{}\n",
                         (vma.end - vma.start) / 1024, rss, rss, rss, rss, vma.file == nullptr ? rss : 0, (vma.prot & PROT_READ) != 0 ? "rd " : "",
                         (vma.prot & PROT_WRITE) != 0 ? "wr " : "", (vma.prot & PROT_EXEC) != 0 ? "ex " : "", vma.shared ? "sh " : "");
    }
    return true;
  }, smaps || rollup ? mm::MemoryManager::Detail::kResidency : mm::MemoryManager::Detail::kNone);
  if (rollup) {
    out = fmt::format("{:08x}-{:08x} ---p 00000000 00:00 0{:34}[rollup]\nRss:            {:8} kB\nPss:            {:8} kB\nPrivate_Dirty:  {:8} kB\n", first,
                      last, "", total_rss / 1024, total_rss / 1024, total_rss / 1024);
  }
  return out;
}

Result<std::string> LimitsText(Task& task) {
  static constexpr struct {
    int resource;
    const char *name, *unit;
  } kRows[] = {{RLIMIT_CPU, "Max cpu time", "seconds"},       {RLIMIT_FSIZE, "Max file size", "bytes"},
               {RLIMIT_DATA, "Max data size", "bytes"},       {RLIMIT_STACK, "Max stack size", "bytes"},
               {RLIMIT_CORE, "Max core file size", "bytes"},  {RLIMIT_RSS, "Max resident set", "bytes"},
               {RLIMIT_NPROC, "Max processes", "processes"},  {RLIMIT_NOFILE, "Max open files", "files"},
               {RLIMIT_MEMLOCK, "Max locked memory", "bytes"}, {RLIMIT_AS, "Max address space", "bytes"},
               {RLIMIT_LOCKS, "Max file locks", "locks"},     {RLIMIT_SIGPENDING, "Max pending signals", "signals"},
               {RLIMIT_MSGQUEUE, "Max msgqueue size", "bytes"}, {RLIMIT_NICE, "Max nice priority", ""},
               {RLIMIT_RTPRIO, "Max realtime priority", ""},  {RLIMIT_RTTIME, "Max realtime timeout", "us"}};
  auto value = [](rlim_t limit) { return limit == RLIM_INFINITY ? std::string("unlimited") : fmt::format("{}", limit); };
  std::string out = fmt::format("{:<25} {:<20} {:<20} {:<10}\n", "Limit", "Soft Limit", "Hard Limit", "Units");
  for (const auto& row : kRows) {
    const rlimit& limit = task.thread_group().limits[row.resource];
    out += fmt::format("{:<25} {:<20} {:<20} {:<10}\n", row.name, value(limit.rlim_cur), value(limit.rlim_max), row.unit);
  }
  return out;
}

Result<std::string> MountsText(Task& task) {
  std::string out;
  if (!task.fs()) return out;
  for (vfs::Mount* mount : task.namespaces.mount->List()) {
    std::string options = mount->fs()->MountOptions();
    out += fmt::format("{} {} {} {}{}{} 0 0\n", MountEscaped(mount->fs()->source()),
                       MountEscaped(vfs::PathName({RefPtr<vfs::Mount>(mount), mount->root()}, task.fs()->root)), mount->fs()->name(), MountFlags(*mount),
                       options.empty() ? "" : ",", options);
  }
  return out;
}

Result<std::string> MountinfoText(Task& task) {
  std::string out;
  if (!task.fs()) return out;
  for (vfs::Mount* mount : task.namespaces.mount->List()) {
    std::string root;
    for (const vfs::Dentry* d = mount->root().get(); d->parent(); d = d->parent().get()) root = "/" + d->name() + root;
    if (root.empty()) root = "/";
    std::string options = mount->fs()->MountOptions();
    uint64_t dev = mount->fs()->dev();
    std::string optional;
    if (mount->peer_group != 0) optional += fmt::format("shared:{} ", mount->peer_group);
    if (mount->master_group != 0) optional += fmt::format("master:{} ", mount->master_group);
    out += fmt::format("{} {} {}:{} {} {} {} {}- {} {} {}{}{}\n", mount->id(), mount->mountpoint.mount ? mount->mountpoint.mount->id() : 1, major(dev),
                       minor(dev), MountEscaped(root), MountEscaped(vfs::PathName({RefPtr<vfs::Mount>(mount), mount->root()}, task.fs()->root)),
                       MountFlags(*mount), optional, mount->fs()->name(), MountEscaped(mount->fs()->source()), mount->read_only() ? "ro" : "rw",
                       options.empty() ? "" : ",", options);
  }
  return out;
}

namespace {
Result<std::string> MemoryText(Task& task, uint64_t start, uint64_t end) {
  RefPtr<mm::MemoryManager> memory = task.memory();
  if (!memory || end <= start) return std::string();
  std::string text(std::min<uint64_t>(end - start, 1 << 20), 0);
  text.resize(memory->CopyInPartial(text.data(), start, text.size(), true));
  return text;
}
}  // namespace

Result<std::string> CmdlineText(Task& task) {
  if (!task.memory()) return std::string();
  return MemoryText(task, task.mm().arg_start, task.mm().arg_end);
}
Result<std::string> EnvironText(Task& task) {
  if (!task.memory()) return std::string();
  return MemoryText(task, task.mm().env_start, task.mm().env_end);
}

Result<std::string> AuxvText(Task& task) {
  std::string out;
  if (!task.memory()) return out;
  for (const auto& [key, value] : task.mm().auxv) {
    out.append(reinterpret_cast<const char*>(&key), 8);
    out.append(reinterpret_cast<const char*>(&value), 8);
  }
  return out;
}

}  // namespace proc
