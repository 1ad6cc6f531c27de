#include "runsc-cli/state_store.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

namespace cli {
namespace {

class StateStoreTest : public testing::Test {
 protected:
  void SetUp() override {
    char dir[] = "/tmp/state_store_test_XXXXXX";
    ASSERT_NE(mkdtemp(dir), nullptr);
    base_ = dir;
  }
  void TearDown() override { std::filesystem::remove_all(base_); }
  StateStore Store() { return StateStore(base_ + "/made/on/demand"); }
  std::string base_;
};

TEST_F(StateStoreTest, RoundTrip) {
  StateStore store = Store();
  boot::StatusOr<ContainerDir> dir = store.Create("a-1");
  ASSERT_TRUE(dir.ok()) << dir.status().message();
  ContainerState state;
  state.id = "a-1";
  state.bundle = "/b \"quoted\"";
  state.created = "2024-01-01T00:00:00Z";
  state.status = ContainerStatus::kRunning;
  state.sentry = Identify(getpid()).value();
  state.annotations = {{"k", "v"}};
  state.cgroup_paths = {"/c"};
  ASSERT_TRUE(dir->Save(state).ok());
  ContainerState loaded = store.Load("a-1").value();
  EXPECT_EQ(loaded.bundle, state.bundle);
  EXPECT_EQ(loaded.sentry.pid, getpid());
  EXPECT_EQ(loaded.sentry.start_time, state.sentry.start_time);
  EXPECT_EQ(loaded.annotations, state.annotations);
  EXPECT_EQ(loaded.cgroup_paths, state.cgroup_paths);
  EXPECT_EQ(loaded.CurrentStatus(), ContainerStatus::kRunning);
  EXPECT_NE(loaded.OciJson().find("\"status\": \"running\""), std::string::npos);
  EXPECT_EQ(store.List(), std::vector<std::string>{"a-1"});
  EXPECT_TRUE(dir->Remove().ok());
  EXPECT_EQ(store.List(), std::vector<std::string>{});
  EXPECT_EQ(store.Load("a-1").status().message(), "container \"a-1\" does not exist");
}

TEST_F(StateStoreTest, IdsAreTakenOnce) {
  StateStore store = Store();
  ASSERT_TRUE(store.Create("x").ok());
  EXPECT_EQ(store.Create("x").status().message(), "container with id \"x\" exists already");
  for (const char* bad : {"", ".", "..", "a/b", "a b", "../x", "\xc3\xa4"}) {
    EXPECT_FALSE(store.Create(bad).ok()) << bad;
    EXPECT_EQ(store.Load(bad).status().cause(), Errno::kEINVAL) << bad;
  }
}

TEST_F(StateStoreTest, ReusedPidIsNotAlive) {
  ContainerState state;
  state.status = ContainerStatus::kRunning;
  state.sentry = Identify(getpid()).value();
  state.sentry.start_time++;
  EXPECT_EQ(state.CurrentStatus(), ContainerStatus::kStopped);
}

TEST_F(StateStoreTest, ZombieIsNotAliveAndKillReaps) {
  pid_t pid = fork();
  if (pid == 0) {
    for (;;) pause();
  }
  ProcessId process = Identify(pid).value();
  EXPECT_TRUE(IsAlive(process));
  kill(pid, SIGKILL);
  siginfo_t info;
  waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT);
  EXPECT_FALSE(IsAlive(process));
  EXPECT_TRUE(KillAndWait(process));
  EXPECT_FALSE(Identify(pid).ok());

  pid = fork();
  if (pid == 0) {
    for (;;) pause();
  }
  EXPECT_TRUE(KillAndWait(Identify(pid).value()));
  EXPECT_FALSE(Identify(pid).ok());
}

TEST_F(StateStoreTest, LockExcludesAndSeesDeletion) {
  StateStore store = Store();
  boot::StatusOr<ContainerDir> dir = store.Create("x");
  ASSERT_TRUE(dir.ok());
  int pipes[2];
  ASSERT_EQ(pipe(pipes), 0);
  pid_t pid = fork();
  if (pid == 0) {
    (void)!write(pipes[1], "1", 1);
    boot::StatusOr<ContainerDir> other = store.Lock("x");
    _exit(!other.ok() && other.status().cause() == Errno::kENOENT ? 0 : 1);
  }
  char byte;
  ASSERT_EQ(read(pipes[0], &byte, 1), 1);
  usleep(20'000);
  EXPECT_EQ(waitpid(pid, nullptr, WNOHANG), 0);  // it waits for us
  ASSERT_TRUE(dir->Remove().ok());
  {
    ContainerDir gone = std::move(*dir);
  }
  int status = 0;
  waitpid(pid, &status, 0);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace cli
