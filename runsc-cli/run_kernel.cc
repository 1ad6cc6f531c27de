// The kernel integration: what boot::SentryMain ends up in. Puts a kernel together from its parts, loads init, serves the
// control socket on the event thread.

#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/event_loop.h"
#include "base/kernel_lock.h"
#include "base/log.h"
#include "base/memory_file.h"
#include "runsc-cli/kernel_ops.h"
#include "runsc-cli/root_filesystem.h"
#include "sentry/boot/boot.h"
#include "sentry/boot/timeline.h"
#include "sentry/control/server.h"
#include "sentry/kernel/host_info.h"
#include "sentry/loader/loader.h"
#include "sentry/vdso/vdso_clock.h"
#include "syscalls/table.h"
#include "vfs/fs/gofer/connection.h"

namespace boot {

namespace {

// The vDSO lives in the memory file: the parameter page that the Sentry keeps current, then the image.
class VdsoPages final : public vfs::Mappable {
 public:
  VdsoPages(uint64_t offset, uint64_t size) : offset_(offset), size_(size) {}
  Result<Pages> Translate(uint64_t offset, uint64_t length, bool write) override {
    if (write) return Errno::kEACCES;
    if (offset >= size_) return Errno::kENXIO;
    return Pages{.in_memory_file = true, .fd = base::MemoryFile::Get().fd(), .offset = offset_ + offset, .length = std::min(length, size_ - offset)};
  }
  Result<size_t> Read(void* to, uint64_t offset, size_t length) override {
    if (offset >= size_) return 0;
    length = std::min(length, size_ - offset);
    memcpy(to, base::MemoryFile::Get().At(offset_ + offset), length);
    return length;
  }
  Result<uint64_t> Size() override { return size_; }

 private:
  const uint64_t offset_, size_;
};

vdso::VdsoClock* vdso_clock = nullptr;

void SetUpVdso() {
  base::MemoryFile& memory = base::MemoryFile::Get();
  std::span<const uint8_t> image = vdso::Image();
  uint64_t size = vdso::kParamsSize + image.size();
  uint64_t offset = memory.Allocate(size).value();
  memcpy(memory.At(offset + vdso::kParamsSize), image.data(), image.size());
  vdso_clock = new vdso::VdsoClock(memory.At(offset));
  vdso_clock->SetNativeCpus(static_cast<uint32_t>(kernel::Kernel::Get().cpu_count()));
  loader::SetVdso({.mappable = MakeRef<VdsoPages>(offset, size), .size = size, .image_offset = vdso::kParamsSize});
}

int64_t Dispatch(kernel::Task& task, const platform::Event& event) {
  // The vDSO makes a system call now and then for its parameters to be renewed.
  if (event.nr == __NR_clock_gettime || event.nr == __NR_gettimeofday || event.nr == __NR_time) vdso_clock->Refresh(base::MonotonicNow());
  return syscalls::Dispatch(task, event);
}

// The container's terminal is the Sentry's controlling one on the host: what the host makes of Ctrl-C and the like there is for the
// foreground process group inside.
void WatchTerminalSignals(Fd signals, kernel::Kernel& kernel) {
  if (!signals.valid()) return;
  int fd = signals.release();  // for as long as the Sentry lives
  auto deliver = [fd, &kernel](uint32_t) {
    signalfd_siginfo info;
    while (read(fd, &info, sizeof info) == sizeof info) {
      if (kernel.pid_ns->init == nullptr || !kernel.pid_ns->init->process_group) return;
      RefPtr<kernel::ProcessGroup> foreground = kernel.pid_ns->init->session().foreground;
      if (foreground) foreground->SendSignal(kernel::MakeSignalInfo(static_cast<int>(info.ssi_signo), SI_KERNEL));
    }
  };
  CHECK_OK(base::EventLoop::Get().Watch(fd, EPOLLIN, deliver));
}

}  // namespace

// Spinning takes a second processor: not where the container was given less.
bool HasSecondProcessor(const Resources& resources) {
  const int64_t quota = resources.cpu_quota.value_or(-1);
  const int64_t period = static_cast<int64_t>(resources.cpu_period.value_or(100'000));
  return quota <= 0 || quota >= 2 * period;
}

platform::Platform::Options PrepareKernel(const BootConfig& config) {
  kernel::GetHostInfo();
  CHECK_OK(base::MemoryFile::Create());
  goferfs::Connection::Prepare();
  platform::Platform::Options options;
  options.memory_fd = base::MemoryFile::Get().fd();
  options.full_state = syscalls::FullStateSyscalls();
  options.hot_calls = config.hot_calls;
  options.may_spin = config.may_spin && HasSecondProcessor(config.spec.resources);
  return options;
}

void RunKernel(BootConfig config, std::unique_ptr<platform::Platform> platform) {
  auto* kernel = new kernel::Kernel(std::move(platform));
  kernel->dispatch = Dispatch;
  syscalls::strace_enabled = config.strace;
  {
    KernelLock::Section section;
    base::Fiber::Start([&config, kernel] {
      SetUpVdso();
      cli::RegisterFileSystems();
      RefPtr<goferfs::Connection> gofer = goferfs::Connection::Create(std::move(config.gofer_socket), [] {
        LOG_WARNING("the gofer is gone; the sandbox ends");
        _exit(128 + SIGKILL);
      });
      StatusOr<RefPtr<vfs::MountNamespace>> root = cli::AssembleRoot(config, gofer, Credentials::Root(kernel->user_ns));
      if (!root.ok()) ReportFailure(config.sync, root.status().message());
      kernel->namespaces.mount = std::move(root).value();
      if (!config.spec.hostname.empty()) kernel->namespaces.uts->hostname = config.spec.hostname;
      if (!config.spec.domainname.empty()) kernel->namespaces.uts->domainname = config.spec.domainname;
      TimelinePhase("sentry: file systems");

      std::vector<Fd> files;
      for (Fd& fd : config.stdio) files.push_back(std::move(fd));
      for (Fd& fd : config.extra_fds) files.push_back(std::move(fd));
      Result<kernel::ProcessSpec> process = cli::ToKernelProcess(config.spec.process, std::move(files), kernel->user_ns);
      if (!process.ok()) ReportFailure(config.sync, StrCat("stdio: ", base::ErrnoText(process.error())));
      cli::NameTerminal(*kernel->namespaces.mount, *process);
      kernel::Kernel::StartError error;
      Result<RefPtr<kernel::Task>> init = kernel->CreateProcess(*process, &error);
      if (!init.ok()) ReportFailure(config.sync, StrCat(error.what, ": ", base::ErrnoText(error.error)));
      TimelinePhase("sentry: init loaded");

      auto* ops = new cli::KernelOps(*kernel, *init, config.exit_status);
      auto* server = new control::Server(std::move(config.control_listen), *ops);
      if (Result<void> started = server->Start(); !started.ok()) {
        ReportFailure(config.sync, StrCat("control socket: ", base::ErrnoText(started.error())));
      }
      WatchTerminalSignals(std::move(config.terminal_signals), *kernel);
      bool start = config.start_at_once;
      ReportReady(config.sync);
      if (start) {
        TimelinePhase("first instruction");
        (void)ops->Start();
      }
    });
  }
  base::EventLoop::Get().Run();
  _exit(1);  // nothing stops the event loop
}

}  // namespace boot
