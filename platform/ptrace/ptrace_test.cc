#include <dirent.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "base/log.h"
#include "platform/ptrace/access_decoder.h"
#include "platform/ptrace/guest_driver.h"
#include "platform/ptrace/ptrace_platform.h"
#include "platform/ptrace/stub_unsafe.h"

namespace platform {

Result<std::unique_ptr<Platform>> CreatePlatformUnderTest(const Platform::Options& options) {
  if (getenv("DEBUG_LOG") != nullptr) base::LogInit(base::LogLevel::kDebug, dup(2), "test");
  return ptrace::Create(options);
}

namespace {

// Host processes named after stubs that a thread of this process traces.
std::vector<pid_t> StubProcesses() {
  std::vector<pid_t> found;
  DIR* proc = opendir("/proc");
  while (dirent* entry = readdir(proc)) {
    pid_t pid = atoi(entry->d_name);
    if (pid <= 0) continue;
    std::string path = std::string("/proc/") + entry->d_name + "/status";
    FILE* file = fopen(path.c_str(), "r");
    if (file == nullptr) continue;
    char line[256];
    bool stub = false, ours = false;
    while (fgets(line, sizeof line, file) != nullptr) {
      int tracer;
      if (strcmp(line, "Name:\trunsc-stub\n") == 0) stub = true;
      if (sscanf(line, "TracerPid:\t%d", &tracer) == 1 && tracer != 0) {
        ours = access(("/proc/self/task/" + std::to_string(tracer)).c_str(), F_OK) == 0;
      }
    }
    fclose(file);
    if (stub && ours) found.push_back(pid);
  }
  closedir(proc);
  return found;
}

// False for a zombie too: when its parent gets to reap it is not ours to say.
bool Alive(pid_t pid) {
  FILE* file = fopen(("/proc/" + std::to_string(pid) + "/stat").c_str(), "r");
  if (file == nullptr) return false;
  char state = 'X';
  if (fscanf(file, "%*d (%*[^)]) %c", &state) != 1) state = 'X';
  fclose(file);
  return state != 'Z' && state != 'X';
}

size_t OpenFds() {
  size_t count = 0;
  DIR* fds = opendir("/proc/self/fd");
  while (readdir(fds) != nullptr) count++;
  closedir(fds);
  return count;
}

GUEST(spin2, R"(
    incq (%rdi)
1:  jmp 1b
)");

TEST(Ptrace, KilledFromOutsideIsExited) {
  GuestMachine machine;
  LOAD_GUEST(machine, spin2);
  auto* started = reinterpret_cast<std::atomic<uint64_t>*>(machine.data());
  std::thread other([&] {
    while (started->load() < 2) usleep(100);
    // Signals from outside that are not fatal change nothing.
    auto pids = StubProcesses();
    EXPECT_EQ(pids.size(), 2u);  // the zygote and a stub
    for (pid_t pid : pids) {
      for (int signo : {SIGTERM, SIGSEGV, SIGSTOP, SIGTRAP, SIGUSR2, SIGCONT, SIGSYS})
        kill(pid, signo);
    }
    usleep(10000);
    kill(pids.back(), SIGKILL);
  });
  RefPtr<AddressSpace> space;
  RunFibers({[&] { space = machine.NewSpace(); }});
  auto run = [&] {
    auto context = machine.NewContext();
    context->mutable_registers().rdi = GuestMachine::kData;
    EXPECT_EQ(context->Run(*space).kind, Event::Kind::kExited);
    EXPECT_EQ(context->Run(*space).kind, Event::Kind::kExited);
    context->Release();
  };
  RunFibers({run, run});
  other.join();
  RunFibers({[&] {
    EXPECT_FALSE(
        space->Map(GuestMachine::kStack, 4096, machine.memory_fd(), 0, PROT_READ, false).ok() &&
        space->Flush().ok());
    space = machine.NewSpace();  // others still come
    space = nullptr;
  }});
}

TEST(Ptrace, NothingIsLeftBehind) {
  {
    GuestMachine warm_up;
    RunFibers({[&] { warm_up.NewSpace(); }});
  }
  size_t fds = OpenFds();
  for (int i = 0; i < 5; i++) {
    GuestMachine machine;
    LOAD_GUEST(machine, spin2);
    RunFibers({[&] {
      std::vector<RefPtr<AddressSpace>> spaces;
      for (int j = 0; j < 10; j++) spaces.push_back(machine.NewSpace());
      EXPECT_EQ(StubProcesses().size(), 11u);
    }});
    RunFibers({[&] {}});
  }
  EXPECT_TRUE(StubProcesses().empty());
  EXPECT_EQ(OpenFds(), fds);
  EXPECT_EQ(waitpid(-1, nullptr, WNOHANG | __WALL), -1);
}

TEST(Ptrace, DyingTracerTakesItsStubsAlong) {
  int pipe_fds[2];
  ASSERT_EQ(pipe(pipe_fds), 0);
  pid_t sentry = fork();
  if (sentry == 0) {
    int memory = memfd_create("guest", 0);
    auto made = ptrace::Create({.memory_fd = memory});
    std::atomic<bool> ready{false};
    RefPtr<AddressSpace> space;
    {
      KernelLock::Section section;
      Fiber::Start([&] {
        space = made.value()->CreateAddressSpace().value();
        ready = true;
      });
    }
    while (!ready) usleep(100);
    for (pid_t pid : StubProcesses()) (void)!write(pipe_fds[1], &pid, sizeof pid);
    raise(SIGKILL);
  }
  close(pipe_fds[1]);
  std::vector<pid_t> stubs;
  for (pid_t pid; read(pipe_fds[0], &pid, sizeof pid) == sizeof pid;) stubs.push_back(pid);
  close(pipe_fds[0]);
  waitpid(sentry, nullptr, 0);
  EXPECT_EQ(stubs.size(), 2u);
  for (pid_t pid : stubs) {
    for (int i = 0; i < 1000 && Alive(pid); i++) usleep(1000);
    EXPECT_FALSE(Alive(pid));
  }
}

GUEST(call2, R"(
1:  mov $1000, %eax
    syscall
    jmp 1b
)");

TEST(Ptrace, TheListedHostCallsSuffice) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "the sanitizer makes calls of its own";
#endif
  SyscallSet full;
  full.set(1000);
  GuestMachine machine(full);
  LOAD_GUEST(machine, call2);
  RunFibers({[&] {
    auto space = machine.NewSpace();
    auto context = machine.NewContext();
    ASSERT_EQ(context->Run(*space).kind, Event::Kind::kSyscall);
    // On the tracer thread now: allow it, for the rest of its life, what the platform lists and
    // what memory, locks and the event loop need.
    std::vector<int> allowed = machine.platform().host_syscalls();
    for (int nr : {SYS_write, SYS_futex, SYS_brk, SYS_mmap, SYS_munmap, SYS_mprotect, SYS_madvise,
                   SYS_prctl, SYS_sched_yield, SYS_exit}) {
      allowed.push_back(nr);
    }
    std::vector<sock_filter> filter = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr))};
    for (int nr : allowed) {
      filter.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(nr), 0, 1));
      filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
    }
    filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS));
    sock_fprog program = {.len = static_cast<unsigned short>(filter.size()),
                          .filter = filter.data()};
    ASSERT_EQ(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    ASSERT_EQ(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);

    std::vector<RefPtr<AddressSpace>> spaces;
    for (int i = 0; i < 20; i++) {
      spaces.push_back(machine.NewSpace());
      auto other = machine.NewContext();
      ASSERT_EQ(other->Run(*spaces.back()).kind, Event::Kind::kSyscall);
      ASSERT_TRUE(other->EnsureRegisters().ok());
      context->CopyStateFrom(*other);
      context->Interrupt();
      ASSERT_EQ(context->Run(*space).kind, Event::Kind::kInterrupted);
      ASSERT_EQ(context->Run(*space).kind, Event::Kind::kSyscall);
      ASSERT_TRUE(space->Map(0x10000000, 4096, machine.memory_fd(), 0, PROT_READ, true).ok());
      ASSERT_TRUE(space->Map(0x10001000, 4096, STDERR_FILENO, 0, PROT_READ, false).ok());
      ASSERT_TRUE(space->Protect(0x10000000, 4096, PROT_NONE).ok());
      (void)space->Flush();  // standard error may not be mappable
    }
  }});
}

