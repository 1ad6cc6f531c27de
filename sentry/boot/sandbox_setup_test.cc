#include "sentry/boot/sandbox_setup.h"

#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>

#include "base/host.h"

namespace boot {
namespace {

void WriteFile(const std::string& path, const std::string& text) {
  Fd fd(open(path.c_str(), O_WRONLY));
  ASSERT_TRUE(fd.valid()) << path;
  ASSERT_EQ(write(fd.get(), text.data(), text.size()), static_cast<ssize_t>(text.size())) << path;
}

// Clones a child as the command line does, runs SetUpProcess in it and then `body`, whose result is
// the exit status; -1 when this host does not allow it.
int InSandbox(const std::function<int(BootConfig&)>& body) {
  int pair[2];
  EXPECT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
  pid_t pid = static_cast<pid_t>(
      syscall(SYS_clone, kSentryNamespaces | SIGCHLD, nullptr, nullptr, nullptr, nullptr));
  if (pid < 0) return -1;
  if (pid == 0) {
    BootConfig config;
    close(pair[0]);
    config.sync = Fd(pair[1]);
    for (int i = 0; i < 3; i++) config.stdio[i] = Fd(i);
    Status status = SetUpProcess(config);
    if (status.ok()) status = EnterEmptyRoot();
    if (!status.ok()) {
      fprintf(stderr, "%s\n", std::string(status.message()).c_str());
      _exit(98);
    }
    _exit(body(config));
  }
  close(pair[1]);
  std::string proc = "/proc/" + std::to_string(pid);
  WriteFile(proc + "/uid_map", "65534 65534 1");
  WriteFile(proc + "/gid_map", "65534 65534 1");
  EXPECT_EQ(send(pair[0], "G", 1, 0), 1);
  int status = 0;
  waitpid(pid, &status, 0);
  close(pair[0]);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

#define SKIP_WITHOUT_ROOT() \
  if (geteuid() != 0) GTEST_SKIP() << "needs root"

TEST(SandboxSetupTest, RootIsEmptyAndReadOnly) {
  SKIP_WITHOUT_ROOT();
  EXPECT_EQ(InSandbox([](BootConfig&) {
              DIR* dir = opendir("/");
              if (dir == nullptr) return 1;
              int entries = 0;
              while (readdir(dir) != nullptr) entries++;
              if (entries != 2) return 2;
              if (open("/x", O_CREAT | O_WRONLY, 0600) >= 0) return 3;
              if (mkdir("/d", 0700) == 0) return 4;
              if (access("/proc/self", F_OK) == 0 || access("../etc", F_OK) == 0) return 5;
              return 0;
            }),
            0);
}

TEST(SandboxSetupTest, PrivilegesAreGone) {
  SKIP_WITHOUT_ROOT();
  EXPECT_EQ(InSandbox([](BootConfig&) {
              if (!DropPrivileges().ok()) return 1;
              __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
              __user_cap_data_struct data[2] = {};
              if (syscall(SYS_capget, &header, data) != 0) return 2;
              for (const auto& half : data) {
                if (half.effective != 0 || half.permitted != 0 || half.inheritable != 0) return 3;
              }
              for (int i = 0; i < 41; i++) {
                if (prctl(PR_CAPBSET_READ, i, 0, 0, 0) == 1) return 4;
                if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, i, 0, 0) == 1) return 5;
              }
              if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1) return 6;
              if (prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0) return 7;
              if (getuid() != 65534 || geteuid() != 65534 || getgid() != 65534 ||
                  getgroups(0, nullptr) != 0)
                return 8;
              if (getpid() != 1) return 9;
              // Capabilities of a further user namespace would still be nothing: it cannot mount
              // what it does not have, and the filter forbids it anyway.
              if (unshare(CLONE_NEWNS) == 0) return 10;
              return 0;
            }),
            0);
}

TEST(SandboxSetupTest, DescriptorsAreClosedAndLimitsRaised) {
  SKIP_WITHOUT_ROOT();
  int leaked = open("/etc/passwd", O_RDONLY);
  int high = fcntl(leaked, F_DUPFD, 200);
  EXPECT_EQ(InSandbox([&](BootConfig& config) {
              for (int fd = 0; fd < 1024; fd++) {
                bool open = fcntl(fd, F_GETFD) >= 0;
                if (open != (fd <= 2 || fd == config.sync.get())) return 1;
              }
              rlimit limit;
              getrlimit(RLIMIT_NOFILE, &limit);
              if (limit.rlim_cur != limit.rlim_max) return 2;
              if (getsid(0) != 1) return 3;
              return 0;
            }),
            0);
  close(leaked);
  close(high);
}

TEST(SandboxSetupTest, CreatorGoneMeansTheEnd) {
  int pair[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
  pid_t pid = fork();
  if (pid == 0) {
    close(pair[0]);
    BootConfig config;
    config.sync = Fd(pair[1]);
    (void)SetUpProcess(config);
    _exit(50);
  }
  close(pair[1]);
  close(pair[0]);
  int status = 0;
  waitpid(pid, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 1);
}

TEST(SandboxSetupTest, CloseAllExceptKeepsExactlyThose) {
  pid_t pid = fork();
  if (pid == 0) {
    for (int fd = 3; fd < 12; fd++) dup2(0, fd);
    int keep[] = {9, -1, 0, 1, 2, 4, 4};
    CloseAllExcept(keep);
    for (int fd = 0; fd < 20; fd++) {
      bool wanted = fd <= 2 || fd == 4 || fd == 9;
      if ((fcntl(fd, F_GETFD) >= 0) != wanted) _exit(10 + fd);
    }
    _exit(0);
  }
  int status = 0;
  waitpid(pid, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace boot
