// ptrace(2): seizing, group-stops, threads, what tracers that are not parents see
#include <elf.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>

#include <cstddef>
#include <vector>

#include "util/check.h"
#include "util/child.h"
#include "util/clock.h"
#include "util/memory.h"
#include "util/signals.h"

namespace conformance {
namespace {

constexpr int kEventStop = 128;

void* Number(uintptr_t value) { return reinterpret_cast<void*>(value); }

// A child that is seized before its body begins.
pid_t Seized(uintptr_t options, const std::function<int()>& body) {
  int pipe_ends[2];
  EXPECT_OK(pipe(pipe_ends));
  pid_t pid = Fork([&] {
    char go;
    CHILD_CHECK(read(pipe_ends[0], &go, 1) == 1);
    return body();
  });
  EXPECT_OK(ptrace(PTRACE_SEIZE, pid, 0, Number(PTRACE_O_EXITKILL | options)));
  EXPECT_EQ(write(pipe_ends[1], "x", 1), 1);
  close(pipe_ends[0]);
  close(pipe_ends[1]);
  return pid;
}

int WaitAll(pid_t pid) {
  int status = 0;
  EXPECT_EQ(waitpid(pid, &status, __WALL), pid);
  return status;
}

TEST(PtraceSeize, GroupStopListenAndContinuation) {
  pid_t pid = Seized(0, [] {
    raise(SIGSTOP);
    return 5;
  });
  int status = WaitAll(pid);
  ASSERT_EQ(status >> 8, SIGSTOP) << "the signal is delivered first";
  ASSERT_OK(ptrace(PTRACE_CONT, pid, 0, Number(SIGSTOP)));
  status = WaitAll(pid);
  ASSERT_EQ(status >> 8, SIGSTOP | kEventStop << 8);
  siginfo_t info = {};
  ASSERT_OK(ptrace(PTRACE_GETSIGINFO, pid, 0, &info));
  EXPECT_EQ(info.si_code, SIGSTOP | kEventStop << 8);
  ASSERT_OK(ptrace(PTRACE_LISTEN, pid, 0, 0));
  EXPECT_EQ(waitpid(pid, &status, __WALL | WNOHANG), 0);
  user_regs_struct regs;
  EXPECT_ERRNO(ptrace(PTRACE_GETREGS, pid, 0, &regs), ESRCH) << "it only listens";
  ASSERT_OK(kill(pid, SIGCONT));
  status = WaitAll(pid);
  ASSERT_EQ(status >> 8, SIGTRAP | kEventStop << 8);
  ASSERT_OK(ptrace(PTRACE_CONT, pid, 0, 0));
  status = WaitAll(pid);
  ASSERT_EQ(status >> 8, SIGCONT);
  ASSERT_OK(ptrace(PTRACE_CONT, pid, 0, 0));
  EXPECT_EXITED(WaitAll(pid), 5);
}

TEST(PtraceSeize, InterruptedSleepGoesOn) {
  pid_t pid = Seized(0, [] {
    timespec time = {0, 150'000'000};
    return nanosleep(&time, nullptr) == 0 ? 6 : 7;
  });
  SleepMs(50);
  ASSERT_OK(ptrace(PTRACE_INTERRUPT, pid, 0, 0));
  EXPECT_EQ(WaitAll(pid) >> 8, SIGTRAP | kEventStop << 8);
  ASSERT_OK(ptrace(PTRACE_CONT, pid, 0, 0));
  EXPECT_EXITED(WaitAll(pid), 6);
}

TEST(PtraceSeize, CallIsSeenAgainAfterAnIgnoredSignal) {
  int pipe_ends[2];
  ASSERT_OK(pipe(pipe_ends));
  pid_t pid = Seized(PTRACE_O_TRACESYSGOOD, [&] {
    signal(SIGUSR1, SIG_IGN);
    raise(SIGURG);  // ignored by default; where the tracer begins
    char c;
    return read(pipe_ends[0], &c, 1) == 1 ? 8 : 9;
  });
  ASSERT_EQ(WaitAll(pid) >> 8, SIGURG);
  // raise() ends, then read() is entered.
  user_regs_struct regs = {};
  int entries = 0;
  do {
    ASSERT_OK(ptrace(PTRACE_SYSCALL, pid, 0, 0));
    ASSERT_EQ(WaitAll(pid) >> 8, SIGTRAP | 0x80);
    ASSERT_OK(ptrace(PTRACE_GETREGS, pid, 0, &regs));
  } while (!(regs.orig_rax == SYS_read && static_cast<long>(regs.rax) == -ENOSYS) && ++entries < 20);
  ASSERT_OK(ptrace(PTRACE_SYSCALL, pid, 0, 0));
  SleepMs(50);
  ASSERT_OK(kill(pid, SIGUSR1));
  ASSERT_EQ(WaitAll(pid) >> 8, SIGTRAP | 0x80) << "the exit";
  ASSERT_OK(ptrace(PTRACE_GETREGS, pid, 0, &regs));
  EXPECT_EQ(static_cast<long>(regs.rax), -512) << "ERESTARTSYS";
  ASSERT_OK(ptrace(PTRACE_SYSCALL, pid, 0, 0));
  ASSERT_EQ(WaitAll(pid) >> 8, SIGUSR1);
  ASSERT_OK(ptrace(PTRACE_SYSCALL, pid, 0, Number(SIGUSR1)));
  ASSERT_EQ(WaitAll(pid) >> 8, SIGTRAP | 0x80) << "entered again";
  ASSERT_OK(ptrace(PTRACE_GETREGS, pid, 0, &regs));
  EXPECT_EQ(regs.orig_rax, static_cast<unsigned long>(SYS_read));
  ASSERT_EQ(write(pipe_ends[1], "x", 1), 1);
  ASSERT_OK(ptrace(PTRACE_CONT, pid, 0, 0));
  EXPECT_EXITED(WaitAll(pid), 8);
  close(pipe_ends[0]);
  close(pipe_ends[1]);
}

TEST(PtraceSeize, ThreadsAreTracedAndTheirEndsReported) {
  pid_t pid = Seized(PTRACE_O_TRACECLONE, [] {
    pthread_t thread;
    pthread_create(&thread, nullptr, [](void*) -> void* { return nullptr; }, nullptr);
    pthread_join(thread, nullptr);
    return 4;
  });
  ASSERT_EQ(WaitAll(pid) >> 8, SIGTRAP | PTRACE_EVENT_CLONE << 8);
  unsigned long thread = 0;
  ASSERT_OK(ptrace(PTRACE_GETEVENTMSG, pid, 0, &thread));
  pid_t tid = static_cast<pid_t>(thread);
  ASSERT_EQ(WaitAll(tid) >> 8, SIGTRAP | kEventStop << 8) << "the thread begins stopped";
  ASSERT_OK(ptrace(PTRACE_CONT, tid, 0, 0));
  // Before the process goes on: once that has begun to exit its status is told for the thread, too.
  EXPECT_EXITED(WaitAll(tid), 0);
  ASSERT_OK(ptrace(PTRACE_CONT, pid, 0, 0));
  EXPECT_EXITED(WaitAll(pid), 4);
}

TEST(PtraceSeize, TracerThatIsNotTheParentWaitsFirst) {
  pid_t pid = Fork([] {
    for (;;) pause();
    return 0;
  });
  int pipe_ends[2];
  ASSERT_OK(pipe(pipe_ends));
  pid_t tracer = Fork([&] {
    CHILD_CHECK(ptrace(PTRACE_SEIZE, pid, 0, 0) == 0);
    CHILD_CHECK(write(pipe_ends[1], "x", 1) == 1);
    siginfo_t info = {};
    CHILD_CHECK(waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT) == 0);
    usleep(50000);
    int status = 0;
    CHILD_CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    return 0;
  });
  char c;
  ASSERT_EQ(read(pipe_ends[0], &c, 1), 1);
  ASSERT_OK(kill(pid, SIGKILL));
  EXPECT_KILLED(WaitAll(pid), SIGKILL) << "after the tracer";
  EXPECT_EXITED(WaitAll(tracer), 0);
  close(pipe_ends[0]);
  close(pipe_ends[1]);
}

TEST(PtraceSeize, EndOfTheTracerFreesOrKills) {
  for (bool kill_too : {false, true}) {
    pid_t pid = Fork([] {
      usleep(200000);
      return 3;
    });
    EXPECT_EXITED(RunChild([&] {
                    uintptr_t options = kill_too ? PTRACE_O_EXITKILL : 0;
                    CHILD_CHECK(ptrace(PTRACE_SEIZE, pid, 0, Number(options)) == 0);
                    CHILD_CHECK(ptrace(PTRACE_INTERRUPT, pid, 0, 0) == 0);
                    int status = 0;
                    CHILD_CHECK(waitpid(pid, &status, 0) == pid && WIFSTOPPED(status));
                    return 0;
                  }),
                  0);
    if (kill_too) {
      EXPECT_KILLED(WaitAll(pid), SIGKILL);
    } else {
      EXPECT_EXITED(WaitAll(pid), 3);
    }
  }
}

TEST(PtraceSeize, SyscallInfo) {
  pid_t pid = Seized(PTRACE_O_TRACESYSGOOD, [] {
    raise(SIGURG);
    syscall(SYS_close, 12345);
    return 0;
  });
  ASSERT_EQ(WaitAll(pid) >> 8, SIGURG);
  struct Info {
    uint8_t op, pad[3];
    uint32_t arch;
    uint64_t ip, sp, data[8];
  } info = {};
  constexpr auto kGetInfo = static_cast<__ptrace_request>(0x420e);
  ASSERT_EQ(ptrace(kGetInfo, pid, Number(sizeof info), &info), 24);
  EXPECT_EQ(info.op, 0);
  for (int i = 0; i < 20 && !(info.op == 1 && info.data[0] == SYS_close); i++) {
    ASSERT_OK(ptrace(PTRACE_SYSCALL, pid, 0, 0));
    ASSERT_EQ(WaitAll(pid) >> 8, SIGTRAP | 0x80);
    ASSERT_OK(ptrace(kGetInfo, pid, Number(sizeof info), &info));
  }
  EXPECT_EQ(info.arch, static_cast<uint32_t>(AUDIT_ARCH_X86_64));
  EXPECT_EQ(info.data[1], 12345u);
  ASSERT_OK(ptrace(PTRACE_SYSCALL, pid, 0, 0));
  ASSERT_EQ(WaitAll(pid) >> 8, SIGTRAP | 0x80);
  ASSERT_EQ(ptrace(kGetInfo, pid, Number(sizeof info), &info), 33);
  EXPECT_EQ(info.op, 2);
  EXPECT_EQ(static_cast<int64_t>(info.data[0]), -EBADF);
  EXPECT_EQ(info.data[1] & 0xff, 1u);
  ASSERT_OK(ptrace(PTRACE_CONT, pid, 0, 0));
  EXPECT_EXITED(WaitAll(pid), 0);
}

TEST(PtraceSeize, ExtendedStateRoundTrip) {
  pid_t pid = Seized(0, [] {
    raise(SIGURG);
    return 0;
  });
  ASSERT_EQ(WaitAll(pid) >> 8, SIGURG);
  std::vector<uint8_t> state(16384);
  iovec vector = {state.data(), state.size()};
  ASSERT_OK(ptrace(PTRACE_GETREGSET, pid, Number(NT_X86_XSTATE), &vector));
  EXPECT_GE(vector.iov_len, 576u);
  EXPECT_LT(vector.iov_len, state.size());
  uint64_t features = 0;
  memcpy(&features, state.data() + 464, 8);
  EXPECT_EQ(features & 3, 3u);
  EXPECT_OK(ptrace(PTRACE_SETREGSET, pid, Number(NT_X86_XSTATE), &vector));
  ASSERT_OK(ptrace(PTRACE_CONT, pid, 0, 0));
  EXPECT_EXITED(WaitAll(pid), 0);
}

TEST(PtraceSeize, SeccompEventAndSkippedCall) {
  pid_t pid = Seized(PTRACE_O_TRACESECCOMP, [] {
    sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE | 7),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    sock_fprog header = {4, program};
    CHILD_CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    CHILD_CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &header) == 0);
    return static_cast<int>(syscall(SYS_getppid));
  });
  ASSERT_EQ(WaitAll(pid) >> 8, SIGTRAP | PTRACE_EVENT_SECCOMP << 8);
  unsigned long data = 0;
  ASSERT_OK(ptrace(PTRACE_GETEVENTMSG, pid, 0, &data));
  EXPECT_EQ(data, 7u);
  user_regs_struct regs = {};
  ASSERT_OK(ptrace(PTRACE_GETREGS, pid, 0, &regs));
  EXPECT_EQ(regs.orig_rax, static_cast<unsigned long>(SYS_getppid));
  regs.orig_rax = -1;
  regs.rax = 44;
  ASSERT_OK(ptrace(PTRACE_SETREGS, pid, 0, &regs));
  ASSERT_OK(ptrace(PTRACE_CONT, pid, 0, 0));
  EXPECT_EXITED(WaitAll(pid), 44);
}

