#include "sentry/proc/sys_directory.h"

#include <fmt/core.h>
#include <sys/random.h>

#include "sentry/kernel/kernel.h"

namespace proc {

using kernel::Kernel;
using kernel::Task;

namespace {

std::string RandomUuid() {
  uint8_t b[16];
  if (getrandom(b, sizeof b, 0) != sizeof b) return "";
  b[6] = static_cast<uint8_t>((b[6] & 0x0f) | 0x40);
  b[8] = static_cast<uint8_t>((b[8] & 0x3f) | 0x80);
  std::string out;
  for (int i = 0; i < 16; i++) out += fmt::format("{}{:02x}", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", b[i]);
  return out + "\n";
}

// A name of the reader's uts namespace; the writer needs CAP_SYS_ADMIN in it.
void AddUtsName(pseudo::StaticDirectory& directory, const char* name, std::string kernel::UtsNamespace::*field) {
  directory.AddFile(
      name, 0644, [field]() -> Result<std::string> { return (*Task::Current().namespaces.uts).*field + "\n"; },
      [field](std::string_view text) -> Result<void> {
        Task& task = Task::Current();
        if (!task.creds()->HasIn(CAP_SYS_ADMIN, *task.namespaces.uts->user_ns)) return Errno::kEPERM;
        (*task.namespaces.uts).*field = std::string(text.substr(0, 64));
        return {};
      });
}

// A number that is kept and reported, and changes nothing.
void AddNumber(pseudo::StaticDirectory& directory, const char* name, int64_t value) {
  auto kept = std::make_shared<std::string>(std::to_string(value));
  directory.AddFile(
      name, 0644, [kept]() -> Result<std::string> { return *kept + "\n"; },
      [kept](std::string_view text) -> Result<void> {
        if (!Task::Current().creds()->Has(CAP_SYS_ADMIN)) return Errno::kEPERM;
        std::string copy(text);
        char* end;
        strtoll(copy.c_str(), &end, 0);
        if (copy.empty() || *end != 0) return Errno::kEINVAL;
        *kept = copy;
        return {};
      });
}

}  // namespace

void FillSysDirectory(pseudo::StaticDirectory& sys) {
  pseudo::StaticDirectory& kernel_dir = sys.Subdirectory("kernel");
  AddUtsName(kernel_dir, "hostname", &kernel::UtsNamespace::hostname);
  AddUtsName(kernel_dir, "domainname", &kernel::UtsNamespace::domainname);
  kernel_dir.AddText("ostype", "Linux\n");
  kernel_dir.AddText("osrelease", std::string(Kernel::kRelease) + "\n");
  kernel_dir.AddText("version", std::string(Kernel::kVersion) + "\n");
  kernel_dir.AddText("cap_last_cap", fmt::format("{}\n", CAP_LAST_CAP));
  kernel_dir.AddText("ngroups_max", "65536\n");
  kernel_dir.AddText("core_pattern", "core\n");
  kernel_dir.AddText("tainted", "0\n");
  kernel_dir.AddText("sem", "32000\t1024000000\t500\t32000\n");
  kernel_dir.AddText("shmmax", "18446744073692774399\n");
  kernel_dir.AddText("shmall", "18446744073692774399\n");
  for (auto [name, value] : std::initializer_list<std::pair<const char*, int64_t>>{
           {"pid_max", 4194304}, {"threads-max", 190000}, {"overflowuid", 65534}, {"overflowgid", 65534}, {"randomize_va_space", 2},
           {"perf_event_paranoid", 4}, {"kptr_restrict", 1}, {"dmesg_restrict", 1}, {"sched_child_runs_first", 0}, {"shmmni", 4096},
           {"msgmax", 8192}, {"msgmnb", 16384}, {"msgmni", 32000}, {"unprivileged_userns_clone", 1}, {"sysrq", 0}, {"panic", 0},
           {"core_uses_pid", 0}, {"io_uring_disabled", 2}}) {
    AddNumber(kernel_dir, name, value);
  }
  pseudo::StaticDirectory& random = kernel_dir.Subdirectory("random");
  random.AddText("boot_id", RandomUuid());
  random.AddFile("uuid", 0444, []() -> Result<std::string> { return RandomUuid(); });
  random.AddText("entropy_avail", "256\n");
  random.AddText("poolsize", "256\n");
  AddNumber(kernel_dir.Subdirectory("yama"), "ptrace_scope", 0);
  kernel_dir.Subdirectory("seccomp").AddText("actions_avail", "kill_process kill_thread trap errno log allow\n");

  pseudo::StaticDirectory& fs = sys.Subdirectory("fs");
  fs.AddText("file-nr", "0\t0\t9223372036854775807\n");
  for (auto [name, value] : std::initializer_list<std::pair<const char*, int64_t>>{
           {"file-max", INT64_MAX}, {"nr_open", 1048576}, {"pipe-max-size", 1048576}, {"protected_hardlinks", 0}, {"protected_symlinks", 0},
           {"aio-max-nr", 65536}, {"suid_dumpable", 0}, {"lease-break-time", 45}, {"mount-max", 100000}}) {
    AddNumber(fs, name, value);
  }
  pseudo::StaticDirectory& inotify = fs.Subdirectory("inotify");
  AddNumber(inotify, "max_queued_events", 16384);
  AddNumber(inotify, "max_user_instances", 128);
  AddNumber(inotify, "max_user_watches", 190000);
  AddNumber(fs.Subdirectory("epoll"), "max_user_watches", 5000000);

  pseudo::StaticDirectory& vm = sys.Subdirectory("vm");
  for (auto [name, value] : std::initializer_list<std::pair<const char*, int64_t>>{
           {"overcommit_memory", 1}, {"overcommit_ratio", 50}, {"max_map_count", 65530}, {"swappiness", 60},
           {"nr_hugepages", 0}, {"drop_caches", 0}, {"dirty_ratio", 20}, {"dirty_background_ratio", 10}, {"min_free_kbytes", 67584}}) {
    AddNumber(vm, name, value);
  }
  AddNumber(vm, "mmap_min_addr", static_cast<int64_t>(Kernel::Get().platform().min_user_address()));

  pseudo::StaticDirectory& core = sys.Subdirectory("net").Subdirectory("core");
  AddNumber(core, "somaxconn", 4096);
  AddNumber(core, "rmem_max", 212992);
  AddNumber(core, "wmem_max", 212992);
  AddNumber(core, "rmem_default", 212992);
  AddNumber(core, "wmem_default", 212992);
  AddNumber(sys.Subdirectory("net").Subdirectory("unix"), "max_dgram_qlen", 512);
}

}  // namespace proc
