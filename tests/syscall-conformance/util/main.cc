#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <map>
#include <string>

#include "gtest/gtest.h"
#include "util/helper.h"

namespace conformance {
namespace {

std::map<std::string, HelperMain>& Helpers() {
  static auto* helpers = new std::map<std::string, HelperMain>;
  return *helpers;
}

std::string& MutableSelfPath() {
  static auto* path = new std::string;
  return *path;
}

// No test may hang: SIGALRM ends the whole program, and the runner goes on with the next case.
class TimeLimit : public testing::EmptyTestEventListener {
  void OnTestStart(const testing::TestInfo&) override {
    signal(SIGALRM, SIG_DFL);
    alarm(10);
  }
  void OnTestEnd(const testing::TestInfo&) override { alarm(0); }
};

}  // namespace

RegisterHelper::RegisterHelper(const char* name, HelperMain main) { Helpers()[name] = main; }

const std::string& SelfPath() { return MutableSelfPath(); }

HelperArgv::HelperArgv(const std::string& name, std::vector<std::string> arguments) {
  strings_ = {SelfPath(), "--helper=" + name};
  for (auto& argument : arguments) strings_.push_back(argument);
  for (auto& string : strings_) pointers_.push_back(string.data());
  pointers_.push_back(nullptr);
}

}  // namespace conformance

int main(int argc, char** argv) {
  using namespace conformance;
  constexpr char kHelperFlag[] = "--helper=";
  char resolved[PATH_MAX];
  if (argc > 0 && realpath(argv[0], resolved) != nullptr) MutableSelfPath() = resolved;
  if (argc > 1 && strncmp(argv[1], kHelperFlag, strlen(kHelperFlag)) == 0) {
    auto found = Helpers().find(argv[1] + strlen(kHelperFlag));
    return found == Helpers().end() ? 96 : found->second(argc, argv);
  }
  testing::InitGoogleTest(&argc, argv);
  testing::UnitTest::GetInstance()->listeners().Append(new TimeLimit);
  return RUN_ALL_TESTS();
}
