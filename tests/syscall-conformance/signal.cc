// sigaction(2), kill(2), sigprocmask(2), signal(7)
#include <poll.h>
#include <sys/syscall.h>
#include <ucontext.h>

#include <algorithm>
#include <atomic>

#include "util/check.h"
#include "util/child.h"
#include "util/clock.h"
#include "util/fd.h"
#include "util/memory.h"
#include "util/signals.h"

namespace conformance {
namespace {

std::atomic<int> count, last;
siginfo_t last_info;

void Count(int signal) {
  count = count + 1;
  last = signal;
}
void Record(int signal, siginfo_t* info, void*) {
  Count(signal);
  last_info = *info;
}

struct Signal : testing::Test {
  Signal() { count = 0, last = 0; }
};
using Kill = Signal;
using Sigaction = Signal;
using Sigprocmask = Signal;

TEST_F(Kill, HandlerRunsBeforeKillReturns) {
  ScopedHandler handler(SIGUSR1, Count);
  ASSERT_OK(kill(getpid(), SIGUSR1));
  EXPECT_EQ(count, 1);
  EXPECT_EQ(last, SIGUSR1);
}

TEST_F(Kill, SiginfoOfKillTgkillAndRaise) {
  ScopedHandler handler(SIGUSR1, Record);
  ASSERT_OK(kill(getpid(), SIGUSR1));
  EXPECT_EQ(last_info.si_signo, SIGUSR1);
  EXPECT_EQ(last_info.si_code, SI_USER);
  EXPECT_EQ(last_info.si_pid, getpid());
  EXPECT_EQ(last_info.si_uid, getuid());
  ASSERT_OK(syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), SIGUSR1));
  EXPECT_EQ(last_info.si_code, SI_TKILL);
  EXPECT_EQ(count, 2);
}

TEST_F(Kill, Errors) {
  EXPECT_ERRNO(kill(getpid(), 65), EINVAL);
  EXPECT_ERRNO(kill(getpid(), -1), EINVAL);
  EXPECT_ERRNO(kill(0x7ffffff0, 0), ESRCH);
  EXPECT_OK(kill(getpid(), 0));
  EXPECT_ERRNO(syscall(SYS_tgkill, getpid(), -1, SIGUSR1), EINVAL);
  EXPECT_ERRNO(syscall(SYS_tgkill, 0x7ffffff0, 0x7ffffff0, 0), ESRCH);
  EXPECT_ERRNO(syscall(SYS_tkill, 0, SIGUSR1), EINVAL);
}

TEST_F(Kill, UnprivilegedMayNotSignalOthers) {
  pid_t root_process = Fork([] {
    for (;;) pause();
    return 0;
  });
  EXPECT_EXITED(RunChild([&] {
                  CHILD_CHECK(setresgid(1000, 1000, 1000) == 0);
                  CHILD_CHECK(setresuid(1000, 1000, 1000) == 0);
                  CHILD_ERRNO(kill(root_process, SIGTERM), EPERM);
                  CHILD_ERRNO(kill(root_process, 0), EPERM);
                  return 0;
                }),
                0);
  ASSERT_OK(kill(root_process, SIGKILL));
  EXPECT_KILLED(Wait(root_process), SIGKILL);
}

TEST_F(Kill, ProcessGroupReceivesIt) {
  EXPECT_EXITED(RunChild([] {
                  CHILD_CHECK(setpgid(0, 0) == 0);
                  pid_t children[3];
                  for (pid_t& child : children) {
                    child = Fork([] {
                      for (;;) pause();
                      return 0;
                    });
                  }
                  signal(SIGTERM, SIG_IGN);
                  SleepMs(10);
                  CHILD_CHECK(kill(0, SIGTERM) == 0);
                  for (pid_t child : children) {
                    int status;
                    CHILD_CHECK(waitpid(child, &status, 0) == child);
                    CHILD_CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
                  }
                  return 0;
                }),
                0);
}

TEST_F(Sigaction, ReturnsTheOldAction) {
  struct sigaction action = {}, old = {};
  action.sa_handler = Count;
  action.sa_flags = SA_RESTART | SA_NODEFER;
  sigaddset(&action.sa_mask, SIGUSR2);
  ASSERT_OK(sigaction(SIGUSR1, &action, &old));
  EXPECT_EQ(old.sa_handler, SIG_DFL);
  struct sigaction now = {};
  ASSERT_OK(sigaction(SIGUSR1, &old, &now));
  EXPECT_EQ(now.sa_handler, Count);
  EXPECT_EQ(now.sa_flags & (SA_RESTART | SA_NODEFER), SA_RESTART | SA_NODEFER);
  EXPECT_TRUE(sigismember(&now.sa_mask, SIGUSR2));
}

