#include "runsc-cli/options.h"

#include <stdlib.h>

namespace cli {

namespace {

std::string DefaultRoot() {
  const char* runtime_dir = getenv("XDG_RUNTIME_DIR");
  if (runtime_dir != nullptr && runtime_dir[0] == '/') return boot::StrCat(runtime_dir, "/runsc");
  return "/var/run/runsc";
}

Status ParseOverlay(const std::string& text, boot::Overlay& overlay) {
  if (text == "none") {
    overlay = boot::Overlay::kNone;
  } else if (text == "root:memory" || text == "root:self") {
    // A file in the root would make the upper layer larger than memory; until it exists, memory it
    // is.
    overlay = boot::Overlay::kRootMemory;
  } else if (text == "all:memory" || text == "all:self") {
    overlay = boot::Overlay::kAllMemory;
  } else {
    return boot::Error("--overlay2: \"", text,
                       "\" is none of none, root:memory, all:memory, root:self");
  }
  return Status();
}

}  // namespace

StatusOr<ParsedCommandLine> ParseOptions(const Args& args) {
  Options o;
  std::string network = "none", overlay = "root:memory", file_access = "exclusive",
              log_format = "text";
  bool rootless = false;
  FlagParser parser("runsc [flags] COMMAND [arguments]", FlagParser::Order::kFlagsFirst);
  parser
      .String("root", &o.root,
              "directory of container states (/var/run/runsc, $XDG_RUNTIME_DIR/runsc)")
      .String("platform", &o.platform,
              "how application code runs: systrap, ptrace, auto (the best of them)")
      .String("network", &network, "none (a loopback interface)")
      .String("overlay2", &overlay, "where writes go: none, root:memory, all:memory")
      .String("file-access", &file_access,
              "exclusive, or shared: host files change under the container")
      .Bool("ignore-cgroups", &o.ignore_cgroups, "make no cgroups")
      .Bool("systemd-cgroup", &o.systemd_cgroup, "cgroupsPath is SLICE:PREFIX:NAME")
      .Bool("debug", &o.debug, "write a debug log")
      .String("debug-log", &o.debug_log,
              "its file, or directory (ends in /); %ID% %COMMAND% %TIMESTAMP% are replaced")
      .Bool("strace", &o.strace, "log the application's system calls (with --debug)")
      .Int("hot-calls", &o.hot_calls,
           "how often a system call instruction is executed before it is replaced by a jump; 0: never")
      .Bool("no-spinning", &o.no_spinning, "never wait busily for system calls on an idle processor")
      .String("log", &o.log, "file that errors are appended to")
      .String("log-format", &log_format, "its format: text, json")
      .Bool("seccomp-log", &o.seccomp_log,
            "log violations of the Sentry's filter instead of killing (debugging only)")
      .Bool("version,v", &o.version, "print the version")
      .Bool("rootless", &rootless)
      .Ignore("alsologtostderr")
      .IgnoreValue("criu");
  Args rest = TRY_STATUS(parser.Parse(args));
  o.help = parser.help_requested();
  if (o.help) o.help_text = parser.Help();

  if (o.root.empty()) o.root = DefaultRoot();
  RETURN_IF_ERROR(ParseOverlay(overlay, o.overlay));
  if (o.platform != "systrap" && o.platform != "ptrace" && o.platform != "auto") {
    return boot::Error("--platform: \"", o.platform, "\" is none of systrap, ptrace, auto");
  }
  if (network == "sandbox" || network == "host")
    return boot::Error("--network=", network, " is not available yet");
  if (network != "none")
    return boot::Error("--network: \"", network, "\" is none of none, sandbox, host");
  if (file_access != "exclusive" && file_access != "shared") {
    return boot::Error("--file-access: \"", file_access, "\" is none of exclusive, shared");
  }
  if (file_access == "shared") o.file_access = boot::FileAccess::kShared;
  if (log_format != "text" && log_format != "json") {
    return boot::Error("--log-format: \"", log_format, "\" is none of text, json");
  }
  o.log_json = log_format == "json";
  if (rootless) return boot::Error("--rootless is not available yet");
  if (!o.debug_log.empty()) o.debug = true;
  return ParsedCommandLine{std::move(o), std::move(rest)};
}

}  // namespace cli