TEST(Ptrace, TheStubsCodeIsOfNoUseToTheApplication) {
  GuestMachine machine;
  LOAD_GUEST(machine, call2);
  RunFibers({[&] {
    auto space = machine.NewSpace();
    auto context = machine.NewContext();
    Registers& registers = context->mutable_registers();
    registers.rip = ptrace::kCodeAddress;
    registers.rax = SYS_munmap;
    registers.rdi = GuestMachine::kCode;
    registers.rsi = GuestMachine::kCodeSize;
    Event event = context->Run(*space);
    ASSERT_EQ(event.kind, Event::Kind::kSyscall);
    EXPECT_EQ(event.nr, static_cast<uint64_t>(SYS_munmap));
    ASSERT_TRUE(context->EnsureRegisters().ok());
    context->mutable_registers().rip = GuestMachine::kCode;
    event = context->Run(*space);  // the code is still there
    ASSERT_EQ(event.kind, Event::Kind::kSyscall);
    EXPECT_EQ(event.nr, 1000u);
  }});
}

using ptrace::Access;
using ptrace::DecodeAccess;

Access Decode(std::vector<uint8_t> code, uint64_t address = 0) {
  user_regs_struct registers = {};
  registers.rdi = 0x100000;
  registers.rsi = 0x200000;
  registers.rsp = 0x300000;
  return DecodeAccess(code, registers, address);
}