TEST_F(Sigaction, KillAndStopCannotBeCaught) {
  struct sigaction action = {};
  action.sa_handler = Count;
  EXPECT_ERRNO(sigaction(SIGKILL, &action, nullptr), EINVAL);
  EXPECT_ERRNO(sigaction(SIGSTOP, &action, nullptr), EINVAL);
  EXPECT_OK(sigaction(SIGKILL, nullptr, &action));
  EXPECT_ERRNO(syscall(SYS_rt_sigaction, 65, nullptr, nullptr, 8), EINVAL);
  EXPECT_ERRNO(syscall(SYS_rt_sigaction, 0, nullptr, nullptr, 8), EINVAL);
  EXPECT_ERRNO(syscall(SYS_rt_sigaction, SIGUSR1, nullptr, nullptr, 16), EINVAL);
  EXPECT_ERRNO(syscall(SYS_rt_sigaction, SIGUSR1, BadPointer(), nullptr, 8), EFAULT);
}

TEST_F(Sigaction, ResethandActsOnce) {
  EXPECT_KILLED(RunChild([] {
                  ScopedHandler handler(SIGUSR1, Count, SA_RESETHAND);
                  raise(SIGUSR1);
                  CHILD_CHECK(count == 1);
                  raise(SIGUSR1);
                  return 1;
                }),
                SIGUSR1);
}

std::atomic<int> depth, max_depth;
void Nest(int signal) {
  depth = depth + 1;
  if (depth > max_depth) max_depth = depth.load();
  if (depth < 3 && count++ < 2) raise(signal);
  depth = depth - 1;
}

TEST_F(Sigaction, SignalIsBlockedInItsHandlerUnlessNodefer) {
  {
    ScopedHandler handler(SIGUSR1, Nest);
    depth = 0, max_depth = 0, count = 0;
    raise(SIGUSR1);
    EXPECT_EQ(max_depth, 1);
  }
  ScopedHandler handler(SIGUSR1, Nest, SA_NODEFER);
  depth = 0, max_depth = 0, count = 0;
  raise(SIGUSR1);
  EXPECT_EQ(max_depth, 3);
}

sigset_t mask_in_handler;
TEST_F(Sigaction, HandlerMaskIsAddedAndRemoved) {
  struct sigaction action = {}, old;
  action.sa_handler = [](int) { sigprocmask(SIG_BLOCK, nullptr, &mask_in_handler); };
  sigaddset(&action.sa_mask, SIGUSR2);
  ASSERT_OK(sigaction(SIGUSR1, &action, &old));
  raise(SIGUSR1);
  sigset_t after;
  sigprocmask(SIG_BLOCK, nullptr, &after);
  EXPECT_TRUE(sigismember(&mask_in_handler, SIGUSR1));
  EXPECT_TRUE(sigismember(&mask_in_handler, SIGUSR2));
  EXPECT_FALSE(sigismember(&after, SIGUSR1));
  EXPECT_FALSE(sigismember(&after, SIGUSR2));
  sigaction(SIGUSR1, &old, nullptr);
}

TEST_F(Sigaction, HandlerMayChangeTheReturnContext) {
  ScopedHandler handler(
      SIGUSR1, +[](int, siginfo_t*, void* context) {
        auto* uc = static_cast<ucontext_t*>(context);
        uc->uc_mcontext.gregs[REG_R12] = 0x4242;
        sigaddset(&uc->uc_sigmask, SIGUSR2);
      });
  uint64_t r12;
  pid_t pid = getpid();
  asm volatile("mov $0, %%r12\n syscall\n mov %%r12, %0\n"
               : "=r"(r12)
               : "a"(SYS_kill), "D"(pid), "S"(SIGUSR1)
               : "rcx", "r11", "r12", "memory");
  EXPECT_EQ(r12, 0x4242u);
  sigset_t mask;
  sigprocmask(SIG_BLOCK, nullptr, &mask);
  EXPECT_TRUE(sigismember(&mask, SIGUSR2));
  mask = SignalSet({SIGUSR2});
  sigprocmask(SIG_UNBLOCK, &mask, nullptr);
}

TEST_F(Sigaction, HandlerMayClobberVectorRegisters) {
  ScopedHandler handler(SIGUSR1, +[](int) {
    asm volatile("pcmpeqd %%xmm7, %%xmm7\n pxor %%xmm0, %%xmm0" ::: "xmm0", "xmm7");
  });
  double wanted = 3.5, got = 0;
  pid_t pid = getpid();
  asm volatile("movsd %2, %%xmm7\n syscall\n movsd %%xmm7, %0\n"
               : "=m"(got)
               : "a"(SYS_kill), "m"(wanted), "D"(pid), "S"(SIGUSR1)
               : "rcx", "r11", "xmm7", "memory");
  EXPECT_EQ(got, wanted);
}

