#pragma once

#include <string>
#include <vector>

namespace conformance {

// Tests of execve need a program to execute, and only this binary is sure to be there. A helper is
// a function that runs instead of the tests when the binary is started as
//   <SelfPath()> --helper=<name> [arguments]
using HelperMain = int (*)(int argc, char** argv);

struct RegisterHelper {
  RegisterHelper(const char* name, HelperMain main);
};

// The absolute path of this binary.
const std::string& SelfPath();

// argv of a helper, terminated by nullptr; valid while `arguments` and the result live.
class HelperArgv {
 public:
  HelperArgv(const std::string& name, std::vector<std::string> arguments = {});
  char** data() { return pointers_.data(); }

 private:
  std::vector<std::string> strings_;
  std::vector<char*> pointers_;
};

}  // namespace conformance
