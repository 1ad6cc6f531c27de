#include "sentry/loader/script.h"

namespace loader {

Result<ScriptLine> ParseScript(std::string_view head) {
  constexpr std::string_view kBlank = " \t";
  constexpr std::string_view kTerminator("\0 \t", 3);
  bool whole = head.size() < kScriptHead;
  // The last byte of a full buffer is never looked at, as if it was a terminator.
  std::string_view line = head.substr(2);
  size_t newline = line.find('\n');
  if (size_t nul = line.find('\0'); nul != std::string_view::npos && (newline == std::string_view::npos || nul < newline)) {
    newline = std::string_view::npos;
    whole = true;
    line = line.substr(0, nul);
  }
  if (newline != std::string_view::npos) {
    line = line.substr(0, newline);
  } else if (!whole) {
    // A line longer than the buffer: fine as long as the name of the interpreter is not cut off.
    size_t name = line.find_first_not_of(kBlank);
    if (name == std::string_view::npos || line.find_first_of(kTerminator, name) == std::string_view::npos) {
      return Errno::kENOEXEC;
    }
    line.remove_suffix(1);
  }
  size_t last = line.find_last_not_of(kBlank);
  if (last == std::string_view::npos) return Errno::kENOEXEC;
  line = line.substr(0, last + 1);
  line.remove_prefix(line.find_first_not_of(kBlank));

  ScriptLine script;
  size_t end = line.find_first_of(kBlank);
  script.interpreter = line.substr(0, end);
  if (end != std::string_view::npos) {
    script.argument = line.substr(line.find_first_not_of(kBlank, end));
    script.has_argument = true;
  }
  return script;
}

}  // namespace loader