TEST_F(Sigaction, DirectionFlagIsClearInHandlerAndRestored) {
  static volatile uint64_t flags_in_handler;
  ScopedHandler handler(SIGUSR1, +[](int) {
    uint64_t flags;
    asm volatile("pushf\n pop %0" : "=r"(flags));
    flags_in_handler = flags;
  });
  uint64_t after;
  pid_t pid = getpid();
  asm volatile("sub $128, %%rsp\n std\n syscall\n pushf\n cld\n pop %0\n add $128, %%rsp\n"
               : "=r"(after)
               : "a"(SYS_kill), "D"(pid), "S"(SIGUSR1)
               : "rcx", "r11", "memory", "cc");
  EXPECT_EQ(flags_in_handler & 0x400, 0u);
  EXPECT_EQ(after & 0x400, 0x400u);
}

TEST_F(Sigprocmask, BlockedSignalIsPendingOnceUntilUnblocked) {
  ScopedHandler handler(SIGUSR1, Count);
  {
    ScopedBlock block({SIGUSR1});
    for (int i = 0; i < 3; i++) kill(getpid(), SIGUSR1);
    sigset_t pending;
    ASSERT_OK(sigpending(&pending));
    EXPECT_TRUE(sigismember(&pending, SIGUSR1));
    EXPECT_EQ(count, 0);
  }
  EXPECT_EQ(count, 1);
}

TEST_F(Sigprocmask, RealTimeSignalsQueueInOrder) {
  static int order[8];
  ScopedHandler low(
      SIGRTMIN, +[](int, siginfo_t* info, void*) { order[count++] = info->si_int; });
  ScopedHandler high(
      SIGRTMIN + 1, +[](int, siginfo_t* info, void*) { order[count++] = info->si_int; });
  {
    ScopedBlock block({SIGRTMIN, SIGRTMIN + 1});
    for (int i = 1; i <= 2; i++) {
      ASSERT_OK(sigqueue(getpid(), SIGRTMIN + 1, sigval{.sival_int = 10 + i}));
      ASSERT_OK(sigqueue(getpid(), SIGRTMIN, sigval{.sival_int = i}));
    }
  }
  // All frames are set up before the first handler runs, so the last one set up runs first; each
  // blocks its own number only.
  EXPECT_EQ(count, 4);
  EXPECT_LT(std::find(order, order + 4, 1), std::find(order, order + 4, 2));
  EXPECT_LT(std::find(order, order + 4, 11), std::find(order, order + 4, 12));
}

TEST_F(Sigprocmask, KillAndStopCannotBeBlocked) {
  sigset_t all, now;
  sigfillset(&all);
  sigset_t old;
  ASSERT_OK(sigprocmask(SIG_SETMASK, &all, &old));
  sigprocmask(SIG_SETMASK, &old, &now);
  EXPECT_FALSE(sigismember(&now, SIGKILL));
  EXPECT_FALSE(sigismember(&now, SIGSTOP));
  EXPECT_TRUE(sigismember(&now, SIGTERM));
  EXPECT_ERRNO(sigprocmask(77, &all, nullptr), EINVAL);
  EXPECT_ERRNO(syscall(SYS_rt_sigprocmask, SIG_BLOCK, &all, nullptr, 4), EINVAL);
  EXPECT_ERRNO(syscall(SYS_rt_sigprocmask, SIG_BLOCK, BadPointer(), nullptr, 8), EFAULT);
}

TEST_F(Sigprocmask, MaskIsPerThreadAndInherited) {
  ScopedBlock block({SIGUSR1});
  bool inherited = false;
  std::thread other([&] {
    sigset_t mask;
    pthread_sigmask(SIG_BLOCK, nullptr, &mask);
    inherited = sigismember(&mask, SIGUSR1);
    mask = SignalSet({SIGUSR2});
    pthread_sigmask(SIG_BLOCK, &mask, nullptr);
  });
  other.join();
  EXPECT_TRUE(inherited);
  sigset_t mask;
  pthread_sigmask(SIG_BLOCK, nullptr, &mask);
  EXPECT_FALSE(sigismember(&mask, SIGUSR2));
}

TEST_F(Sigprocmask, ProcessSignalGoesToAThreadThatTakesIt) {
  ScopedHandler handler(SIGUSR1, Count);
  std::atomic<bool> stop = false;
  std::thread other([&] {
    while (!stop) SleepMs(2);
  });
  {
    ScopedBlock block({SIGUSR1});
    ASSERT_OK(kill(getpid(), SIGUSR1));
    for (int i = 0; i < 200 && count == 0; i++) SleepMs(5);
    EXPECT_EQ(count, 1) << "the other thread has it unblocked";
  }
  stop = true;
  other.join();
}

