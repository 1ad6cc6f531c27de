#include "sentry/proc/proc_fs.h"

#include <dirent.h>
#include <fmt/core.h>
#include <sys/random.h>
#include <sys/statfs.h>
#include <sys/vfs.h>

#include "base/event_loop.h"
#include "base/host.h"
#include "base/memory_file.h"
#include "sentry/kernel/host_info.h"
#include "sentry/proc/cpu_info.h"
#include "sentry/proc/sys_directory.h"
#include "sentry/proc/task_directory.h"
#include "vfs/file_system_type.h"
#include "vfs/fs/pseudo/pseudo.h"
#include "vfs/simple_statfs.h"

namespace proc {

using kernel::Kernel;
using kernel::PidNamespace;

namespace {

// The root: static entries, then a directory for each process of the namespace.
class RootDirectory final : public pseudo::StaticDirectory {
 public:
  RootDirectory(vfs::FileSystem* fs, RefPtr<PidNamespace> ns) : StaticDirectory(fs), ns_(std::move(ns)) {}

  bool cacheable() const override { return false; }

  Result<RefPtr<vfs::Inode>> Lookup(std::string_view name) override {
    if (name.empty() || name[0] < '0' || name[0] > '9') return StaticDirectory::Lookup(name);
    if (name.size() > 9 || name[0] == '0') return Errno::kENOENT;
    int pid = 0;
    for (char c : name) {
      if (c < '0' || c > '9') return Errno::kENOENT;
      pid = pid * 10 + (c - '0');
    }
    // As on Linux a thread's number leads to its process too, though the listing does not show it.
    Task* task = ns_->FindTask(pid);
    if (task == nullptr || task->thread_group().reaped) return Errno::kENOENT;
    return RefPtr<vfs::Inode>(MakeTaskDirectory(fs_, RefPtr<Task>(task), TaskLevel::kProcess, *ns_));
  }

  // Somebody may hold the directory of a process that is gone, and its number may have gone to another.
  bool Revalidate(std::string_view name, vfs::Inode* child) override {
    if (name.empty() || name[0] < '0' || name[0] > '9') return true;
    return child != nullptr && IsOfLivingTask(*child);
  }

  std::vector<Entry> List() override {
    std::vector<Entry> out = StaticDirectory::List();
    ns_->ForEach([&](int number, kernel::Pid& pid) {
      if (pid.task == nullptr || !pid.task->is_leader() || pid.task->thread_group().reaped) return;
      out.push_back({std::to_string(number), static_cast<uint64_t>(number) << 16, DT_DIR});
    });
    return out;
  }

 private:
  const RefPtr<PidNamespace> ns_;
};

Result<std::string> MeminfoText() {
  uint64_t total = kernel::GetHostInfo().memory_bytes / 1024;
  uint64_t used = base::MemoryFile::Get().committed_bytes() / 1024;
  uint64_t free = used < total ? total - used : 0;
  return fmt::format(
      "MemTotal:       {0:8} kB\nMemFree:        {1:8} kB\nMemAvailable:   {1:8} kB\nBuffers:        {2:8} kB\nCached:         {2:8} kB\nSwapCached:     "
      "{2:8} kB\nActive:         {3:8} kB\nInactive:       {2:8} kB\nSwapTotal:      {2:8} kB\nSwapFree:       {2:8} kB\nDirty:          {2:8} kB\nWriteback:      "
      "{2:8} kB\nAnonPages:      {3:8} kB\nMapped:         {2:8} kB\nShmem:          {2:8} kB\nSlab:           {2:8} kB\nCommitLimit:    {0:8} kB\nCommitted_AS:   "
      "{3:8} kB\nVmallocTotal:   34359738367 kB\nHugePages_Total:       0\nHugePages_Free:        0\nHugepagesize:       2048 kB\n",
      total, free, 0, used);
}

Result<std::string> StatText() {
  Kernel& kernel = Kernel::Get();
  kernel::Usage usage;
  kernel.pid_ns->ForEach([&](int, kernel::Pid& pid) {
    if (pid.task != nullptr && pid.task->is_leader()) usage.Add(pid.task->thread_group().TotalUsage());
  });
  int64_t user = usage.user_ns / 10'000'000, system = usage.system_ns / 10'000'000;
  int64_t uptime = (base::MonotonicNow() - kernel.boot_time_ns()) / 10'000'000;
  int64_t idle = std::max<int64_t>(uptime * kernel.cpu_count() - user - system, 0);
  std::string out = fmt::format("cpu  {} 0 {} {} 0 0 0 0 0 0\n", user, system, idle);
  for (int cpu = 0; cpu < kernel.cpu_count(); cpu++) {
    out += fmt::format("cpu{} {} 0 {} {} 0 0 0 0 0 0\n", cpu, user / kernel.cpu_count(), system / kernel.cpu_count(), idle / kernel.cpu_count());
  }
  int64_t boot_realtime = (base::RealtimeNow() - (base::MonotonicNow() - kernel.boot_time_ns())) / 1'000'000'000;
  return out + fmt::format("intr 0\nctxt 0\nbtime {}\nprocesses {}\nprocs_running 1\nprocs_blocked 0\nsoftirq 0 0 0 0 0 0 0 0 0 0 0\n", boot_realtime, kernel.forks + 1);
}

Result<std::string> FilesystemsText() {
  std::string out;
  for (vfs::FileSystemType* type : vfs::FileSystemTypes()) out += fmt::format("{}\t{}\n", type->needs_device ? "" : "nodev", type->name);
  return out;
}

class ProcFs final : public vfs::FileSystem {
 public:
  const RefPtr<pseudo::StaticDirectory>& net() const { return net_; }
  ProcFs(RefPtr<PidNamespace> ns, std::string source) : FileSystem("proc", std::move(source)) {
    root_ = MakeRef<RootDirectory>(this, ns);
    Fill(*root_, ns);
  }

