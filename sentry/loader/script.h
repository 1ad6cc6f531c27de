#pragma once

// Interpreter scripts: the line behind "#!". Linux: fs/binfmt_script.c.

#include <string>
#include <string_view>

#include "base/result.h"

namespace loader {

struct ScriptLine {
  std::string interpreter;
  std::string argument;  // all that follows, or empty
  bool has_argument = false;
};

inline constexpr size_t kScriptHead = 256;  // Linux: BINPRM_BUF_SIZE

// `head`: the first 256 bytes of the file, less when it is shorter; begins with "#!". ENOEXEC.
Result<ScriptLine> ParseScript(std::string_view head);

}  // namespace loader
