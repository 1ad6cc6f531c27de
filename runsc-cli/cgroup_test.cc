#include "runsc-cli/cgroup.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

namespace cli {
namespace {

std::string Read(const std::string& path) {
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

TEST(CgroupTest, SystemdPaths) {
  EXPECT_EQ(Cgroup::ExpandSystemdPath("a-b.slice:docker:id"), "/a.slice/a-b.slice/docker-id.scope");
  EXPECT_EQ(Cgroup::ExpandSystemdPath(":runc:id"), "/system.slice/runc-id.scope");
  EXPECT_EQ(Cgroup::ExpandSystemdPath("/plain/path"), "/plain/path");
}

TEST(CgroupTest, UpwardPathIsRefused) {
  EXPECT_EQ(Cgroup::Create("/a/../../b", {}).status().message(),
            "cgroupsPath \"/a/../../b\" leads upwards");
}

TEST(CgroupTest, MakesLimitsJoinsAndRemoves) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root";
  boot::Resources resources;
  resources.memory_limit = 256 << 20;
  resources.pids_limit = 50;
  resources.cpu_shares = 512;
  std::string path = boot::StrCat("/runsc-test-", getpid(), "/inner");
  boot::StatusOr<Cgroup> cgroup = Cgroup::Create(path, resources);
  if (!cgroup.ok()) GTEST_SKIP() << cgroup.status().message();
  EXPECT_FALSE(cgroup->made().empty());

  pid_t pid = fork();
  if (pid == 0) {
    for (;;) pause();
  }
  boot::Status joined = cgroup->Join(pid);
  EXPECT_TRUE(joined.ok()) << joined.message();
  std::string membership = Read(boot::StrCat("/proc/", pid, "/cgroup"));
  EXPECT_NE(membership.find(path), std::string::npos) << membership;
  bool limited = false;
  for (const std::string& directory : cgroup->made()) {
    limited = limited || Read(directory + "/pids.max") == "50\n";
  }
  EXPECT_TRUE(limited);
  kill(pid, SIGKILL);
  waitpid(pid, nullptr, 0);
  boot::Status removed = Cgroup::Remove(cgroup->made());
  EXPECT_TRUE(removed.ok()) << removed.message();
  for (const std::string& directory : cgroup->made()) {
    EXPECT_NE(access(directory.c_str(), F_OK), 0) << directory;
    rmdir(directory.substr(0, directory.rfind('/')).c_str());  // the parent, which it leaves alone
  }
}

TEST(CgroupTest, FailureLeavesNothing) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root";
  boot::Resources resources;
  resources.cpuset_cpus = "100000";
  std::string path = boot::StrCat("/runsc-test-fail-", getpid());
  boot::StatusOr<Cgroup> cgroup = Cgroup::Create(path, resources);
  ASSERT_FALSE(cgroup.ok());
  EXPECT_NE(cgroup.status().message().find("cpuset"), std::string::npos)
      << cgroup.status().message();
  EXPECT_EQ(Read("/proc/self/mountinfo").find(path), std::string::npos);
  EXPECT_NE(access(("/sys/fs/cgroup/memory" + path).c_str(), F_OK), 0);
}

}  // namespace
}  // namespace cli
