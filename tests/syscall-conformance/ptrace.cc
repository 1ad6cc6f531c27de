// ptrace(2)
#include <elf.h>
#include <fcntl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>

#include <cstddef>

#include "util/check.h"
#include "util/child.h"
#include "util/clock.h"
#include "util/fd.h"
#include "util/helper.h"
#include "util/memory.h"
#include "util/signals.h"
#include "util/temp_dir.h"

namespace conformance {
namespace {

// The pointer arguments of ptrace are often plain numbers.
void* Number(uintptr_t value) { return reinterpret_cast<void*>(value); }

// A child that asks to be traced, stops, and then runs the body.
pid_t Traced(const std::function<int()>& body) {
  pid_t pid = Fork([&] {
    CHILD_CHECK(ptrace(PTRACE_TRACEME, 0, 0, 0) == 0);
    raise(SIGSTOP);
    return body();
  });
  int status = 0;
  EXPECT_EQ(waitpid(pid, &status, 0), pid);
  EXPECT_TRUE(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
  EXPECT_OK(ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD));
  return pid;
}

// Resumes and returns the next wait status.
int Resume(pid_t pid, __ptrace_request request = PTRACE_CONT, int signal = 0) {
  EXPECT_OK(ptrace(request, pid, 0, Number(signal)));
  return Wait(pid);
}
int StopSignal(int status) { return WIFSTOPPED(status) ? WSTOPSIG(status) : -1; }

int global = 1;

TEST(Ptrace, TracemeStopsOnSignalsAndCanDropThem) {
  pid_t pid = Traced([] {
    raise(SIGUSR1);
    raise(SIGUSR2);
    return 3;
  });
  EXPECT_EQ(StopSignal(Resume(pid)), SIGUSR1);
  EXPECT_EQ(StopSignal(Resume(pid)), SIGUSR2) << "SIGUSR1 was dropped";
  EXPECT_EXITED(Resume(pid), 3);
}

TEST(Ptrace, InjectedSignalIsDelivered) {
  pid_t pid = Traced([] {
    raise(SIGUSR1);
    return 3;
  });
  EXPECT_EQ(StopSignal(Resume(pid)), SIGUSR1);
  EXPECT_KILLED(Resume(pid, PTRACE_CONT, SIGTERM), SIGTERM);
}

TEST(Ptrace, PeekAndPokeMemory) {
  pid_t pid = Traced([] { return global; });
  errno = 0;
  EXPECT_EQ(ptrace(PTRACE_PEEKDATA, pid, &global, 0) & 0xffffffff, 1);
  EXPECT_EQ(errno, 0);
  ASSERT_OK(ptrace(PTRACE_POKEDATA, pid, &global, Number(42)));
  EXPECT_ERRNO(ptrace(PTRACE_PEEKDATA, pid, BadPointer(), 0), EIO);
  EXPECT_EXITED(Resume(pid), 42);
  EXPECT_EQ(global, 1);
}

TEST(Ptrace, RegistersCanBeReadAndChanged) {
  pid_t pid = Traced([] {
    uint64_t value = 5;
    asm volatile("mov %0, %%r12\n int3\n mov %%r12, %0" : "+r"(value)::"r12");
    return static_cast<int>(value);
  });
  EXPECT_EQ(StopSignal(Resume(pid)), SIGTRAP);
  user_regs_struct regs = {};
  ASSERT_OK(ptrace(PTRACE_GETREGS, pid, 0, &regs));
  EXPECT_EQ(regs.r12, 5u);
  EXPECT_EQ(regs.cs, 0x33u);
  regs.r12 = 77;
  ASSERT_OK(ptrace(PTRACE_SETREGS, pid, 0, &regs));
  EXPECT_EXITED(Resume(pid), 77);
}

TEST(Ptrace, RegisterSets) {
  pid_t pid = Traced([] { return 0; });
  user_regs_struct regs = {}, old = {};
  iovec vector = {&regs, sizeof(regs)};
  ASSERT_OK(ptrace(PTRACE_GETREGSET, pid, Number(NT_PRSTATUS), &vector));
  EXPECT_EQ(vector.iov_len, sizeof(regs));
  ASSERT_OK(ptrace(PTRACE_GETREGS, pid, 0, &old));
  EXPECT_EQ(regs.rip, old.rip);
  user_fpregs_struct fp = {};
  EXPECT_OK(ptrace(PTRACE_GETFPREGS, pid, 0, &fp));
  EXPECT_EQ(fp.mxcsr & 0x1f80, 0x1f80u);
  errno = 0;
  EXPECT_EQ(static_cast<uint64_t>(
                ptrace(PTRACE_PEEKUSER, pid, Number(offsetof(user_regs_struct, rsp)), 0)),
            old.rsp);
  vector = {&regs, sizeof(regs)};
  EXPECT_ERRNO(ptrace(PTRACE_GETREGSET, pid, Number(0x7777), &vector), EINVAL);
  EXPECT_EXITED(Resume(pid), 0);
}

TEST(Ptrace, SystemCallStopsComeInPairs) {
  pid_t pid = Traced([] {
    syscall(SYS_getppid);
    return 0;
  });
  user_regs_struct regs = {};
  // The rest of raise() may make calls of its own first.
  do {
    ASSERT_EQ(StopSignal(Resume(pid, PTRACE_SYSCALL)), SIGTRAP | 0x80);
    ASSERT_OK(ptrace(PTRACE_GETREGS, pid, 0, &regs));
  } while (regs.orig_rax != SYS_getppid);
  EXPECT_EQ(static_cast<long>(regs.rax), -ENOSYS) << "at the entry";
  ASSERT_EQ(StopSignal(Resume(pid, PTRACE_SYSCALL)), SIGTRAP | 0x80);
  ASSERT_OK(ptrace(PTRACE_GETREGS, pid, 0, &regs));
  EXPECT_EQ(regs.orig_rax, static_cast<unsigned long>(SYS_getppid));
  EXPECT_EQ(static_cast<pid_t>(regs.rax), getpid()) << "at the exit";
  EXPECT_EXITED(Resume(pid), 0);
}

TEST(Ptrace, SystemCallCanBeReplacedAtEntryAndItsResultAtExit) {
  pid_t pid = Traced([] { return static_cast<int>(syscall(SYS_getppid)); });
  user_regs_struct regs = {};
  do {
    ASSERT_EQ(StopSignal(Resume(pid, PTRACE_SYSCALL)), SIGTRAP | 0x80);
    ASSERT_OK(ptrace(PTRACE_GETREGS, pid, 0, &regs));
  } while (regs.orig_rax != SYS_getppid);
  regs.orig_rax = -1;
  ASSERT_OK(ptrace(PTRACE_SETREGS, pid, 0, &regs));
  ASSERT_EQ(StopSignal(Resume(pid, PTRACE_SYSCALL)), SIGTRAP | 0x80);
  ASSERT_OK(ptrace(PTRACE_GETREGS, pid, 0, &regs));
  EXPECT_EQ(static_cast<long>(regs.rax), -ENOSYS) << "no call was made";
  regs.rax = 123;
  ASSERT_OK(ptrace(PTRACE_SETREGS, pid, 0, &regs));
  EXPECT_EXITED(Resume(pid), 123);
}

TEST(Ptrace, SinglestepExecutesOneInstruction) {
  pid_t pid = Traced([] {
    asm volatile("int3\n nop\n nop\n nop");
    return 0;
  });
  EXPECT_EQ(StopSignal(Resume(pid)), SIGTRAP);
  user_regs_struct before = {}, after = {};
  ASSERT_OK(ptrace(PTRACE_GETREGS, pid, 0, &before));
  EXPECT_EQ(StopSignal(Resume(pid, PTRACE_SINGLESTEP)), SIGTRAP);
  ASSERT_OK(ptrace(PTRACE_GETREGS, pid, 0, &after));
  EXPECT_EQ(after.rip, before.rip + 1);
  siginfo_t info = {};
  ASSERT_OK(ptrace(PTRACE_GETSIGINFO, pid, 0, &info));
  EXPECT_EQ(info.si_code, TRAP_TRACE);
  EXPECT_EXITED(Resume(pid), 0);
}

TEST(Ptrace, FaultIsSeenByTheTracerFirst) {
  pid_t pid = Traced([] {
    *BadPointer<volatile int>() = 1;
    return 0;
  });
  EXPECT_EQ(StopSignal(Resume(pid)), SIGSEGV);
  siginfo_t info = {};
  ASSERT_OK(ptrace(PTRACE_GETSIGINFO, pid, 0, &info));
  EXPECT_EQ(info.si_addr, BadPointer());
  EXPECT_EQ(info.si_code, SEGV_MAPERR);
  EXPECT_KILLED(Resume(pid, PTRACE_CONT, SIGSEGV), SIGSEGV);
}

TEST(Ptrace, ForkEventReportsTheChild) {
  pid_t pid = Traced([] {
    pid_t child = fork();
    if (child == 0) _exit(4);
    int status;
    waitpid(child, &status, 0);
    return WEXITSTATUS(status);
  });
  ASSERT_OK(ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_EXITKILL | PTRACE_O_TRACEFORK));
  int status = Resume(pid);
  EXPECT_EQ(status >> 8, SIGTRAP | (PTRACE_EVENT_FORK << 8));
  unsigned long child = 0;
  ASSERT_OK(ptrace(PTRACE_GETEVENTMSG, pid, 0, &child));
  EXPECT_EQ(StopSignal(Wait(child)), SIGSTOP) << "the new child starts stopped and traced";
  EXPECT_OK(ptrace(PTRACE_DETACH, child, 0, 0));
  // The parent may be told of its child's death first.
  status = Resume(pid);
  while (WIFSTOPPED(status)) status = Resume(pid, PTRACE_CONT, StopSignal(status));
  EXPECT_EXITED(status, 4);
}

RegisterHelper zero_helper("zero", [](int, char**) { return 0; });

TEST(Ptrace, ExecAndExitEvents) {
  HelperArgv argv("zero");
  pid_t pid = Traced([&] {
    execv(SelfPath().c_str(), argv.data());
    return 95;
  });
  ASSERT_OK(ptrace(PTRACE_SETOPTIONS, pid, 0,
                   PTRACE_O_EXITKILL | PTRACE_O_TRACEEXEC | PTRACE_O_TRACEEXIT));
  EXPECT_EQ(Resume(pid) >> 8, SIGTRAP | (PTRACE_EVENT_EXEC << 8));
  EXPECT_EQ(Resume(pid) >> 8, SIGTRAP | (PTRACE_EVENT_EXIT << 8));
  unsigned long code = 77;
  ASSERT_OK(ptrace(PTRACE_GETEVENTMSG, pid, 0, &code));
  EXPECT_EQ(code, 0u);
  EXPECT_EXITED(Resume(pid), 0);
}

TEST(Ptrace, ExecWithoutTheOptionRaisesSigtrap) {
  HelperArgv argv("zero");
  pid_t pid = Traced([&] {
    execv(SelfPath().c_str(), argv.data());
    return 95;
  });
  EXPECT_EQ(Resume(pid) >> 8, SIGTRAP);
  EXPECT_EXITED(Resume(pid), 0);
}

TEST(Ptrace, AttachStopsAndDetachFrees) {
  pid_t pid = Fork([] {
    for (;;) pause();
    return 0;
  });
  ASSERT_OK(ptrace(PTRACE_ATTACH, pid, 0, 0));
  EXPECT_EQ(StopSignal(Wait(pid)), SIGSTOP);
  std::string status = ReadFile("/proc/" + std::to_string(pid) + "/status");
  EXPECT_NE(status.find("TracerPid:\t" + std::to_string(getpid()) + "\n"), std::string::npos);
  EXPECT_NE(status.find("State:\tt (tracing stop)"), std::string::npos);
  ASSERT_OK(ptrace(PTRACE_DETACH, pid, 0, Number(SIGTERM)));
  EXPECT_KILLED(Wait(pid), SIGTERM);
}

TEST(Ptrace, SeizeAndInterrupt) {
  pid_t pid = Fork([] {
    for (;;) {
    }
    return 0;
  });
  ASSERT_OK(ptrace(PTRACE_SEIZE, pid, 0, PTRACE_O_EXITKILL));
  ASSERT_OK(ptrace(PTRACE_INTERRUPT, pid, 0, 0));
  EXPECT_EQ(Wait(pid) >> 8, SIGTRAP | (PTRACE_EVENT_STOP << 8));
  ASSERT_OK(ptrace(PTRACE_CONT, pid, 0, 0));
  ASSERT_OK(kill(pid, SIGKILL));
  EXPECT_KILLED(Wait(pid), SIGKILL);
}

TEST(Ptrace, KillEndsAStoppedTracee) {
  pid_t pid = Traced([] { return 0; });
  ASSERT_OK(kill(pid, SIGKILL));
  EXPECT_KILLED(Wait(pid), SIGKILL);
}

TEST(Ptrace, Errors) {
  EXPECT_ERRNO(ptrace(PTRACE_ATTACH, getpid(), 0, 0), EPERM);
  EXPECT_ERRNO(ptrace(PTRACE_ATTACH, 0x7ffffff0, 0, 0), ESRCH);
  pid_t pid = Fork([] {
    for (;;) pause();
    return 0;
  });
  EXPECT_ERRNO(ptrace(PTRACE_CONT, pid, 0, 0), ESRCH) << "not traced";
  EXPECT_EXITED(RunChild([&] {
                  CHILD_CHECK(setresuid(1000, 1000, 1000) == 0);
                  CHILD_ERRNO(ptrace(PTRACE_ATTACH, pid, 0, 0), EPERM);
                  return 0;
                }),
                0);
  kill(pid, SIGKILL);
  Wait(pid);
  pid = Traced([] { return 0; });
  EXPECT_ERRNO(ptrace(static_cast<__ptrace_request>(0x9999), pid, 0, 0), EIO);
  EXPECT_ERRNO(ptrace(PTRACE_CONT, pid, 0, Number(99)), EIO);
  EXPECT_ERRNO(ptrace(PTRACE_SETOPTIONS, pid, 0, Number(0x8000000)), EINVAL);
  kill(pid, SIGKILL);
  Wait(pid);
}

}  // namespace
}  // namespace conformance
