// What the gofer's process looks like from outside once it serves, and what its filter lets through.

#include "gofer/sandbox.h"

#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <string>

#include "base/host.h"
#include "gofer/protocol/codec.h"
#include "gofer/testing.h"

namespace gofer {
namespace {

std::string ReadFile(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

std::string StatusField(pid_t pid, const std::string& name) {
  std::istringstream lines(ReadFile("/proc/" + std::to_string(pid) + "/status"));
  for (std::string line; std::getline(lines, line);) {
    if (line.rfind(name + ":", 0) == 0) return line.substr(name.size() + 2);
  }
  return "";
}

std::string Link(const std::string& path) {
  char target[256];
  ssize_t size = readlink(path.c_str(), target, sizeof target);
  return size < 0 ? "" : std::string(target, static_cast<size_t>(size));
}

int CountEntries(const std::string& path) {
  DIR* dir = opendir(path.c_str());
  if (dir == nullptr) return -1;
  int count = 0;
  while (dirent* entry = readdir(dir)) count += entry->d_name[0] != '.';
  closedir(dir);
  return count;
}

class SandboxTest : public testing::Test {
 protected:
  SandboxTest() : gofer_({{root_.path(), false}, {root_.path(), true}}) {
    // Once it answers it is locked in.
    struct [[gnu::packed]] {
      RequestHeader header{static_cast<uint16_t>(Opcode::kAttach), 0, 1, 0};
      AttachRequest request{0};
    } attach;
    EXPECT_EQ(send(gofer_.socket(), &attach, sizeof attach, 0), ssize_t{sizeof attach});
    char reply[256];
    EXPECT_GT(recv(gofer_.socket(), reply, sizeof reply, 0), 0);
    std::string pid = std::to_string(gofer_.pid());
    inner_ = std::atoi(ReadFile("/proc/" + pid + "/task/" + pid + "/children").c_str());
  }
  TempDirectory root_;
  TestGofer gofer_;
  pid_t inner_ = 0;
};

TEST_F(SandboxTest, HoldsFiveCapabilitiesAndNoWayToMore) {
  if (inner_ == 0) GTEST_SKIP() << "not sandboxed";
  for (pid_t pid : {gofer_.pid(), inner_}) {
    EXPECT_EQ(StatusField(pid, "CapEff"), "000000000000001f");  // CHOWN, DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER, FSETID
    EXPECT_EQ(StatusField(pid, "CapPrm"), "000000000000001f");
    EXPECT_EQ(StatusField(pid, "CapInh"), "0000000000000000");
    EXPECT_EQ(StatusField(pid, "CapBnd"), "0000000000000000");
    EXPECT_EQ(StatusField(pid, "CapAmb"), "0000000000000000");
    EXPECT_EQ(StatusField(pid, "NoNewPrivs"), "1");
  }
  EXPECT_EQ(StatusField(inner_, "Seccomp"), "2");
}

TEST_F(SandboxTest, SeesAnEmptyRootAndHoldsOnlyWhatItNeeds) {
  if (inner_ == 0) GTEST_SKIP() << "not sandboxed";
  std::string proc = "/proc/" + std::to_string(inner_);
  EXPECT_EQ(CountEntries(proc + "/root/"), 0);
  std::string mounts = ReadFile(proc + "/mounts");
  EXPECT_EQ(std::count(mounts.begin(), mounts.end(), '\n'), 1) << mounts;
  EXPECT_NE(mounts.find(" / tmpfs ro,"), std::string::npos) << mounts;
  EXPECT_EQ(CountEntries(proc + "/fd"), 5);  // socket, log, two exports, the handle that was attached
  EXPECT_EQ(CountEntries("/proc/" + std::to_string(gofer_.pid()) + "/fd"), 0);
  for (const char* ns : {"mnt", "net", "ipc", "uts", "pid"}) {
    EXPECT_NE(Link(proc + "/ns/" + ns), Link(std::string("/proc/self/ns/") + ns)) << ns;
  }
}

TEST_F(SandboxTest, DiesWithItsParent) {
  if (inner_ == 0) GTEST_SKIP() << "not sandboxed";
  gofer_.Kill();
  EXPECT_EQ(gofer_.Wait(), 128 + SIGKILL);
  for (int i = 0; i < 2000 && kill(inner_, 0) == 0 && StatusField(inner_, "State")[0] != 'Z'; i++) usleep(1000);
  EXPECT_TRUE(kill(inner_, 0) != 0 || StatusField(inner_, "State")[0] == 'Z');
}

// Runs `attempt` behind the filter; the signal that it died of, 0 when it lived.
int SignalOf(void (*attempt)(int socket)) {
  int pair[2];
  EXPECT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
  pid_t pid = fork();
  if (pid == 0) {
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (!InstallSeccompFilter(pair[0], -1).ok()) _exit(1);
    attempt(pair[0]);
    _exit(0);
  }
  close(pair[0]);
  close(pair[1]);
  int status = 0;
  (void)HOST_RETRY(waitpid(pid, &status, 0));
  return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

TEST(SeccompFilter, KillsWhatIsNotNeeded) {
  EXPECT_EQ(SignalOf([](int) { openat(AT_FDCWD, "/", O_RDONLY); }), 0);
  EXPECT_EQ(SignalOf([](int) { openat(3, "x", O_PATH | O_NOFOLLOW | O_CLOEXEC); }), 0);
  EXPECT_EQ(SignalOf([](int) { openat(3, "x", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC); }), 0);
  void (*forbidden[])(int) = {
      [](int) { openat(3, "x", O_RDONLY | O_DIRECTORY | O_CLOEXEC); },
      [](int) { socket(AF_UNIX, SOCK_STREAM, 0); },
      [](int) { execl("/bin/true", "true", nullptr); },
      [](int) { (void)fork(); },
      [](int) { ptrace(PTRACE_TRACEME, 0, 0, 0); },
      [](int) { openat(3, "x", O_PATH | O_CLOEXEC); },                       // would follow a link
      [](int) { openat(3, "x", O_RDONLY | O_NOFOLLOW | O_CLOEXEC); },        // would open a device
      [](int) { openat(AT_FDCWD, "x", O_RDWR | O_CREAT | O_CLOEXEC, 0600); },
      [](int) { mknodat(3, "x", S_IFCHR | 0600, makedev(1, 3)); },
      [](int) { mknodat(3, "x", S_IFBLK | 0600, makedev(8, 0)); },
      [](int) { linkat(3, "x", 3, "y", AT_SYMLINK_FOLLOW); },
      [](int) { linkat(3, "x", 3, "y", 0); },
      [](int) { fchownat(3, "x", 0, 0, 0); },
      [](int) { fchmodat(3, "x", 0777, 0); },
      [](int) { mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); },
      [](int) { mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE, 0, 0); },
      [](int socket) { (void)write(socket, "x", 1); },
      [](int) { (void)write(2, "x", 1); },
      [](int) { msghdr message{}; recvmsg(0, &message, 0); },
      [](int) { kill(1, 0); },
      [](int) { cpu_set_t all{}; sched_setaffinity(1, sizeof all, &all); },
      [](int) { setuid(1); },
      [](int) { chroot("/"); },
      [](int) { prctl(PR_SET_DUMPABLE, 1); },
  };
  for (size_t i = 0; i < std::size(forbidden); i++) EXPECT_EQ(SignalOf(forbidden[i]), SIGSYS) << i;
}

}  // namespace
}  // namespace gofer
