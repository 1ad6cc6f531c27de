// fork(2), vfork(2), wait(2), waitid(2), _exit(2)
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <atomic>

#include "util/check.h"
#include "util/child.h"
#include "util/clock.h"
#include "util/fd.h"
#include "util/interrupt.h"
#include "util/memory.h"
#include "util/signals.h"
#include "util/temp_dir.h"

namespace conformance {
namespace {

TEST(Fork, ChildHasNewPidAndThisParent) {
  pid_t parent = getpid();
  EXPECT_EXITED(RunChild([parent] {
                  CHILD_CHECK(getpid() != parent);
                  CHILD_CHECK(getppid() == parent);
                  CHILD_CHECK(syscall(SYS_gettid) == getpid());
                  return 0;
                }),
                0);
}

TEST(Fork, MemoryIsCopiedBothWays) {
  PrivateMemory memory(16 * kPage);
  memset(memory.data(), 1, memory.size());
  int to_child[2], to_parent[2];
  ASSERT_OK(pipe(to_child));
  ASSERT_OK(pipe(to_parent));
  pid_t pid = Fork([&] {
    char c;
    for (size_t i = 0; i < 16; i += 2) *memory.page(i) = 2;
    CHILD_CHECK(write(to_parent[1], "w", 1) == 1);
    CHILD_CHECK(read(to_child[0], &c, 1) == 1);
    for (size_t i = 0; i < 16; i++) CHILD_CHECK(*memory.page(i) == (i % 2 ? 1 : 2));
    return 0;
  });
  char c;
  EXPECT_EQ(read(to_parent[0], &c, 1), 1);
  for (size_t i = 0; i < 16; i++) {
    EXPECT_EQ(*memory.page(i), 1) << "the child's write is visible in page " << i;
    *memory.page(i) = 3;
  }
  EXPECT_EQ(write(to_child[1], "w", 1), 1);
  EXPECT_EXITED(Wait(pid), 0);
  for (int fd : {to_child[0], to_child[1], to_parent[0], to_parent[1]}) close(fd);
}

TEST(Fork, SharedMemoryIsShared) {
  SharedMemory memory;
  EXPECT_EXITED(RunChild([&] {
                  *memory.as<int>() = 42;
                  return 0;
                }),
                0);
  EXPECT_EQ(*memory.as<int>(), 42);
}

TEST(Fork, CopyOnWriteSurvivesGenerations) {
  PrivateMemory memory(kPage);
  *memory.as<int>() = 0;
  std::function<int(int)> generation = [&](int depth) -> int {
    CHILD_CHECK(*memory.as<int>() == depth);
    if (depth == 5) return 0;
    *memory.as<int>() = depth + 1;
    int status = RunChild([&] { return generation(depth + 1); });
    CHILD_CHECK(*memory.as<int>() == depth + 1);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
  };
  EXPECT_EXITED(RunChild([&] { return generation(0); }), 0);
  EXPECT_EQ(*memory.as<int>(), 0);
}

TEST(Fork, KernelWritesAlsoBreakCopyOnWrite) {
  // A system call that stores into a shared page must copy it as a user write would.
  PrivateMemory memory(kPage);
  memory.data()[0] = 'p';
  int ends[2];
  ASSERT_OK(pipe(ends));
  Fd reader(ends[0]), writer(ends[1]);
  ASSERT_EQ(write(writer, "c", 1), 1);
  EXPECT_EXITED(RunChild([&] {
                  CHILD_CHECK(read(reader, memory.data(), 1) == 1);
                  CHILD_CHECK(memory.data()[0] == 'c');
                  return 0;
                }),
                0);
  EXPECT_EQ(memory.data()[0], 'p');
}

TEST(Fork, DescriptorTableIsCopiedOffsetsAreShared) {
  TempDir dir;
  Fd fd(open(dir.File("f", "0123456789").c_str(), O_RDONLY));
  EXPECT_EXITED(RunChild([&] {
                  CHILD_CHECK(lseek(fd, 7, SEEK_SET) == 7);
                  return close(fd.Release());
                }),
                0);
  EXPECT_EQ(lseek(fd, 0, SEEK_CUR), 7);
}

TEST(Fork, ChildHasOnlyTheForkingThread) {
  std::atomic<bool> stop = false;
  std::thread other([&] {
    while (!stop) SleepMs(5);
  });
  EXPECT_EXITED(RunChild([] {
                  std::string status = ReadFile("/proc/self/status");
                  CHILD_CHECK(status.find("Threads:\t1\n") != std::string::npos);
                  return 0;
                }),
                0);
  stop = true;
  other.join();
}

TEST(Fork, PendingSignalsAndAlarmsAreNotInherited) {
  ScopedBlock block({SIGUSR1});
  ASSERT_OK(raise(SIGUSR1));
  pid_t pid = fork();
  if (pid == 0) {
    sigset_t pending;
    sigpending(&pending);
    _exit(sigismember(&pending, SIGUSR1) ? 1 : alarm(0) != 0 ? 2 : 0);
  }
  EXPECT_EXITED(Wait(pid), 0);
  sigset_t set = SignalSet({SIGUSR1});
  int got;
  EXPECT_EQ(sigwait(&set, &got), 0);
}

TEST(Fork, ManyChildrenAtOnce) {
  std::vector<pid_t> pids;
  for (int i = 0; i < 40; i++) pids.push_back(Fork([i] { return i; }));
  for (int i = 0; i < 40; i++) EXPECT_EXITED(Wait(pids[i]), i);
}

TEST(Fork, ThreadsForkConcurrently) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; t++) {
    threads.emplace_back([t] {
      for (int i = 0; i < 10; i++) {
        pid_t pid = fork();
        if (pid == 0) _exit(t * 10 + i);
        EXPECT_EXITED(Wait(pid), t * 10 + i);
      }
    });
  }
  for (auto& thread : threads) thread.join();
}