TEST_F(Signal, IgnoredSignalIsDropped) {
  ScopedHandler handler(SIGUSR1, SIG_IGN);
  {
    ScopedBlock block({SIGUSR1});
    raise(SIGUSR1);
  }
  sigset_t pending;
  sigpending(&pending);
  EXPECT_FALSE(sigismember(&pending, SIGUSR1));
}

TEST_F(Signal, DefaultActions) {
  for (int signal : {SIGCHLD, SIGURG, SIGWINCH, SIGCONT}) EXPECT_OK(raise(signal));
  for (int signal : {SIGHUP, SIGINT, SIGPIPE, SIGALRM, SIGUSR2, SIGPOLL, SIGPROF, SIGVTALRM}) {
    EXPECT_KILLED(RunChild([signal] { return raise(signal); }), signal);
  }
}

TEST_F(Signal, StopAndContinueOfABusyChild) {
  SharedMemory memory;
  auto* ticks = memory.as<volatile uint64_t>();
  pid_t pid = Fork([&] {
    for (;;) *ticks = *ticks + 1;
    return 0;
  });
  while (*ticks == 0) SleepMs(1);
  int status;
  ASSERT_OK(kill(pid, SIGSTOP));
  ASSERT_EQ(waitpid(pid, &status, WUNTRACED), pid);
  uint64_t seen = *ticks;
  SleepMs(30);
  EXPECT_EQ(*ticks, seen);
  ASSERT_OK(kill(pid, SIGCONT));
  for (int i = 0; i < 500 && *ticks == seen; i++) SleepMs(2);
  EXPECT_NE(*ticks, seen);
  ASSERT_OK(kill(pid, SIGKILL));
  EXPECT_KILLED(Wait(pid), SIGKILL);
}

TEST_F(Signal, InterruptsABusyLoop) {
  ScopedHandler handler(SIGUSR1, Count);
  pthread_t self = pthread_self();
  std::thread other([self] {
    SleepMs(20);
    pthread_kill(self, SIGUSR1);
  });
  while (count == 0) {
  }
  other.join();
  EXPECT_EQ(count, 1);
}

TEST_F(Signal, SigchldTellsHowTheChildEnded) {
  ScopedHandler handler(SIGCHLD, Record);
  pid_t pid = Fork([] { return 5; });
  Wait(pid);
  EXPECT_EQ(count, 1);
  EXPECT_EQ(last_info.si_code, CLD_EXITED);
  EXPECT_EQ(last_info.si_status, 5);
  EXPECT_EQ(last_info.si_pid, pid);
}

TEST_F(Signal, NocldstopSuppressesStopNotices) {
  ScopedHandler handler(SIGCHLD, Record, SA_NOCLDSTOP);
  pid_t pid = Fork([] { return raise(SIGSTOP); });
  int status;
  ASSERT_EQ(waitpid(pid, &status, WUNTRACED), pid);
  SleepMs(10);
  EXPECT_EQ(count, 0);
  kill(pid, SIGCONT);
  Wait(pid);
  EXPECT_EQ(count, 1);
}

TEST_F(Signal, NocldwaitReapsWithoutZombie) {
  ScopedHandler handler(SIGCHLD, Record, SA_NOCLDWAIT);
  Fork([] { return 0; });
  int status;
  EXPECT_ERRNO(wait(&status), ECHILD);
}

TEST_F(Signal, ForgedReturnFrameKills) {
  // rt_sigreturn with a stack that holds no frame must be a fault of the process, nothing worse.
  EXPECT_KILLED(RunChild([] {
                  asm volatile("mov $16, %%rsp\n mov $15, %%eax\n syscall" ::: "memory");
                  return 0;
                }),
                SIGSEGV);
}

TEST_F(Signal, KilledWhileBlockedInAnyCall) {
  int ends[2];
  ASSERT_OK(pipe(ends));
  Fd reader(ends[0]), writer(ends[1]);
  std::function<void()> calls[] = {[&] {
                                     char c;
                                     static_cast<void>(read(reader, &c, 1) == 0);
                                   },
                                   [] { pause(); },
                                   [] { poll(nullptr, 0, -1); },
                                   [] { sleep(100); }};
  for (auto& call : calls) {
    pid_t pid = Fork([&] {
      call();
      return 0;
    });
    SleepMs(20);
    ASSERT_OK(kill(pid, SIGKILL));
    EXPECT_KILLED(Wait(pid), SIGKILL);
  }
}

}  // namespace
}  // namespace conformance
