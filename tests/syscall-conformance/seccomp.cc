// seccomp(2)
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <atomic>
#include <cstddef>

#include "util/check.h"
#include "util/child.h"
#include "util/clock.h"
#include "util/helper.h"
#include "util/memory.h"
#include "util/signals.h"
#include "util/temp_dir.h"

namespace conformance {
namespace {

// Loads a filter that gives `action` to one system call and allows the rest.
int Install(int number, uint32_t action, unsigned flags = 0) {
  sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(number), 0, 1),
      BPF_STMT(BPF_RET | BPF_K, action),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  sock_fprog program = {sizeof(code) / sizeof(code[0]), code};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return -1;
  return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
}

TEST(Seccomp, ErrnoActionReplacesTheResult) {
  EXPECT_EXITED(RunChild([] {
                  CHILD_CHECK(Install(SYS_getppid, SECCOMP_RET_ERRNO | EXDEV) == 0);
                  CHILD_ERRNO(syscall(SYS_getppid), EXDEV);
                  CHILD_CHECK(syscall(SYS_getpid) > 0);
                  CHILD_CHECK(prctl(PR_GET_SECCOMP) == SECCOMP_MODE_FILTER);
                  return 0;
                }),
                0);
}

TEST(Seccomp, KillEndsWithSigsys) {
  EXPECT_KILLED(RunChild([] {
                  CHILD_CHECK(Install(SYS_getppid, SECCOMP_RET_KILL_PROCESS) == 0);
                  signal(SIGSYS, SIG_IGN);
                  syscall(SYS_getppid);
                  return 0;
                }),
                SIGSYS);
}

TEST(Seccomp, TrapTellsTheHandlerTheNumber) {
  EXPECT_EXITED(RunChild([] {
                  ScopedHandler handler(
                      SIGSYS, +[](int, siginfo_t* info, void*) {
                        bool good = info->si_code == 1 /* SYS_SECCOMP */ &&
                                    info->si_syscall == SYS_getppid &&
                                    info->si_arch == AUDIT_ARCH_X86_64 && info->si_errno == 7;
                        _exit(good ? 21 : 22);
                      });
                  CHILD_CHECK(Install(SYS_getppid, SECCOMP_RET_TRAP | 7) == 0);
                  syscall(SYS_getppid);
                  return 0;
                }),
                21);
}

TEST(Seccomp, TrapHandlerMayEmulateTheCall) {
  EXPECT_EXITED(RunChild([] {
                  ScopedHandler handler(
                      SIGSYS, +[](int, siginfo_t*, void* context) {
                        static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_RAX] = 4321;
                      });
                  CHILD_CHECK(Install(SYS_getppid, SECCOMP_RET_TRAP) == 0);
                  return syscall(SYS_getppid) == 4321 ? 0 : 1;
                }),
                0);
}

TEST(Seccomp, StrictestOfSeveralFiltersWins) {
  EXPECT_EXITED(RunChild([] {
                  CHILD_CHECK(Install(SYS_getppid, SECCOMP_RET_ERRNO | EXDEV) == 0);
                  CHILD_CHECK(Install(SYS_getppid, SECCOMP_RET_ERRNO | EBUSY) == 0);
                  // Of equal actions the one of the newest filter counts.
                  CHILD_ERRNO(syscall(SYS_getppid), EBUSY);
                  CHILD_CHECK(Install(SYS_getppid, SECCOMP_RET_ALLOW) == 0);
                  CHILD_ERRNO(syscall(SYS_getppid), EBUSY);
                  return 0;
                }),
                0);
}

RegisterHelper getppid_helper("getppid-errno", [](int, char**) {
  return syscall(SYS_getppid) == -1 ? errno : 0;
});

