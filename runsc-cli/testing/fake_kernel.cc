// A kernel without application code, in place of runsc-cli/run_kernel.cc: runsc_fake is the whole
// of runsc but for it, so that the verbs, the sandbox around a Sentry, its filter and the control
// protocol are tested for themselves.
//
// "Programs" are: exit N | hang | say TEXT | tty | violate | crash | leak | guest; anything else
// does not exist.

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include <map>

#include "base/event_loop.h"
#include "base/host.h"
#include "base/kernel_lock.h"
#include "base/memory_file.h"
#include "sentry/boot/boot.h"
#include "sentry/boot/timeline.h"
#include "sentry/control/server.h"

namespace boot {

namespace {

using control::OpError;
using control::SignalTarget;

void Say(int fd, const std::string& text) { (void)HOST(write(fd, text.data(), text.size())); }

std::unique_ptr<platform::Platform> host_platform;

// Application code after all, but none of a kernel: do the platforms work within the walls, filter
// included? Returns an exit status.
int RunGuestCode(int space_count) {
  constexpr uint64_t kCode = 0x400000, kData = 0x500000;
  // mov $39, %eax; syscall; test %rax, %rax; jns to the start; hlt
  constexpr uint8_t kProgram[] = {0xb8, 39,   0,    0,    0,    0x0f, 0x05,
                                  0x48, 0x85, 0xc0, 0x79, 0xf4, 0xf4};
  base::MemoryFile& memory = base::MemoryFile::Get();
  Result<uint64_t> offset = memory.Allocate(2 * kPageSize);
  if (!offset.ok()) return 50;
  memcpy(memory.At(*offset), kProgram, sizeof kProgram);
  for (int i = 0; i < space_count; i++) {
    Result<RefPtr<platform::AddressSpace>> space = host_platform->CreateAddressSpace();
    Result<std::unique_ptr<platform::Context>> context = host_platform->CreateContext();
    if (!space.ok() || !context.ok()) return 51;
    if (!(*space)->Map(kCode, kPageSize, memory.fd(), *offset, PROT_READ | PROT_EXEC, false).ok() ||
        !(*space)
             ->Map(kData, kPageSize, memory.fd(), *offset + kPageSize, PROT_READ | PROT_WRITE, true)
             .ok()) {
      return 52;
    }
    platform::Registers& registers = (*context)->mutable_registers();
    registers.rip = kCode;
    registers.rsp = kData + kPageSize;
    for (int call = 0; call < 100; call++) {
      platform::Event event = (*context)->Run(**space);
      if (event.kind != platform::Event::Kind::kSyscall || event.nr != 39) return 53;
      (*context)->SetResult(call < 99 ? 1 : -1);
    }
    if ((*context)->Run(**space).kind != platform::Event::Kind::kFault) return 54;
    (*context)->Interrupt();
    if (!(*context)->EnsureRegisters().ok() || (*context)->registers().rip != kCode + 12) return 55;
    (*context)->mutable_registers().rip = kCode;
    if ((*context)->Run(**space).kind != platform::Event::Kind::kInterrupted) return 56;
    if (!(*space)->Unmap(kCode, kPageSize).ok() || !(*space)->Flush().ok()) return 57;
    if ((*context)->Run(**space).kind != platform::Event::Kind::kFault) return 58;
    (*context)->Release();
  }
  return 0;
}

struct FakeProcess {
  ProcessSpec spec;
  Fd stdio[3];
  bool ended = false;
  int status = 0;  // as wait(2) gives it
  std::vector<control::ContainerOps::WaitDone> waiters;
};

class FakeContainer : public control::ContainerOps {
 public:
  static bool Exists(const std::string& program) {
    for (const char* name : {"exit", "hang", "say", "tty", "violate", "crash", "leak", "guest"}) {
      if (program == name) return true;
    }
    return false;
  }

  void AddInit(BootConfig& config) {
    FakeProcess& init = processes_[1];
    init.spec = config.spec.process;
    for (int i = 0; i < 3; i++) init.stdio[i] = std::move(config.stdio[i]);
  }

