// sysfs(5): the CPUs and the classes that programs enumerate.

#include <fmt/core.h>
#include <sys/vfs.h>

#include <algorithm>
#include <string>

#include "sentry/proc/proc_fs.h"
#include "vfs/fs/pseudo/pseudo.h"
#include "vfs/simple_statfs.h"

namespace proc {

namespace {

// Linux: lib/vsprintf.c bitmap_string(): words of 32 bits, the highest first.
std::string CpuMask(int first, int last, int count) {
  std::string text;
  for (int word = (count - 1) / 32; word >= 0; word--) {
    uint32_t bits = 0;
    for (int cpu = std::max(first, word * 32); cpu <= std::min(last, word * 32 + 31); cpu++) bits |= 1u << (cpu % 32);
    text += text.empty() ? fmt::format("{:x}", bits) : fmt::format(",{:08x}", bits);
  }
  return text + "\n";
}

class SysFs final : public vfs::FileSystem {
 public:
  explicit SysFs(std::string source) : FileSystem("sysfs", std::move(source)) {
    root_ = MakeRef<pseudo::StaticDirectory>(this);
    int count = kernel::Kernel::Get().cpu_count();
    std::string range = count > 1 ? fmt::format("0-{}\n", count - 1) : "0\n";
    for (const char* name : {"block", "bus", "class", "dev", "firmware", "fs", "kernel", "module", "power"}) root_->Subdirectory(name);
    for (const char* name : {"net", "block", "tty", "input"}) root_->Subdirectory("class").Subdirectory(name);
    root_->Subdirectory("fs").Subdirectory("cgroup");
    pseudo::StaticDirectory& cpus = root_->Subdirectory("devices").Subdirectory("system").Subdirectory("cpu");
    for (const char* name : {"online", "possible", "present"}) cpus.AddText(name, range);
    cpus.AddText("offline", "\n");
    cpus.AddText("kernel_max", "8191\n");
    for (int cpu = 0; cpu < count; cpu++) {
      pseudo::StaticDirectory& topology = cpus.Subdirectory(fmt::format("cpu{}", cpu)).Subdirectory("topology");
      topology.AddText("core_id", fmt::format("{}\n", cpu));
      topology.AddText("physical_package_id", "0\n");
      // Each name of a group of CPUs has the older one that means the same; lscpu dies without the latter.
      for (const char* core : {"core_cpus", "thread_siblings"}) {
        topology.AddText(core, CpuMask(cpu, cpu, count));
        topology.AddText(fmt::format("{}_list", core), fmt::format("{}\n", cpu));
      }
      for (const char* package : {"package_cpus", "core_siblings"}) {
        topology.AddText(package, CpuMask(0, count - 1, count));
        topology.AddText(fmt::format("{}_list", package), range);
      }
    }
    pseudo::StaticDirectory& nodes = root_->Subdirectory("devices").Subdirectory("system").Subdirectory("node");
    for (const char* name : {"online", "possible", "has_cpu", "has_memory"}) nodes.AddText(name, "0\n");
    pseudo::StaticDirectory& node = nodes.Subdirectory("node0");
    node.AddText("cpulist", range);
    node.AddText("cpumap", CpuMask(0, count - 1, count));
    node.AddText("distance", "10\n");
    root_->Subdirectory("kernel").Subdirectory("mm").Subdirectory("transparent_hugepage").AddText("enabled", "always [madvise] never\n");
    root_->Subdirectory("kernel").Subdirectory("mm").Subdirectory("transparent_hugepage").AddText("hpage_pmd_size", "2097152\n");
  }

  RefPtr<vfs::Inode> root() override { return root_; }
  Result<struct statfs> StatFs() override { return vfs::SimpleStatFs(0x62656572); }

 private:
  RefPtr<pseudo::StaticDirectory> root_;
};

}  // namespace

RefPtr<vfs::FileSystem> CreateSysFs(std::string source) { return MakeRef<SysFs>(std::move(source)); }

}  // namespace proc