TEST(PtraceSeize, SteppingIntoAHandlerAndOverACall) {
  pid_t pid = Seized(0, [] {
    signal(SIGUSR2, [](int) {});
    raise(SIGUSR2);
    return 0;
  });
  ASSERT_EQ(WaitAll(pid) >> 8, SIGUSR2);
  user_regs_struct before = {}, after = {};
  ASSERT_OK(ptrace(PTRACE_GETREGS, pid, 0, &before));
  ASSERT_OK(ptrace(PTRACE_SINGLESTEP, pid, 0, Number(SIGUSR2)));
  ASSERT_EQ(WaitAll(pid) >> 8, SIGTRAP);
  ASSERT_OK(ptrace(PTRACE_GETREGS, pid, 0, &after));
  EXPECT_EQ(after.rdi, static_cast<unsigned long>(SIGUSR2)) << "at the first instruction of the handler";
  EXPECT_EQ(after.eflags & 0x100, 0u);
  for (int i = 0; i < 20; i++) {
    ASSERT_OK(ptrace(PTRACE_SINGLESTEP, pid, 0, 0));
    ASSERT_EQ(WaitAll(pid) >> 8, SIGTRAP) << i;
  }
  ASSERT_OK(ptrace(PTRACE_DETACH, pid, 0, 0));
  EXPECT_EXITED(Wait(pid), 0);
}

TEST(PtraceSeize, TwoThatTraceEachOtherDie) {
  pid_t first = Fork([] {
    for (;;) pause();
    return 0;
  });
  pid_t second = Fork([&] {
    CHILD_CHECK(ptrace(PTRACE_SEIZE, first, 0, Number(PTRACE_O_TRACEEXIT)) == 0);
    for (;;) pause();
    return 0;
  });
  SleepMs(50);
  ASSERT_OK(kill(first, SIGTERM));
  SleepMs(50);
  ASSERT_OK(kill(second, SIGKILL));
  EXPECT_KILLED(Wait(second), SIGKILL);
  int status = Wait(first);
  EXPECT_TRUE(WIFSIGNALED(status)) << status;
}

}  // namespace
}  // namespace conformance