  RefPtr<vfs::Inode> root() override { return root_; }
  Result<struct statfs> StatFs() override { return vfs::SimpleStatFs(0x9fa0); }

 private:
  void Fill(RootDirectory& root, const RefPtr<PidNamespace>& ns) {
    auto link = [&](const char* name, std::function<Result<std::string>()> target) { root.Add(name, MakeRef<pseudo::Link>(this, std::move(target))); };
    link("self", [ns]() -> Result<std::string> {
      Task* task = Task::CurrentOrNull();
      int pid = task != nullptr ? task->thread_group().tgid(*ns) : 0;
      if (pid == 0) return Errno::kENOENT;
      return std::to_string(pid);
    });
    link("thread-self", [ns]() -> Result<std::string> {
      Task* task = Task::CurrentOrNull();
      int tid = task != nullptr ? task->tid_in(*ns) : 0;
      if (tid == 0) return Errno::kENOENT;
      return fmt::format("{}/task/{}", task->thread_group().tgid(*ns), tid);
    });
    link("mounts", []() -> Result<std::string> { return std::string("self/mounts"); });
    link("net", []() -> Result<std::string> { return std::string("self/net"); });
    root.AddFile("uptime", 0444, []() -> Result<std::string> {
      int64_t cs = (base::MonotonicNow() - Kernel::Get().boot_time_ns()) / 10'000'000;
      return fmt::format("{}.{:02} {}.{:02}\n", cs / 100, cs % 100, cs / 100, cs % 100);
    });
    root.AddFile("version", 0444, []() -> Result<std::string> {
      return fmt::format("Linux version {} (runsc) {}\n", Kernel::kRelease, Kernel::kVersion);
    });
    root.AddFile("loadavg", 0444, [ns]() -> Result<std::string> {
      return fmt::format("0.00 0.00 0.00 1/{} {}\n", Kernel::Get().live_tasks, ns->last);
    });
    root.AddFile("meminfo", 0444, MeminfoText);
    root.AddFile("stat", 0444, StatText);
    root.AddFile("cpuinfo", 0444, CpuInfoText);
    root.AddFile("filesystems", 0444, FilesystemsText);
    root.AddText("cmdline", "BOOT_IMAGE=/vmlinuz-runsc\n");
    root.AddText("cgroups", "#subsys_name\thierarchy\tnum_cgroups\tenabled\n");
    root.AddText("devices", "Character devices:\n  1 mem\n  5 /dev/tty\n  5 /dev/console\n  5 /dev/ptmx\n136 pts\n\nBlock devices:\n");
    root.AddText("modules", "");
    root.AddText("swaps", "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n");
    root.AddText("partitions", "major minor  #blocks  name\n\n");
    root.AddText("diskstats", "");
    root.AddText("interrupts", "");
    root.AddText("vmstat", "nr_free_pages 0\npgpgin 0\npgpgout 0\npswpin 0\npswpout 0\npgfault 0\npgmajfault 0\n");
    root.AddText("locks", "");
    FillSysDirectory(root.Subdirectory("sys"));
    net_ = MakeRef<pseudo::StaticDirectory>(this);
    pseudo::StaticDirectory& net = *net_;
    net.AddText("dev",
                "Inter-|   Receive                                                |  Transmit\n face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n"
                "    lo:       0       0    0    0    0     0          0         0        0       0    0    0    0     0       0          0\n");
    net.AddText("route", "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n");
    for (const char* name : {"tcp", "tcp6", "udp", "udp6", "raw"}) {
      net.AddText(name, "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n");
    }
    net.AddText("unix", "Num       RefCount Protocol Flags    Type St Inode Path\n");
    net.AddText("if_inet6", "");
    net.AddText("ipv6_route", "");
    net.AddText("arp", "IP address       HW type     Flags       HW address            Mask     Device\n");
    net.AddText("netlink", "sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode\n");
    net.AddText("packet", "sk       RefCnt Type Proto  Iface R Rmem   User   Inode\n");
    net.AddText("protocols", "protocol  size sockets  memory press maxhdr  slab module     cl co di ac io in de sh ss gs se re sp bi br ha uh gp em\n");
  }

  RefPtr<RootDirectory> root_;
  RefPtr<pseudo::StaticDirectory> net_;  // the same below every process
};

}  // namespace

RefPtr<pseudo::Node> NetDirectory(vfs::FileSystem& proc_fs) { return static_cast<ProcFs&>(proc_fs).net(); }

RefPtr<vfs::FileSystem> CreateProcFs(RefPtr<PidNamespace> pid_ns, std::string source) { return MakeRef<ProcFs>(std::move(pid_ns), std::move(source)); }

}  // namespace proc