  OpError Start() override {
    if (started_) return {"already started", Errno::kEALREADY};
    started_ = true;
    Run(1);
    return {};
  }
  OpError Signal(SignalTarget target, int signo, int pid) override {
    if (target == SignalTarget::kInit || target == SignalTarget::kAll) pid = 1;
    auto it = processes_.find(pid);
    if (it == processes_.end() || it->second.ended) return {"no such process", Errno::kESRCH};
    if (target == SignalTarget::kForegroundGroup) Say(it->second.stdio[1].get(), "foreground\n");
    if (signo == SIGWINCH || signo == 0) return {};
    End(pid, signo);
    return {};
  }
  void Exec(ProcessSpec spec, std::vector<Fd> fds, ExecDone done) override {
    if (!Exists(spec.args[0]))
      return done({StrCat(spec.args[0], ": No such file or directory"), Errno::kENOENT}, 0);
    int pid = next_pid_++;
    FakeProcess& process = processes_[pid];
    process.spec = std::move(spec);
    for (int i = 0; i < 3; i++) process.stdio[i] = std::move(fds[static_cast<size_t>(i)]);
    done({}, pid);
    Run(pid);
  }
  void Wait(int pid, WaitDone done) override {
    auto it = processes_.find(pid == 0 ? 1 : pid);
    if (it == processes_.end()) return done({"no such child", Errno::kECHILD}, 0);
    if (it->second.ended) return done({}, it->second.status);
    it->second.waiters.push_back(std::move(done));
  }
  std::vector<control::ProcessStatus> Processes() override {
    std::vector<control::ProcessStatus> list;
    for (const auto& [pid, process] : processes_) {
      if (!process.ended) list.push_back({.pid = pid, .command = process.spec.args[0]});
    }
    return list;
  }
  void Pause(Done done) override {
    paused_ = true;
    done({});
  }
  OpError Resume() override {
    paused_ = false;
    return {};
  }
  bool started() override { return started_; }
  bool paused() override { return paused_; }
  void Destroy() override { _exit(128 + SIGKILL); }

 private:
  void Run(int pid) {
    FakeProcess& process = processes_[pid];
    const std::string& program = process.spec.args[0];
    const std::string arg = process.spec.args.size() > 1 ? process.spec.args[1] : "";
    int out = process.stdio[1].get();
    if (program == "hang") return;
    if (program == "guest") {
      base::Fiber::Start([this, pid] { End(pid, RunGuestCode(20) << 8); });
      return;
    }
    if (program == "say") Say(out, arg + "\n");
    if (program == "violate") (void)HOST(open("/etc/passwd", O_RDONLY));
    if (program == "crash") abort();
    if (program == "tty") {
      winsize size{};
      int rc = ioctl(process.stdio[0].get(), TIOCGWINSZ, &size);
      Say(out, StrCat("tty ", rc, " ", size.ws_row, "x", size.ws_col, "\n"));
    }
    if (program == "leak") {
      // What an attacker in a Sentry would find: descriptors, user, environment of a process.
      for (int fd = 0; fd < 64; fd++) {
        if (fcntl(fd, F_GETFD) >= 0) Say(out, StrCat("fd ", fd, "\n"));
      }
    }
    End(pid, program == "exit" ? atoi(arg.c_str()) << 8 : 0);
  }

  void End(int pid, int status) {
    FakeProcess& process = processes_[pid];
    process.ended = true;
    process.status = status;
    for (Fd& fd : process.stdio) fd.reset();
    for (auto& done : std::exchange(process.waiters, {})) done({}, status);
    if (pid != 1) return;
    // Not from within the request that caused it, whose answer is still to come.
    exit_code_ = (status & 0x7f) != 0 ? 128 + status : status >> 8;
    exit_.Arm(base::MonotonicNow());
  }

  int exit_code_ = 0;
  base::Timer exit_{[this] { _exit(exit_code_); }};
  std::map<int, FakeProcess> processes_;
  int next_pid_ = 2;
  bool started_ = false, paused_ = false;
};

}  // namespace

platform::Platform::Options PrepareKernel(const BootConfig&) {
  platform::Platform::Options options;
  CHECK_OK(base::MemoryFile::Create());
  options.memory_fd = base::MemoryFile::Get().fd();
  return options;
}

void RunKernel(BootConfig config, std::unique_ptr<platform::Platform> platform) {
  host_platform = std::move(platform);
  const std::string& program = config.spec.process.args[0];
  if (!FakeContainer::Exists(program)) {
    ReportFailure(config.sync,
                  StrCat("exec: \"", program, "\": executable file not found in $PATH"));
  }
  static FakeContainer container;
  static control::Server server(std::move(config.control_listen), container);
  {
    base::KernelLock::Section section;
    int out = config.stdio[1].get();
    container.AddInit(config);
    if (int fd = config.terminal_signals.get(); fd >= 0) {
      CHECK_OK(base::EventLoop::Get().Watch(fd, EPOLLIN, [fd, out](uint32_t) {
        signalfd_siginfo info;
        if (read(fd, &info, sizeof info) != sizeof info) return;
        Say(out, StrCat("signal ", info.ssi_signo, "\n"));
      }));
    }
    CHECK_OK(server.Start());
    ReportReady(config.sync);
    TimelinePhase("first instruction");
    if (config.start_at_once) container.Start();
  }
  base::EventLoop::Get().Run();
  _exit(0);
}

}  // namespace boot