// What the child gets is the memory of one moment: never a later write of another thread without its earlier ones. The C
// library's fork relies on it for the lists of threads that others change meanwhile.
TEST(Fork, ChildSeesAnotherThreadsWritesInOrder) {
  constexpr size_t kPages = 8;
  PrivateMemory memory(kPages * kPage);
  auto counter = [&](size_t page) -> std::atomic<uint64_t>& {
    return *reinterpret_cast<std::atomic<uint64_t>*>(memory.page(page));
  };
  std::atomic<bool> stop = false;
  std::thread writer([&] {
    for (uint64_t round = 1; !stop.load(std::memory_order_relaxed); round++) {
      for (size_t page = 0; page < kPages; page++) counter(page).store(round, std::memory_order_release);
    }
  });
  for (int i = 0; i < 100; i++) {
    int status = RunChild([&] {
      for (size_t page = 1; page < kPages; page++) CHILD_CHECK(counter(page) <= counter(page - 1));
      CHILD_CHECK(counter(kPages - 1) + 1 >= counter(0));
      counter(i % kPages) = 0;  // which page a kernel expects to be written next shall make no difference
      return 0;
    });
    EXPECT_EXITED(status, 0) << "fork " << i;
    if (status != 0) break;
  }
  stop = true;
  writer.join();
}

TEST(Vfork, ParentWaitsAndSharesMemory) {
  SharedMemory memory;
  volatile int* value = memory.as<int>();
  pid_t pid = vfork();
  if (pid == 0) {
    timespec ts = {0, 50'000'000};
    nanosleep(&ts, nullptr);
    *value = 7;
    _exit(3);
  }
  EXPECT_EQ(*value, 7);
  EXPECT_EXITED(Wait(pid), 3);
}

TEST(Wait, NoChildrenIsEchild) {
  int status;
  EXPECT_ERRNO(wait(&status), ECHILD);
  EXPECT_ERRNO(waitpid(1, &status, 0), ECHILD);
  EXPECT_ERRNO(waitpid(-1, &status, WNOHANG), ECHILD);
}

