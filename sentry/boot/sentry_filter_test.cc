#include "sentry/boot/sentry_filter.h"

#include <errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <set>
#include <thread>

namespace boot {
namespace {

// The wait status of a child that installs the filter and then runs `body`.
int StatusUnderFilter(const std::function<void()>& body, std::vector<int> platform_syscalls = {}) {
  pid_t pid = fork();
  if (pid == 0) {
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (!InstallSentryFilter(platform_syscalls, FilterAction::kKill).ok()) _exit(99);
    body();
    _exit(0);
  }
  int status = 0;
  waitpid(pid, &status, 0);
  return status;
}

bool Kills(const std::function<void()>& body) {
  int status = StatusUnderFilter(body);
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
}

TEST(SentryFilterTest, OrdinaryWorkPasses) {
  EXPECT_EQ(StatusUnderFilter([] {
              std::thread thread([] {
                std::vector<char> big(8 << 20, 1);  // mmap
                if (big[5] != 1) _exit(1);
              });
              thread.join();
              int pipes[2];
              (void)pipes;
              struct stat st;
              if (fstat(2, &st) != 0) _exit(2);
              if (write(2, "", 0) != 0) _exit(3);
              int copy = fcntl(2, F_DUPFD_CLOEXEC, 0);
              if (copy < 0) _exit(4);
              close(copy);
            }),
            0);
}

TEST(SentryFilterTest, ReachingTheHostKills) {
  EXPECT_TRUE(Kills([] { open("/etc/passwd", O_RDONLY); }));
  EXPECT_TRUE(Kills([] { syscall(SYS_open, "/etc/passwd", O_RDONLY); }));
  EXPECT_TRUE(Kills([] { access("/", R_OK); }));
  EXPECT_TRUE(Kills([] {
    struct stat st;
    stat("/", &st);
  }));
  EXPECT_TRUE(Kills([] { socket(AF_UNIX, SOCK_STREAM, 0); }));
  EXPECT_TRUE(Kills([] { socket(AF_INET, SOCK_STREAM, 0); }));
  EXPECT_TRUE(Kills([] { connect(0, nullptr, 0); }));
  EXPECT_TRUE(Kills([] {
    sockaddr address{};
    sendto(0, "x", 1, 0, &address, sizeof address);
  }));
  EXPECT_TRUE(Kills([] { execl("/bin/true", "true", nullptr); }));
  EXPECT_TRUE(Kills([] { fork(); }));
  EXPECT_TRUE(Kills([] { unshare(CLONE_NEWUSER); }));
  EXPECT_TRUE(Kills([] { kill(getppid(), 0); }));
  EXPECT_TRUE(Kills([] { syscall(SYS_tgkill, getppid(), getppid(), 0); }));
  EXPECT_TRUE(Kills([] { syscall(SYS_ptrace, 0, 0, 0, 0); }));
}

TEST(SentryFilterTest, ArgumentsArePinned) {
  EXPECT_TRUE(Kills(
      [] { mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); }));
  EXPECT_TRUE(Kills([] { mprotect(nullptr, 0, PROT_EXEC); }));
  EXPECT_TRUE(Kills([] { fcntl(0, F_SETOWN, 1); }));
  EXPECT_TRUE(Kills([] { ioctl(0, TIOCSTI, "x"); }));
  EXPECT_TRUE(Kills([] { prctl(PR_SET_DUMPABLE, 1); }));
}

TEST(SentryFilterTest, OtherArchitecturesKill) {
  EXPECT_TRUE(Kills([] { asm volatile("int $0x80" : : "a"(20 /* getpid */) : "memory"); }));
  EXPECT_TRUE(Kills([] { syscall(0x40000000 | SYS_getpid); }));
}

TEST(SentryFilterTest, PlatformCallsAreAdded) {
  EXPECT_TRUE(Kills([] { getppid(); }));
  EXPECT_EQ(StatusUnderFilter([] { getppid(); }, {SYS_getppid, SYS_read, SYS_mmap}), 0);
}

TEST(SentryFilterTest, PlatformCallsWidenNothing) {
  int status = StatusUnderFilter(
      [] { mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); },
      {SYS_mmap, SYS_clone, SYS_clone3, SYS_ioctl, SYS_tgkill});
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
  EXPECT_EQ(StatusUnderFilter([] { syscall(SYS_tgkill, 0x7ffffff0, 0x7ffffff0, 0); }, {SYS_tgkill}),
            0);
  EXPECT_EQ(StatusUnderFilter(
                [] {
                  if (syscall(SYS_clone3, nullptr, 0) != -1 || errno != ENOSYS) _exit(1);
                },
                {SYS_clone3}),
            0);
}

TEST(SentryFilterTest, EveryRuleSaysWhy) {
  for (const SyscallRule& rule : SentryRules()) EXPECT_NE(std::string(rule.why), "") << rule.nr;
}

}  // namespace
}  // namespace boot