TEST(Seccomp, InheritedByForkAndExec) {
  HelperArgv argv("getppid-errno");
  EXPECT_EXITED(RunChild([&] {
                  CHILD_CHECK(Install(SYS_getppid, SECCOMP_RET_ERRNO | EXDEV) == 0);
                  pid_t pid = fork();
                  if (pid == 0) {
                    execv(SelfPath().c_str(), argv.data());
                    _exit(95);
                  }
                  int status;
                  CHILD_CHECK(waitpid(pid, &status, 0) == pid);
                  return WEXITSTATUS(status);
                }),
                EXDEV);
}

TEST(Seccomp, OtherThreadsNeedTsync) {
  for (unsigned flags : {0u, unsigned{SECCOMP_FILTER_FLAG_TSYNC}}) {
    EXPECT_EXITED(RunChild([flags] {
                    std::atomic<int> go = 0, result = -1;
                    std::thread other([&] {
                      while (!go) SleepMs(1);
                      result = syscall(SYS_getppid) == -1 ? 1 : 0;
                    });
                    CHILD_CHECK(Install(SYS_getppid, SECCOMP_RET_ERRNO | EXDEV, flags) == 0);
                    go = 1;
                    other.join();
                    return result == (flags != 0) ? 0 : 1;
                  }),
                  0);
  }
}

TEST(Seccomp, StrictModeAllowsOnlyFourCalls) {
  EXPECT_KILLED(RunChild([] {
                  CHILD_CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) == 0);
                  syscall(SYS_getpid);
                  return 0;
                }),
                SIGKILL);
  EXPECT_EXITED(RunChild([] {
                  CHILD_CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) == 0);
                  if (write(-1, "", 0) != -1) syscall(SYS_exit, 1);
                  syscall(SYS_exit, 17);
                  return 0;
                }),
                17);
}

TEST(Seccomp, ArgumentsCanBeInspected) {
  EXPECT_EXITED(RunChild([] {
                  sock_filter code[] = {
                      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
                      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_dup, 0, 3),
                      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args)),
                      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 77, 0, 1),
                      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EXDEV),
                      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
                  };
                  sock_fprog program = {6, code};
                  CHILD_CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
                  CHILD_CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
                  CHILD_ERRNO(syscall(SYS_dup, 77), EXDEV);
                  CHILD_ERRNO(syscall(SYS_dup, 78), EBADF);
                  return 0;
                }),
                0);
}

TEST(Seccomp, Errors) {
  EXPECT_EXITED(RunChild([] {
                  CHILD_ERRNO(syscall(SYS_seccomp, 99, 0, nullptr), EINVAL);
                  CHILD_ERRNO(syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 1, nullptr), EINVAL);
                  CHILD_CHECK(prctl(PR_GET_SECCOMP) == 0);
                  CHILD_CHECK(setresuid(1000, 1000, 1000) == 0);
                  sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
                  sock_fprog program = {1, &allow};
                  CHILD_ERRNO(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program), EACCES);
                  CHILD_CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
                  CHILD_ERRNO(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, BadPointer()),
                              EFAULT);
                  program.len = 0;
                  CHILD_ERRNO(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program), EINVAL);
                  sock_filter endless = BPF_STMT(BPF_LD | BPF_IMM, 0);
                  program = {1, &endless};
                  CHILD_ERRNO(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program), EINVAL);
                  sock_filter outside[] = {
                      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, sizeof(seccomp_data)),
                      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
                  program = {2, outside};
                  CHILD_ERRNO(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program), EINVAL);
                  return 0;
                }),
                0);
}

TEST(Seccomp, StatusShowsTheMode) {
  EXPECT_EXITED(RunChild([] {
                  CHILD_CHECK(Install(SYS_getppid, SECCOMP_RET_ERRNO | EXDEV) == 0);
                  std::string status = ReadFile("/proc/self/status");
                  CHILD_CHECK(status.find("Seccomp:\t2\n") != std::string::npos);
                  CHILD_CHECK(status.find("NoNewPrivs:\t1\n") != std::string::npos);
                  return 0;
                }),
                0);
}

}  // namespace
}  // namespace conformance
