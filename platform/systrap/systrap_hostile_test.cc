// What an application may try against its stub and the Sentry, and what the platform leaves behind.

#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "platform/systrap/frame.h"
#include "platform/systrap/guest_test_util.h"
#include "platform/systrap/stub_layout.h"
#include "platform/systrap/worker.h"

namespace platform::systrap {
namespace {

using Kind = Event::Kind;

GUEST(kGetpid, R"(
    mov $39, %eax
    syscall
    mov %rax, %rdi
    mov $60, %eax
    syscall
    hlt
)");

Event RunTo(Context& context, AddressSpace& space, Kind kind) {
  Event event = context.Run(space);
  EXPECT_EQ(static_cast<int>(event.kind), static_cast<int>(kind))
      << "nr " << event.nr << " signo " << event.signo << " address " << std::hex << event.address;
  return event;
}

// The platform still works.
void CheckHealthy(Guest& guest) {
  auto space = guest.NewSpace(kGetpid, 0x80000);
  auto context = guest.NewContext();
  EXPECT_EQ(RunTo(*context, *space, Kind::kSyscall).nr, 39u);
  context->SetResult(3);
  EXPECT_EQ(RunTo(*context, *space, Kind::kSyscall).args[0], 3u);
}

std::set<pid_t> Children(pid_t pid) {
  std::set<pid_t> result;
  const std::string tasks = "/proc/" + std::to_string(pid) + "/task";
  DIR* dir = opendir(tasks.c_str());
  if (dir == nullptr) return result;
  while (dirent* entry = readdir(dir)) {
    std::ifstream file(tasks + "/" + entry->d_name + "/children");
    pid_t child;
    while (file >> child) result.insert(child);
  }
  closedir(dir);
  return result;
}

// The stubs of all platforms of this process.
std::set<pid_t> Stubs() {
  std::set<pid_t> result;
  for (pid_t zygote : Children(getpid())) result.merge(Children(zygote));
  return result;
}

size_t EntryCount(const char* path) {
  size_t count = 0;
  DIR* dir = opendir(path);
  while (readdir(dir) != nullptr) count++;
  closedir(dir);
  return count;
}

template <class Condition>
bool Eventually(Condition condition) {
  for (int i = 0; i < 2000; i++) {
    if (condition()) return true;
    usleep(1000);
  }
  return false;
}

// ---- other ways to make a system call

GUEST(kInt80, R"(
    mov $20, %eax
    mov $7, %ebx
    int $0x80
    mov %rax, %rdi
    mov $60, %eax
    syscall
)");
GUEST(kX32, R"(
    mov $0x40000027, %eax
    syscall
    mov %rax, %rdi
    mov $60, %eax
    syscall
)");
GUEST(kMinusOne, R"(
    mov $-1, %rax
    syscall
    mov %rax, %rdi
    mov $60, %eax
    syscall
)");
GUEST(kHighBits, R"(
    mov $0x500000027, %rax
    syscall
    mov %rax, %rdi
    mov $60, %eax
    syscall
)");
GUEST(kVsyscall, R"(
    mov $0xffffffffff600400, %rax
    xor %edi, %edi
    call *%rax
    mov %rax, %rdi
    mov $60, %eax
    syscall
)");
GUEST(kSysenter, "sysenter\n");
// To a 32-bit code segment, where `int $0x80`, `sysenter` and `syscall` are other entries.
GUEST(kCompatSegment, R"(
    sub $16, %rsp
    movl $0x400100, (%rsp)
    movl $0x23, 4(%rsp)
    lretl
    .skip 0x100 - (. - guest_kCompatSegment)
    .code32
    movl $20, %eax
    movl $7, %ebx
    int $0x80
    movl %eax, %ebx
    movl $1, %eax
    int $0x80
    .code64
)");

TEST(SystrapHostile, Int80IsNotARealCall) {
  Guest guest({20, 39});
  guest.OnFiber([&] {
    auto space = guest.NewSpace(kInt80);
    auto context = guest.NewContext();
    Event event = RunTo(*context, *space, Kind::kSyscall);
    EXPECT_TRUE(event.compat);
    EXPECT_EQ(event.nr, 20u);
    EXPECT_EQ(event.args[0], 7u);
    CHECK_OK(context->EnsureRegisters());
    context->SetResult(4242);
    event = RunTo(*context, *space, Kind::kSyscall);
    EXPECT_FALSE(event.compat);
    EXPECT_EQ(event.args[0], 4242u);
  });
}

TEST(SystrapHostile, ThirtyTwoBitCodeSegment) {
  Guest guest;
  guest.OnFiber([&] {
    auto space = guest.NewSpace(kCompatSegment);
    auto context = guest.NewContext();
    Event event = RunTo(*context, *space, Kind::kSyscall);
    EXPECT_TRUE(event.compat);
    EXPECT_EQ(event.nr, 20u);
    EXPECT_EQ(event.args[0], 7u);
    CHECK_OK(context->EnsureRegisters());
    EXPECT_EQ(context->registers().cs, 0x23u);
    context->SetResult(99);
    event = RunTo(*context, *space, Kind::kSyscall);
    EXPECT_TRUE(event.compat);
    EXPECT_EQ(event.nr, 1u);
    EXPECT_EQ(event.args[0], 99u);
  });
}

TEST(SystrapHostile, X32NumbersAreMarked) {
  Guest guest({39});
  guest.OnFiber([&] {
    auto space = guest.NewSpace(kX32);
    auto context = guest.NewContext();
    Event event = RunTo(*context, *space, Kind::kSyscall);
    EXPECT_TRUE(event.compat);
    EXPECT_EQ(event.nr, 0x40000027u);
    context->SetResult(-ENOSYS);
    EXPECT_EQ(static_cast<int64_t>(RunTo(*context, *space, Kind::kSyscall).args[0]), -ENOSYS);
  });
}

TEST(SystrapHostile, StrangeNumbers) {
  Guest guest({39});
  guest.OnFiber([&] {
    {
      auto space = guest.NewSpace(kMinusOne);
      auto context = guest.NewContext();
      Event event = RunTo(*context, *space, Kind::kSyscall);
      EXPECT_EQ(event.nr, 0xffffffffu);
      context->SetResult(-ENOSYS);
      EXPECT_EQ(static_cast<int64_t>(RunTo(*context, *space, Kind::kSyscall).args[0]), -ENOSYS);
    }
    auto space = guest.NewSpace(kHighBits);
    auto context = guest.NewContext();
    Event event = RunTo(*context, *space, Kind::kSyscall);
    EXPECT_EQ(event.nr, 39u);
    EXPECT_FALSE(event.compat);
    context->SetResult(17);
    EXPECT_EQ(RunTo(*context, *space, Kind::kSyscall).args[0], 17u);
  });
}

// Where the host has no vsyscall page the application sees a fault.
TEST(SystrapHostile, TheVsyscallPageDoesNotAnswer) {
  Guest guest;
  guest.OnFiber([&] {
    auto space = guest.NewSpace(kVsyscall);
    auto context = guest.NewContext();
    Event event = context->Run(*space);
    if (event.kind == Kind::kFault) return;
    ASSERT_EQ(static_cast<int>(event.kind), static_cast<int>(Kind::kSyscall));
    EXPECT_EQ(event.nr, 201u);  // time
    context->SetResult(12345);
    EXPECT_EQ(RunTo(*context, *space, Kind::kSyscall).args[0], 12345u);
  });
}

TEST(SystrapHostile, SysenterDoesNotEnter) {
  Guest guest;
  guest.OnFiber([&] {
    auto space = guest.NewSpace(kSysenter);
    auto context = guest.NewContext();
    // A call of the 32-bit table that nobody answers but the Sentry, or a fault.
    EXPECT_NE(static_cast<int>(context->Run(*space).kind), static_cast<int>(Kind::kInterrupted));
    CheckHealthy(guest);
  });
}

// ---- the stub's own code

TEST(SystrapHostile, JumpsToTheStubsSystemCalls) {
  Guest guest({SYS_clone, SYS_sigaltstack});
  const uint64_t sites[] = {
      StubAddress(StubDoorbellSite) - 2,    StubAddress(StubSigreturnSite) - 2,
      StubAddress(StubSpawnerSite) - 2,     StubAddress(StubCloneSite) - 2,
      StubAddress(StubSigaltstackSite) - 2, StubAddress(StubHandler),
      StubAddress(StubHelperStart),         StubAddress(StubSpawnerStart),
      StubAddress(StubZygoteMain)};
  const uint64_t numbers[] = {STUB_DOORBELL,   SYS_rt_sigreturn, SYS_clone,
                              SYS_sigaltstack, SYS_mmap,         SYS_execve};
  const uint64_t area = STUB_AREAS + STUB_AREA_SIZE;
  const uint64_t junk[] = {0,
                           SIGSYS,
                           SIGSEGV,
                           SIGURG,
                           STUB_REASON_IDLE,
                           STUB_CLONE_THREAD,
                           area,
                           area + 4096,
                           area + STUB_AREA_HEADER,
                           STUB_AREAS,
                           ~uint64_t{0},
                           kData,
                           uint64_t{1} << 32 | SIGSYS};
  int exited = 0, faults = 0, calls = 0, interrupted = 0;
  guest.OnFiber([&] {
    for (uint64_t site : sites) {
      for (uint64_t nr : numbers) {
        for (uint64_t value : junk) {
          for (uint64_t frame : {uint64_t{0}, area + 8192}) {
            auto space = guest.NewSpace(kGetpid);
            auto context = guest.NewContext(site);
            Registers& registers = context->mutable_registers();
            registers.rax = nr;
            registers.rdi = registers.rsi = registers.r10 = registers.r8 = value;
            registers.rdx = frame;
            registers.r12 = value;
            registers.rbx = value;
            if (frame != 0) registers.rsp = frame;
            for (int i = 0; i < 4; i++) {
              Event event = context->Run(*space);
              context->SetResult(-ENOSYS);
              switch (event.kind) {
                case Kind::kExited:
                  exited++;
                  i = 4;
                  break;
                case Kind::kFault:
                  faults++;
                  i = 4;
                  break;
                case Kind::kSyscall:
                  calls++;
                  break;
                case Kind::kInterrupted:
                  interrupted++;
                  break;
              }
            }
          }
        }
      }
    }
    CheckHealthy(guest);
  });
  EXPECT_GT(exited, 0);
  EXPECT_GT(faults, 0);
  EXPECT_GT(calls, 0);
}

// Fills an area with rdi and goes on.
GUEST(kScribble, R"(
    mov $39, %eax
    syscall
    mov %rax, %rdi
    mov $(0x4000 / 8), %ecx
    mov $0xfffffffffffffff7, %rax
    rep stosq
    mov $60, %eax
    syscall
)");

TEST(SystrapHostile, ScribblesOnSignalFrames) {
  Guest guest({39});
  guest.OnFiber([&] {
    for (uint64_t target : {1, 2}) {
      auto space = guest.NewSpace(kScribble);
      auto victim = guest.NewContext();
      RunTo(*victim, *space, Kind::kSyscall);
      auto context = guest.NewContext();
      RunTo(*context, *space, Kind::kSyscall);
      context->SetResult(STUB_AREAS + target * STUB_AREA_SIZE);
      Event event = context->Run(*space);
      EXPECT_NE(static_cast<int>(event.kind), static_cast<int>(Kind::kInterrupted));
      (void)victim->fpu_state();
      victim->SetResult(0);
      for (int i = 0; i < 3; i++) {
        event = victim->Run(*space);
        if (event.kind == Kind::kExited) break;
        auto copy = guest.NewContext();
        copy->CopyStateFrom(*victim);
      }
    }
    CheckHealthy(guest);
  });
}

GUEST(kStackInArea, "mov $0x7fffe1004200, %rsp\n mov 0x600000, %al\n");

TEST(SystrapHostile, NoRoomForTheSignalFrame) {
  Guest guest;
  guest.OnFiber([&] {
    auto space = guest.NewSpace(kStackInArea);
    auto context = guest.NewContext();
    RunTo(*context, *space, Kind::kExited);
    CheckHealthy(guest);
  });
}

// Blocks all signals by a sigreturn of its own and spins. The frame is at kData.
GUEST(kBlockSignals, R"(
    mov $0x500000, %esp
    mov $15, %eax
    mov %rbx, %rcx
    jmp *%rcx
    .skip 0x100 - (. - guest_kBlockSignals)
    mov $39, %eax
    syscall
1:  incq 0x500800
    jmp 1b
)");

int64_t fake_now = 0;

TEST(SystrapHostile, AThreadThatBlocksTheInterruptIsKilled) {
  Guest guest;
  std::atomic<bool> done = false;
  std::unique_ptr<Context> context;
  RefPtr<AddressSpace> space;
  guest.OnFiber([&] {
    space = guest.NewSpace(kBlockSignals);
    context = guest.NewContext();
    context->mutable_registers().rbx = StubAddress(StubSigreturnSite) - 2;
    StubUcontext frame = {};
    frame.rip = kCode + 0x100;
    frame.cs = 0x33;
    frame.ss = 0x2b;
    frame.signal_mask = ~uint64_t{0};
    memcpy(guest.At(kPage), &frame, sizeof frame);
    EXPECT_EQ(RunTo(*context, *space, Kind::kSyscall).nr, 39u);
  });
  Guest::Start([&] { RunTo(*context, *space, Kind::kExited); }, done);
  ASSERT_TRUE(Eventually([&] { return guest.Word<uint64_t>(kPage + 0x800) > 0; }));
  {
    KernelLock::Section section;
    context->Interrupt();
  }
  usleep(20000);
  EXPECT_FALSE(done);
  fake_now = base::MonotonicNow() + 11'000'000'000;
  base::SetClockForTest([] { return fake_now; }, nullptr);
  {
    KernelLock::Section section;
    base::EventLoop::Get().FireTimers(fake_now);
  }
  base::SetClockForTest(nullptr, nullptr);
  Guest::Await(done);
  guest.OnFiber([&] {
    context.reset();
    space.reset();
    CheckHealthy(guest);
  });
}

// ---- the end

GUEST(kSpin, R"(
    mov $39, %eax
    syscall
1:  jmp 1b
)");

TEST(SystrapHostile, AStubKilledFromOutsideExits) {
  Guest guest;
  std::atomic<bool> done = false;
  std::unique_ptr<Context> spinning, stopped;
  RefPtr<AddressSpace> space;
  guest.OnFiber([&] {
    space = guest.NewSpace(kSpin);
    spinning = guest.NewContext();
    stopped = guest.NewContext();
    RunTo(*spinning, *space, Kind::kSyscall);
    RunTo(*stopped, *space, Kind::kSyscall);
  });
  Guest::Start([&] { RunTo(*spinning, *space, Kind::kExited); }, done);
  // Those that were ordered ahead too, once they are ready.
  EXPECT_TRUE(Eventually([] { return Stubs().size() == 3; }));
  usleep(20000);
  for (pid_t stub : Stubs()) kill(stub, SIGKILL);
  Guest::Await(done);
  EXPECT_TRUE(Eventually([] { return Stubs().empty(); }));
  guest.OnFiber([&] {
    RunTo(*stopped, *space, Kind::kExited);
    EXPECT_FALSE(stopped->EnsureRegisters().ok());
    EXPECT_FALSE(space->Flush().ok() &&
                 space->Map(0x600000, kPage, guest.memory_fd(), 0, PROT_READ, false).ok() &&
                 space->Flush().ok());
    spinning.reset();
    stopped.reset();
    space.reset();
    CheckHealthy(guest);
  });
}

// As a debugger, an administrator or the freezer of a cgroup does it.
TEST(SystrapHostile, AStubThatIsStoppedAndContinuedGoesOn) {
  Guest guest;
  std::atomic<bool> done = false;
  Guest::Start(
      [&] {
        auto space = guest.NewSpace(kGetpid);
        auto context = guest.NewContext();
        for (int i = 0; i < 3000; i++) {
          context->mutable_registers().rip = kCode;
          CHECK_OK(space->Map(0x600000 + i % 7 * kPage, kPage, guest.memory_fd(), 0, PROT_READ, false));
          if (i % 3 == 0) CHECK_OK(space->Unmap(0x600000, 7 * kPage));
          CHECK_OK(space->Flush());
          RunTo(*context, *space, Kind::kSyscall);
        }
        done = true;
      },
      done);
  while (!done) {
    for (int signal : {SIGSTOP, SIGCONT}) {
      for (pid_t stub : Stubs()) kill(stub, signal);
      usleep(300);
    }
  }
  Guest::Await(done);
}

TEST(SystrapHostile, ASpaceThatGoesForcesItsThreadsOut) {
  Guest guest;
  std::atomic<bool> done = false;
  std::unique_ptr<Context> context;
  RefPtr<AddressSpace> space;
  guest.OnFiber([&] {
    space = guest.NewSpace(kSpin);
    context = guest.NewContext();
    RunTo(*context, *space, Kind::kSyscall);
  });
  Guest::Start([&] { RunTo(*context, *space, Kind::kExited); }, done);
  {
    KernelLock::Section section;
    space.reset();
  }
  Guest::Await(done);
  guest.OnFiber([&] {
    context.reset();
    CheckHealthy(guest);
  });
}

TEST(SystrapHostile, CreateAndDestroyLeaksNothing) {
  Guest guest({SYS_exit});
  auto one = [&](int i) {
    auto space = guest.NewSpace(kGetpid);
    Fd other(memfd_create("other", MFD_CLOEXEC));
    CHECK_OK(space->Map(0x700000, kPage, other.get(), 0, PROT_READ, false));
    auto context = guest.NewContext();
    auto second = guest.NewContext();
    RunTo(*context, *space, Kind::kSyscall);
    if (i % 2 == 0) RunTo(*second, *space, Kind::kSyscall);
    // Sometimes the threads go first, sometimes the space; in a system call or at a doorbell.
    if (i % 3 == 0) CHECK_OK(context->EnsureRegisters());
    if (i % 5 == 0) space.reset();
  };
  guest.OnFiber([&] {
    for (int i = 0; i < 20; i++) one(i);
  });
  usleep(50000);
  const size_t fds = EntryCount("/proc/self/fd");
  guest.OnFiber([&] {
    for (int i = 0; i < 200; i++) one(i);
  });
  // The pool keeps 8 emptied stubs, of 3 descriptors each, and 2 fresh ones.
  EXPECT_TRUE(Eventually([] { return Stubs().size() <= 10; }));
  EXPECT_TRUE(Eventually([&] { return EntryCount("/proc/self/fd") <= fds + 3 * 9; }));
  EXPECT_LE(WorkerCount(), 16);
}

GUEST(kLook, R"(
    mov $39, %eax
    syscall
    xor %edi, %edi
    mov $0x7fffe1004000, %rsi
    mov $(0x2800 / 8), %ecx
1:  lodsq
    or %rax, %rdi
    loop 1b
    mov $60, %eax
    syscall
)");

TEST(SystrapHostile, NothingOfAnEndedSpaceIsLeftForTheNext) {
  Guest guest({39});
  guest.OnFiber([&] {
    for (int i = 0; i < 3; i++) {
      auto space = guest.NewSpace(kScribble);
      auto context = guest.NewContext();
      context->mutable_registers().r15 = 0x5ec7e7;
      RunTo(*context, *space, Kind::kSyscall);
    }
    // The thread's area of the used stub, from the inside; the new frame is at its end.
    auto space = guest.NewSpace(kLook);
    auto context = guest.NewContext();
    RunTo(*context, *space, Kind::kSyscall);
    EXPECT_EQ(RunTo(*context, *space, Kind::kSyscall).args[0], 0u);
  });
}

TEST(SystrapHostile, ShutdownLeavesNoProcess) {
  std::set<pid_t> before = Children(getpid());
  {
    Guest guest;
    guest.OnFiber([&] {
      auto space = guest.NewSpace(kGetpid);
      auto context = guest.NewContext();
      RunTo(*context, *space, Kind::kSyscall);
      EXPECT_GT(Stubs().size(), 0u);
      guest.platform().Shutdown();
      RunTo(*context, *space, Kind::kExited);
      EXPECT_EQ(Children(getpid()), before);
      EXPECT_FALSE(guest.platform().CreateAddressSpace().ok());
      context.reset();
      space.reset();
    });
  }
  EXPECT_EQ(Children(getpid()), before);
  EXPECT_TRUE(Eventually([] {
    RetireSpareWorkers();
    return WorkerCount() == 0;
  }));
}

// ---- the host

// Runs `body` in a process of its own, since filters stay; its result is the exit status.
int InChild(int (*body)()) {
  const pid_t child = fork();
  if (child == 0) _exit(body());
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

int InstallFilter(unsigned flags) {
  sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  sock_fprog program = {1, &allow};
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  return static_cast<int>(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program));
}

int CreateError() {
  Platform::Options options;
  options.memory_fd = memfd_create("memory", MFD_CLOEXEC);
  auto created = Create(options);
  return created.ok() ? 0 : static_cast<int>(created.error());
}

TEST(SystrapHost, UnderAnotherNotifierCreateFails) {
  EXPECT_EQ(InChild([] {
              if (InstallFilter(SECCOMP_FILTER_FLAG_NEW_LISTENER) < 0) return 1;
              return CreateError();
            }),
            EBUSY);
}

TEST(SystrapHost, UnderAnOrdinaryFilterItWorks) {
  EXPECT_EQ(InChild([] {
              if (InstallFilter(0) != 0) return 1;
              return CreateError();
            }),
            0);
}

TEST(SystrapHost, TheSentrysDeathKillsTheStubs) {
  int pipes[2];
  ASSERT_EQ(pipe(pipes), 0);
  const pid_t child = fork();
  if (child == 0) {
    close(pipes[0]);
    Guest guest;
    guest.OnFiber([&] {
      auto space = guest.NewSpace(kGetpid);
      auto context = guest.NewContext();
      context->Run(*space);
      for (pid_t stub : Stubs()) {
        if (write(pipes[1], &stub, sizeof stub) != sizeof stub) _exit(1);
      }
      raise(SIGKILL);
    });
  }
  close(pipes[1]);
  waitpid(child, nullptr, 0);
  std::vector<pid_t> stubs;
  for (pid_t stub; read(pipes[0], &stub, sizeof stub) == sizeof stub;) stubs.push_back(stub);
  close(pipes[0]);
  EXPECT_FALSE(stubs.empty());
  for (pid_t stub : stubs) EXPECT_TRUE(Eventually([&] { return kill(stub, 0) != 0; }));
}

}  // namespace
}  // namespace platform::systrap