TEST(Wait, ExitStatusIsTheLowByte) {
  EXPECT_EXITED(RunChild([] { return 0x1234; }), 0x34);
  EXPECT_EXITED(RunChild([] { return -1; }), 255);
}

TEST(Wait, DeathBySignalIsReported) {
  for (int signal : {SIGKILL, SIGTERM, SIGUSR1, SIGRTMIN}) {
    EXPECT_KILLED(RunChild([signal] {
                    ::signal(signal, SIG_DFL);
                    raise(signal);
                    return 0;
                  }),
                  signal);
  }
}

TEST(Wait, NohangReturnsZeroWhileRunning) {
  int ends[2];
  ASSERT_OK(pipe(ends));
  pid_t pid = Fork([&] {
    close(ends[1]);
    char c;
    return static_cast<int>(read(ends[0], &c, 1));
  });
  int status = 77;
  EXPECT_EQ(waitpid(pid, &status, WNOHANG), 0);
  EXPECT_EQ(status, 77);
  close(ends[1]);
  close(ends[0]);
  EXPECT_EXITED(Wait(pid), 0);
}

TEST(Wait, BadArguments) {
  int status;
  EXPECT_ERRNO(waitpid(-1, &status, 0x1000), EINVAL);
  EXPECT_ERRNO(waitid(P_ALL, 0, nullptr, 0), EINVAL);
  siginfo_t info;
  EXPECT_ERRNO(waitid(static_cast<idtype_t>(99), 0, &info, WEXITED), EINVAL);
  pid_t pid = Fork([] { return 0; });
  siginfo_t ignored;
  EXPECT_OK(waitid(P_PID, pid, &ignored, WEXITED | WNOWAIT));
  // A bad status pointer loses the status but reaps the child.
  EXPECT_ERRNO(syscall(SYS_wait4, pid, BadPointer(), 0, nullptr), EFAULT);
  EXPECT_ERRNO(waitpid(pid, &status, 0), ECHILD);
}

TEST(Wait, StoppedAndContinuedAreReportedOnRequest) {
  int ends[2];
  ASSERT_OK(pipe(ends));
  Fd reader(ends[0]), writer(ends[1]);
  pid_t pid = Fork([&] {
    raise(SIGSTOP);
    char c;
    return read(reader, &c, 1) == 1 ? 5 : 6;
  });
  int status;
  ASSERT_EQ(waitpid(pid, &status, WUNTRACED), pid);
  EXPECT_TRUE(WIFSTOPPED(status));
  EXPECT_EQ(WSTOPSIG(status), SIGSTOP);
  EXPECT_EQ(waitpid(pid, &status, WUNTRACED | WNOHANG), 0) << "a stop is reported once";
  ASSERT_OK(kill(pid, SIGCONT));
  ASSERT_EQ(waitpid(pid, &status, WCONTINUED | WUNTRACED), pid);
  EXPECT_TRUE(WIFCONTINUED(status));
  ASSERT_EQ(write(writer, "x", 1), 1);
  EXPECT_EXITED(Wait(pid), 5);
}

TEST(Wait, BlockedWaitIsInterruptedByHandler) {
  ScopedHandler handler(SIGUSR1, +[](int) {});
  pid_t pid = Fork([] {
    for (;;) pause();
    return 0;
  });
  int status;
  EXPECT_ERRNO(Interrupted([&] { return waitpid(pid, &status, 0); }, [] {}), EINTR);
  ASSERT_OK(kill(pid, SIGKILL));
  EXPECT_KILLED(Wait(pid), SIGKILL);
}

TEST(Wait, ProcessGroupSelectsChildren) {
  pid_t own = Fork([] { return 1; });
  pid_t other = Fork([] {
    setpgid(0, 0);
    return 2;
  });
  setpgid(other, other);
  int status;
  EXPECT_EQ(waitpid(-other, &status, 0), other);
  EXPECT_EXITED(status, 2);
  EXPECT_EQ(waitpid(0, &status, 0), own);
  EXPECT_EXITED(status, 1);
}

