#pragma once

// The flags before the verb.

#include <string>

#include "runsc-cli/flags.h"
#include "sentry/boot/boot.h"

namespace cli {

struct Options {
  std::string root;  // state directory
  std::string platform = "auto";
  boot::Overlay overlay = boot::Overlay::kRootMemory;
  boot::FileAccess file_access = boot::FileAccess::kExclusive;
  bool debug = false;
  bool strace = false;
  int hot_calls = 32;
  bool no_spinning = false;
  bool ignore_cgroups = false;
  bool systemd_cgroup = false;
  bool seccomp_log = false;
  std::string debug_log;  // file, directory ("ends with /") or pattern
  std::string log;        // where errors go besides standard error
  bool log_json = false;

  bool help = false, version = false;
  std::string help_text;
};

struct ParsedCommandLine {
  Options options;
  Args rest;  // the verb and what follows
};

StatusOr<ParsedCommandLine> ParseOptions(const Args& args);

}  // namespace cli
