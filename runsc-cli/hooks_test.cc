#include "runsc-cli/hooks.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

namespace cli {
namespace {

// As main does: a hook that does not read its input is no reason to die.
class HooksTest : public testing::Test {
 protected:
  void SetUp() override { signal(SIGPIPE, SIG_IGN); }
};

boot::HookSpec Shell(const std::string& script, std::optional<int> timeout = {}) {
  return {.path = "/bin/sh",
          .args = {"sh", "-c", script},
          .env = {"WORD=hello"},
          .timeout_seconds = timeout};
}

TEST_F(HooksTest, GetStateEnvironmentAndOrder) {
  char path[] = "/tmp/hooks_test_XXXXXX";
  close(mkstemp(path));
  std::string state(200'000, 's');  // more than a pipe holds
  boot::Status status = RunHooks({Shell("wc -c > " + std::string(path)),
                                  Shell("echo $WORD $PATH_UNSET >> " + std::string(path))},
                                 "prestart", state);
  EXPECT_TRUE(status.ok()) << status.message();
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  EXPECT_EQ(text.str(), "200000\nhello\n");
  unlink(path);
}

TEST_F(HooksTest, FailuresSayWhy) {
  EXPECT_EQ(RunHooks({Shell("echo no good >&2; exit 3")}, "createRuntime", "{}").message(),
            "createRuntime hook /bin/sh: exit status 3: no good");
  EXPECT_EQ(RunHooks({Shell("kill -9 $$")}, "poststop", "{}").message(),
            "poststop hook /bin/sh: killed by signal 9");
  EXPECT_EQ(RunHooks({{.path = "/nonexistent"}}, "prestart", "{}").message(),
            "prestart hook /nonexistent: exit status 127: No such file or directory");
}

TEST_F(HooksTest, TimeOut) {
  time_t before = time(nullptr);
  EXPECT_EQ(RunHooks({Shell("exec sleep 30", 1)}, "prestart", "{}").message(),
            "prestart hook /bin/sh: did not end within 1 s");
  EXPECT_LT(time(nullptr) - before, 10);
}

TEST_F(HooksTest, ABackgroundProcessDoesNotHoldIt) {
  time_t before = time(nullptr);
  EXPECT_TRUE(RunHooks({Shell("sleep 20 & exit 0")}, "poststart", "{}").ok());
  EXPECT_LT(time(nullptr) - before, 10);
}

}  // namespace
}  // namespace cli