TEST(Waitid, FillsSiginfoAndNowaitLeavesTheZombie) {
  pid_t pid = Fork([] { return 9; });
  siginfo_t info = {};
  ASSERT_OK(waitid(P_PID, pid, &info, WEXITED | WNOWAIT));
  EXPECT_EQ(info.si_signo, SIGCHLD);
  EXPECT_EQ(info.si_code, CLD_EXITED);
  EXPECT_EQ(info.si_pid, pid);
  EXPECT_EQ(info.si_status, 9);
  EXPECT_EQ(info.si_uid, getuid());
  EXPECT_OK(kill(pid, 0)) << "a zombie can still be signalled";
  EXPECT_EXITED(Wait(pid), 9);
  EXPECT_ERRNO(kill(pid, 0), ESRCH);
}

TEST(Waitid, NohangWithNothingClearsTheInfo) {
  pid_t pid = Fork([] {
    SleepMs(5000);
    return 0;
  });
  siginfo_t info;
  memset(&info, 0xff, sizeof(info));
  EXPECT_OK(waitid(P_PID, pid, &info, WEXITED | WNOHANG));
  EXPECT_EQ(info.si_pid, 0);
  EXPECT_EQ(info.si_signo, 0);
  ASSERT_OK(kill(pid, SIGKILL));
  EXPECT_OK(waitid(P_PID, pid, &info, WEXITED));
  EXPECT_EQ(info.si_code, CLD_KILLED);
  EXPECT_EQ(info.si_status, SIGKILL);
}

TEST(Wait, IgnoredSigchldReapsChildren) {
  ScopedHandler ignore(SIGCHLD, SIG_IGN);
  pid_t pid = Fork([] { return 0; });
  int status;
  EXPECT_ERRNO(waitpid(pid, &status, 0), ECHILD);
}

TEST(Wait, AnyThreadMayWaitForAChild) {
  pid_t pid = Fork([] { return 4; });
  std::thread other([pid] { EXPECT_EXITED(Wait(pid), 4); });
  other.join();
}

TEST(Wait, OrphanIsReparented) {
  ASSERT_OK(prctl(PR_SET_CHILD_SUBREAPER, 1));
  int ends[2];
  ASSERT_OK(pipe(ends));
  pid_t child = Fork([&] {
    pid_t grandchild = fork();
    if (grandchild == 0) {
      pid_t parent = getppid();
      while (getppid() == parent) SleepMs(1);
      _exit(6);
    }
    CHILD_CHECK(write(ends[1], &grandchild, sizeof(grandchild)) == sizeof(grandchild));
    SleepMs(20);
    return 0;
  });
  pid_t grandchild = 0;
  ASSERT_EQ(read(ends[0], &grandchild, sizeof(grandchild)), static_cast<ssize_t>(sizeof(pid_t)));
  EXPECT_EXITED(Wait(child), 0);
  EXPECT_EXITED(Wait(grandchild), 6);
  prctl(PR_SET_CHILD_SUBREAPER, 0);
  close(ends[0]);
  close(ends[1]);
}

TEST(Wait, RusageOfChildrenIsCounted) {
  pid_t pid = Fork([] {
    while (NowNs(CLOCK_PROCESS_CPUTIME_ID) < 30'000'000) {
    }
    return 0;
  });
  rusage usage = {};
  int status;
  ASSERT_EQ(wait4(pid, &status, 0, &usage), pid);
  EXPECT_GT(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec +
                1000000 * (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec),
            5000);
  ASSERT_OK(getrusage(RUSAGE_CHILDREN, &usage));
  EXPECT_GT(usage.ru_utime.tv_usec + usage.ru_utime.tv_sec + usage.ru_stime.tv_usec, 0);
}

}  // namespace
}  // namespace conformance
