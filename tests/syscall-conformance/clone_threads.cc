// clone(2), clone3(2), set_tid_address(2), exit_group(2), arch_prctl(2), pidfd_open(2), threads
#include <asm/prctl.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <atomic>

#include "util/check.h"
#include "util/child.h"
#include "util/clock.h"
#include "util/fd.h"
#include "util/memory.h"
#include "util/signals.h"
#include "util/temp_dir.h"

namespace conformance {
namespace {

pid_t Gettid() { return syscall(SYS_gettid); }

TEST(Threads, ShareMemoryAndPidButNotTid) {
  int value = 0;
  pid_t pid = 0, tid = 0;
  std::thread other([&] {
    value = 1;
    pid = getpid();
    tid = Gettid();
  });
  other.join();
  EXPECT_EQ(value, 1);
  EXPECT_EQ(pid, getpid());
  EXPECT_NE(tid, Gettid());
}

TEST(Threads, ShareDescriptorsAndWorkingDirectory) {
  TempDir dir;
  char old[4096], now[4096];
  ASSERT_NE(getcwd(old, sizeof(old)), nullptr);
  int fd = -1;
  std::thread other([&] {
    fd = open("/", O_RDONLY);
    EXPECT_OK(chdir(dir.c_str()));
  });
  other.join();
  EXPECT_OK(fcntl(fd, F_GETFD));
  close(fd);
  ASSERT_NE(getcwd(now, sizeof(now)), nullptr);
  EXPECT_EQ(dir.path(), now);
  EXPECT_OK(chdir(old));
}

TEST(Threads, AtomicCounterIsExact) {
  std::atomic<int> counter = 0;
  int plain = 0;
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; t++) {
    threads.emplace_back([&] {
      for (int i = 0; i < 2000; i++) {
        counter++;
        pthread_mutex_lock(&mutex);
        plain++;
        pthread_mutex_unlock(&mutex);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(counter, 16000);
  EXPECT_EQ(plain, 16000);
}

TEST(Threads, HundredAtOnce) {
  std::atomic<int> running = 0, go = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 100; t++) {
    threads.emplace_back([&] {
      running++;
      while (!go) SleepMs(1);
    });
  }
  while (running < 100) SleepMs(1);
  go = 1;
  for (auto& thread : threads) thread.join();
}

TEST(Threads, ThreadLocalStorageIsSeparate) {
  static thread_local int local = 5;
  local = 6;
  int seen = 0;
  std::thread other([&] { seen = local; });
  other.join();
  EXPECT_EQ(seen, 5);
  EXPECT_EQ(local, 6);
}

TEST(Threads, ExitGroupEndsAll) {
  EXPECT_EXITED(RunChild([] {
                  std::thread([] { syscall(SYS_exit_group, 9); }).detach();
                  for (;;) pause();
                  return 1;
                }),
                9);
}

TEST(Threads, MainThreadMayExitFirst) {
  // The process lives on until its last thread ends, with the code of the group's exit.
  EXPECT_EXITED(RunChild([] {
                  std::thread([] {
                    SleepMs(50);
                    syscall(SYS_exit_group, 4);
                  }).detach();
                  syscall(SYS_exit, 3);
                  return 1;
                }),
                4);
}

TEST(Threads, FatalFaultInOneEndsAll) {
  EXPECT_KILLED(RunChild([] {
                  std::thread([] { *BadPointer<volatile int>() = 1; }).detach();
                  for (;;) pause();
                  return 1;
                }),
                SIGSEGV);
}

TEST(Threads, FloatingPointStateIsKeptAcrossSwitches) {
  std::vector<std::thread> threads;
  std::atomic<int> bad = 0;
  for (int t = 1; t <= 4; t++) {
    threads.emplace_back([t, &bad] {
      double wanted = t * 1.25, got = 0;
      for (int i = 0; i < 2000; i++) {
        // On a busy machine each yield costs a time slice, so most calls are cheap ones.
        long number = i % 50 == 0 ? SYS_sched_yield : SYS_getpid;
        asm volatile(
            "movsd %2, %%xmm7\n syscall\n movsd %%xmm7, %0\n"
            : "=m"(got), "+a"(number)
            : "m"(wanted)
            : "rcx", "r11", "xmm7", "memory");
        if (got != wanted) bad++;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(bad, 0);
}

TEST(Syscall, ClobbersOnlyRaxRcxR11) {
  uint64_t in[8] = {1, 2, 3, 4, 5, 6, 7, 8}, out[8] = {};
  asm volatile(
      "mov 0(%0), %%rdi\n mov 8(%0), %%rsi\n mov 16(%0), %%rdx\n mov 24(%0), %%r10\n"
      "mov 32(%0), %%r8\n mov 40(%0), %%r9\n mov 48(%0), %%r12\n mov 56(%0), %%r13\n"
      "mov $39, %%eax\n syscall\n"  // getpid
      "mov %%rdi, 0(%1)\n mov %%rsi, 8(%1)\n mov %%rdx, 16(%1)\n mov %%r10, 24(%1)\n"
      "mov %%r8, 32(%1)\n mov %%r9, 40(%1)\n mov %%r12, 48(%1)\n mov %%r13, 56(%1)\n"
      :
      : "b"(in), "r"(static_cast<uint64_t*>(out))
      : "rax", "rcx", "r11", "rdi", "rsi", "rdx", "r10", "r8", "r9", "r12", "r13", "memory");
  for (int i = 0; i < 8; i++) EXPECT_EQ(out[i], in[i]) << i;
}

TEST(Syscall, RedZoneIsUntouched) {
  // The 128 bytes below the stack pointer belong to the function, also across a system call.
  uint64_t sum = 0;
  asm volatile(
      "movq $0x1234, -8(%%rsp)\n movq $0x5678, -128(%%rsp)\n"
      "mov $39, %%eax\n syscall\n"
      "mov -8(%%rsp), %0\n add -128(%%rsp), %0\n"
      : "=r"(sum)
      :
      : "rax", "rcx", "r11", "memory");
  EXPECT_EQ(sum, 0x1234u + 0x5678u);
}

int ReturnArgument(void* argument) { return *static_cast<int*>(argument); }

struct Stack : PrivateMemory {
  Stack() : PrivateMemory(16 * kPage) {}
  void* top() { return page(16); }
};

TEST(Clone, ChildReportsTheChosenSignal) {
  ScopedBlock block({SIGUSR1});
  Stack stack;
  int code = 21, status;
  pid_t pid = clone(ReturnArgument, stack.top(), SIGUSR1, &code);
  ASSERT_OK(pid);
  EXPECT_EQ(waitpid(pid, &status, __WALL), pid);
  EXPECT_EXITED(status, 21);
  sigset_t set = SignalSet({SIGUSR1});
  siginfo_t info;
  timespec limit = {2, 0};
  EXPECT_EQ(sigtimedwait(&set, &info, &limit), SIGUSR1);
  EXPECT_EQ(info.si_pid, pid);
}

TEST(Clone, WithoutSigchldNeedsWclone) {
  Stack stack;
  int code = 3, status;
  pid_t pid = clone(ReturnArgument, stack.top(), 0, &code);
  ASSERT_OK(pid);
  EXPECT_ERRNO(waitpid(pid, &status, 0), ECHILD);
  EXPECT_EQ(waitpid(pid, &status, __WCLONE), pid);
  EXPECT_EXITED(status, 3);
}

TEST(Clone, VmIsSharedWhenAsked) {
  Stack stack;
  volatile int value = 0;
  int status;
  pid_t pid = clone(
      [](void* p) {
        *static_cast<volatile int*>(p) = 8;
        return 0;
      },
      stack.top(), CLONE_VM | SIGCHLD, const_cast<int*>(&value));
  ASSERT_EQ(waitpid(pid, &status, 0), pid);
  EXPECT_EQ(value, 8);
}

TEST(Clone, FilesAreSharedWhenAsked) {
  Stack stack;
  int status, fd = open("/", O_RDONLY);
  auto close_it = [](void* p) { return close(*static_cast<int*>(p)); };
  pid_t pid = clone(close_it, stack.top(), CLONE_FILES | SIGCHLD, &fd);
  ASSERT_EQ(waitpid(pid, &status, 0), pid);
  EXPECT_ERRNO(fcntl(fd, F_GETFD), EBADF);
}

TEST(Clone, FsIsSharedWhenAsked) {
  EXPECT_EXITED(RunChild([] {
                  Stack stack;
                  int status;
                  CHILD_CHECK(chdir("/") == 0);
                  umask(022);
                  auto change = [](void*) {
                    umask(077);
                    return chdir("/proc");
                  };
                  pid_t pid = clone(change, stack.top(), CLONE_FS | SIGCHLD, nullptr);
                  CHILD_CHECK(waitpid(pid, &status, 0) == pid);
                  char cwd[64];
                  CHILD_CHECK(getcwd(cwd, sizeof(cwd)) && std::string(cwd) == "/proc");
                  CHILD_CHECK(umask(0) == 077);
                  return 0;
                }),
                0);
}

TEST(Clone, ParentFlagMakesASibling) {
  // The grandchild becomes a child of this process.
  int ends[2];
  ASSERT_OK(pipe(ends));
  pid_t pid = Fork([&] {
    Stack stack;
    int code = 11;
    pid_t sibling = clone(ReturnArgument, stack.top(), CLONE_PARENT | SIGCHLD, &code);
    CHILD_CHECK(write(ends[1], &sibling, sizeof(sibling)) == sizeof(sibling));
    return 0;
  });
  pid_t sibling = 0;
  ASSERT_EQ(read(ends[0], &sibling, sizeof(sibling)), static_cast<ssize_t>(sizeof(sibling)));
  EXPECT_EXITED(Wait(pid), 0);
  EXPECT_EXITED(Wait(sibling), 11);
  close(ends[0]);
  close(ends[1]);
}

TEST(Clone, SettidAndCleartid) {
  Stack stack;
  std::atomic<int> parent_tid = 0, child_tid = -1;
  auto body = [](void*) {
    SleepMs(20);
    syscall(SYS_exit, 0);
    return 0;
  };
  int flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD |
              CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID;
  int tid = clone(body, stack.top(), flags, nullptr, reinterpret_cast<pid_t*>(&parent_tid), nullptr,
                  reinterpret_cast<pid_t*>(&child_tid));
  ASSERT_OK(tid);
  EXPECT_EQ(parent_tid, tid);
  // The kernel clears the word and wakes its waiters when the thread is gone.
  for (int seen = child_tid; seen != 0; seen = child_tid) {
    timespec limit = {2, 0};
    syscall(SYS_futex, &child_tid, FUTEX_WAIT, seen, &limit, nullptr, 0);
  }
}

TEST(Clone, InvalidFlagCombinations) {
  Stack stack;
  int code = 0;
  for (int flags : {CLONE_THREAD, CLONE_SIGHAND, CLONE_THREAD | CLONE_SIGHAND,
                    CLONE_FS | CLONE_NEWNS}) {
    EXPECT_ERRNO(syscall(SYS_clone, flags, 0, 0, 0, 0), EINVAL) << flags;
  }
  EXPECT_EQ(code, 0);
}

TEST(Clone3, WorksLikeForkAndChecksItsArguments) {
  clone_args args = {};
  args.exit_signal = SIGCHLD;
  pid_t pid = syscall(SYS_clone3, &args, sizeof(args));
  if (pid == 0) _exit(13);
  ASSERT_OK(pid);
  EXPECT_EXITED(Wait(pid), 13);
  EXPECT_ERRNO(syscall(SYS_clone3, &args, 8), EINVAL);
  EXPECT_ERRNO(syscall(SYS_clone3, BadPointer(), sizeof(args)), EFAULT);
  EXPECT_ERRNO(syscall(SYS_clone3, &args, 1 << 20), E2BIG);
  args.exit_signal = 65;
  EXPECT_ERRNO(syscall(SYS_clone3, &args, sizeof(args)), EINVAL);
  args.exit_signal = 0;
  args.stack = 4096;  // A stack without a size.
  EXPECT_ERRNO(syscall(SYS_clone3, &args, sizeof(args)), EINVAL);
}

TEST(Clone3, PidfdBecomesReadableAtExit) {
  int pidfd = -1;
  clone_args args = {};
  args.flags = CLONE_PIDFD;
  args.pidfd = reinterpret_cast<uintptr_t>(&pidfd);
  args.exit_signal = SIGCHLD;
  pid_t pid = syscall(SYS_clone3, &args, sizeof(args));
  if (pid == 0) {
    SleepMs(30);
    _exit(0);
  }
  Fd fd(pidfd);
  ASSERT_TRUE(fd.ok());
  EXPECT_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
  pollfd event = {fd, POLLIN, 0};
  EXPECT_EQ(poll(&event, 1, 0), 0);
  EXPECT_EQ(poll(&event, 1, 5000), 1);
  siginfo_t info;
  EXPECT_OK(waitid(P_PIDFD, fd, &info, WEXITED));
  EXPECT_EQ(info.si_pid, pid);
}

TEST(PidfdOpen, SignalsAndErrors) {
  pid_t pid = Fork([] {
    for (;;) pause();
    return 0;
  });
  Fd fd(syscall(SYS_pidfd_open, pid, 0));
  ASSERT_OK(fd.get());
  EXPECT_OK(syscall(SYS_pidfd_send_signal, fd.get(), SIGTERM, nullptr, 0));
  EXPECT_KILLED(Wait(pid), SIGTERM);
  EXPECT_ERRNO(syscall(SYS_pidfd_send_signal, fd.get(), SIGTERM, nullptr, 0), ESRCH);
  EXPECT_ERRNO(syscall(SYS_pidfd_open, pid, 0), ESRCH);
  EXPECT_ERRNO(syscall(SYS_pidfd_open, -1, 0), EINVAL);
  EXPECT_ERRNO(syscall(SYS_pidfd_open, getpid(), 1), EINVAL);
}

TEST(SetTidAddress, ReturnsTheCallersTid) {
  // In a child, because the thread library waits for the word that is replaced here.
  EXPECT_EXITED(RunChild([] {
                  int word = 0;
                  CHILD_CHECK(syscall(SYS_set_tid_address, &word) == Gettid());
                  return word;
                }),
                0);
}

TEST(ArchPrctl, SetsAndGetsFsAndGs) {
  uint64_t fs = 0, gs = 1;
  ASSERT_OK(syscall(SYS_arch_prctl, ARCH_GET_FS, &fs));
  EXPECT_EQ(fs, reinterpret_cast<uint64_t>(pthread_self()));
  uint64_t cell = 0x1122334455667788;
  ASSERT_OK(syscall(SYS_arch_prctl, ARCH_SET_GS, &cell));
  ASSERT_OK(syscall(SYS_arch_prctl, ARCH_GET_GS, &gs));
  EXPECT_EQ(gs, reinterpret_cast<uint64_t>(&cell));
  uint64_t loaded = 0;
  sched_yield();
  asm volatile("mov %%gs:0, %0" : "=r"(loaded));
  EXPECT_EQ(loaded, cell);
  ASSERT_OK(syscall(SYS_arch_prctl, ARCH_SET_GS, 0));
  EXPECT_ERRNO(syscall(SYS_arch_prctl, ARCH_SET_FS, 1UL << 63), EPERM);
  EXPECT_ERRNO(syscall(SYS_arch_prctl, 0x9999, 0), EINVAL);
  EXPECT_ERRNO(syscall(SYS_arch_prctl, ARCH_GET_FS, BadPointer()), EFAULT);
}

TEST(Unshare, FilesGivesAPrivateTable) {
  Fd fd(open("/", O_RDONLY));
  std::thread other([&] {
    EXPECT_OK(unshare(CLONE_FILES));
    close(fd);
    EXPECT_ERRNO(fcntl(fd, F_GETFD), EBADF);
  });
  other.join();
  EXPECT_OK(fcntl(fd, F_GETFD));
  EXPECT_ERRNO(unshare(0x1), EINVAL);
}

}  // namespace
}  // namespace conformance