TEST(AccessDecoder, CommonForms) {
  EXPECT_EQ(Decode({0x48, 0x8b, 0x07}), Access::kRead);         // mov (%rdi),%rax
  EXPECT_EQ(Decode({0x48, 0x89, 0x07}), Access::kWrite);        // mov %rax,(%rdi)
  EXPECT_EQ(Decode({0x66, 0xc7, 0x07, 1, 0}), Access::kWrite);  // movw $1,(%rdi)
  EXPECT_EQ(Decode({0x83, 0x3f, 0x01}), Access::kRead);         // cmpl $1,(%rdi)
  EXPECT_EQ(Decode({0xf0, 0x83, 0x07, 0x01}), Access::kWrite);  // lock addl $1,(%rdi)
  EXPECT_EQ(Decode({0x03, 0x07}), Access::kRead);               // add (%rdi),%eax
  EXPECT_EQ(Decode({0xf3, 0xa4}, 0x100010), Access::kWrite);    // rep movsb
  EXPECT_EQ(Decode({0xf3, 0xa4}, 0x200010), Access::kRead);
  EXPECT_EQ(Decode({0xf3, 0x48, 0xab}), Access::kWrite);  // rep stosq
  EXPECT_EQ(Decode({0x0f, 0x11, 0x07}), Access::kWrite);  // movups %xmm0,(%rdi)
  EXPECT_EQ(Decode({0x0f, 0x10, 0x07}), Access::kRead);
  EXPECT_EQ(Decode({0xf3, 0x0f, 0x7f, 0x07}), Access::kWrite);  // movdqu %xmm0,(%rdi)
  EXPECT_EQ(Decode({0xf3, 0x0f, 0x7e, 0x07}), Access::kRead);   // movq (%rdi),%xmm0
  EXPECT_EQ(Decode({0xc5, 0xfe, 0x7f, 0x07}), Access::kWrite);  // vmovdqu %ymm0,(%rdi)
  EXPECT_EQ(Decode({0xc5, 0xfe, 0x6f, 0x07}), Access::kRead);
  EXPECT_EQ(Decode({0x62, 0xf1, 0x7e, 0x48, 0x7f, 0x07}),
            Access::kWrite);  // vmovdqu32 %zmm0,(%rdi)
  EXPECT_EQ(Decode({0x62, 0xf1, 0x7e, 0x48, 0x6f, 0x07}), Access::kRead);
  EXPECT_EQ(Decode({0x0f, 0xb0, 0x0f}), Access::kWrite);            // cmpxchg
  EXPECT_EQ(Decode({0x0f, 0xb6, 0x07}), Access::kRead);             // movzbl
  EXPECT_EQ(Decode({0xff, 0x37}, 0x2ffff8), Access::kWrite);        // push (%rdi): the stack
  EXPECT_EQ(Decode({0xff, 0x37}, 0x100000), Access::kRead);         // ... its operand
  EXPECT_EQ(Decode({0xe8, 0, 0, 0, 0}, 0x2ffff8), Access::kWrite);  // call
  EXPECT_EQ(Decode({0xc3}, 0x300000), Access::kRead);               // ret
  EXPECT_EQ(Decode({0xdd, 0x1f}), Access::kWrite);                  // fstpl (%rdi)
  EXPECT_EQ(Decode({0x66}), Access::kUnknown);
  EXPECT_EQ(Decode({}), Access::kUnknown);
}

}  // namespace
}  // namespace platform
