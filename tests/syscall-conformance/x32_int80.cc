// syscall(2): numbers that are not there, and the other doors into the kernel. Which of the doors
// exist depends on how the host was configured; what must never happen is that one of them leads
// past the kernel under test, so the accepted answers are named.
#include <asm/unistd.h>
#include <setjmp.h>
#include <sys/syscall.h>

#include "util/check.h"
#include "util/child.h"
#include "util/clock.h"
#include "util/memory.h"
#include "util/signals.h"

namespace conformance {
namespace {

// The result of `syscall` with a full 64-bit number.
long RawSyscall(uint64_t number, uint64_t a = 0, uint64_t b = 0, uint64_t c = 0) {
  long result;
  asm volatile("syscall"
               : "=a"(result)
               : "a"(number), "D"(a), "S"(b), "d"(c)
               : "rcx", "r11", "memory");
  return result;
}

long Int80(uint32_t number) {
  long result;
  asm volatile("int $0x80"
               : "=a"(result)
               : "a"(number), "b"(0), "c"(0), "d"(0)
               : "r8", "r9", "r10", "r11", "memory");
  return result;
}

TEST(SyscallNumber, UnknownIsEnosys) {
  for (uint64_t number : {340ul, 423ul, 600ul, 1000ul, 5000ul, 0x7ffffffful, 0xfffffffful}) {
    EXPECT_EQ(RawSyscall(number), -ENOSYS) << number;
  }
}

TEST(SyscallNumber, RetiredOnesAreEnosys) {
  // uselib-style calls that this architecture never had or has dropped.
  for (uint64_t number : {__NR_create_module, __NR_get_kernel_syms, __NR_query_module,
                          __NR_nfsservctl, __NR_getpmsg, __NR_putpmsg, __NR_afs_syscall,
                          __NR_tuxcall, __NR_security, __NR_vserver, __NR_epoll_ctl_old,
                          __NR_epoll_wait_old, __NR_set_thread_area, __NR_get_thread_area}) {
    EXPECT_EQ(RawSyscall(number), -ENOSYS) << number;
  }
}

TEST(SyscallNumber, OnlyTheLowHalfOfRaxCounts) {
  EXPECT_EQ(RawSyscall(0x100000000 | __NR_getpid), getpid());
  EXPECT_EQ(RawSyscall(0xffffffff00000000 | __NR_getpid), getpid());
}

TEST(SyscallNumber, X32IsEnosys) {
  EXPECT_EQ(RawSyscall(0x40000000 | __NR_getpid), -ENOSYS);
  EXPECT_EQ(RawSyscall(0x40000000 | 512), -ENOSYS);
  EXPECT_EQ(RawSyscall(0x40000000 | 547), -ENOSYS);
}

TEST(SyscallNumber, X32ExecLeavesTheProcessAlone) {
  EXPECT_EQ(RawSyscall(0x40000000 | 520, 16, 16, 16), -ENOSYS);
}

TEST(Int80, RunsTheOldCallOrIsRefused) {
  // 20 is getpid in the 32-bit table and writev in this one.
  int status = RunChild([] {
    long result = Int80(20);
    return result == getpid() ? 1 : static_cast<int>(result) == -ENOSYS ? 2 : 3;
  });
  if (WIFSIGNALED(status)) {
    EXPECT_KILLED(status, SIGSEGV);
  } else {
    EXPECT_TRUE(WEXITSTATUS(status) == 1 || WEXITSTATUS(status) == 2) << WEXITSTATUS(status);
  }
}

TEST(Int80, ForkMakesNoStrayProcess) {
  // 2 is fork in the 32-bit table: where it works, the child is an ordinary child.
  int status = RunChild([] {
    long pid = Int80(2);
    if (pid == 0) _exit(5);
    if (static_cast<int>(pid) == -ENOSYS) return 0;
    int child_status;
    CHILD_CHECK(waitpid(static_cast<pid_t>(pid), &child_status, 0) == pid);
    return WEXITSTATUS(child_status) == 5 ? 0 : 1;
  });
  if (WIFSIGNALED(status)) {
    EXPECT_KILLED(status, SIGSEGV);
  } else {
    EXPECT_EXITED(status, 0);
  }
}

TEST(Vsyscall, TimeIsEmulatedOrFaults) {
  // The fixed page of old: it may be emulated or absent, but it tells the right time or faults.
  int status = RunChild([] {
    auto old_time = reinterpret_cast<time_t (*)(time_t*)>(0xffffffffff600400);
    time_t now = old_time(nullptr);
    return std::abs(now - time(nullptr)) <= 1 ? 0 : 1;
  });
  if (WIFSIGNALED(status)) {
    EXPECT_KILLED(status, SIGSEGV);
  } else {
    EXPECT_EXITED(status, 0);
  }
}

TEST(Vsyscall, MiddleOfThePageFaults) {
  EXPECT_KILLED(RunChild([] {
                  reinterpret_cast<void (*)()>(0xffffffffff600401)();
                  return 0;
                }),
                SIGSEGV);
}

TEST(Sysenter, DoesNotReturnAForeignResult) {
  EXPECT_TRUE(WIFSIGNALED(RunChild([] {
    asm volatile("xor %%ebp, %%ebp\n mov $20, %%eax\n sysenter" ::: "memory", "rax");
    return 0;
  })));
}

TEST(Syscall, FlagsAndReturnAddressAreWhereTheArchitectureSays) {
  uint64_t rcx, r11, expected;
  asm volatile(
      "mov %3, %%eax\n lea 1f(%%rip), %2\n syscall\n 1: mov %%rcx, %0\n mov %%r11, %1\n"
      : "=&r"(rcx), "=&r"(r11), "=&r"(expected)
      : "i"(__NR_getpid)
      : "rax", "rcx", "r11", "memory");
  EXPECT_EQ(rcx, expected);
  EXPECT_EQ(r11 & 0x202, 0x202u);
}

TEST(Syscall, SixthArgumentArrives) {
  // Only mmap's offset shows a sixth argument by its value.
  EXPECT_ERRNO(syscall(SYS_mmap, 0, kPage, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 1), EINVAL);
}

TEST(Syscall, UpperHalfOfNarrowArgumentsIsIgnored) {
  int ends[2];
  ASSERT_OK(pipe(ends));
  EXPECT_EQ(RawSyscall(__NR_close, 0xdead00000000 | ends[0]), 0);
  EXPECT_EQ(RawSyscall(__NR_close, 0xdead00000000 | ends[1]), 0);
}

}  // namespace
}  // namespace conformance
