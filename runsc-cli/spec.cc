#include <unistd.h>

#include "base/host.h"
#include "runsc-cli/commands.h"
#include "runsc-cli/state_store.h"
#include "sentry/boot/json_reader.h"

namespace cli {

namespace {

constexpr const char* kTemplate = R"({
  "ociVersion": "1.1.0",
  "process": {
    "terminal": true,
    "user": {"uid": 0, "gid": 0},
    "args": ["sh"],
    "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
    "cwd": "/",
    "capabilities": {
      "bounding": ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"],
      "effective": ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"],
      "permitted": ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]
    },
    "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
    "noNewPrivileges": true
  },
  "root": {"path": "rootfs", "readonly": true},
  "hostname": "runsc",
  "mounts": [
    {"destination": "/proc", "type": "proc", "source": "proc"},
    {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
     "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
    {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]}
  ],
  "linux": {
    "namespaces": [{"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}]
  }
})";

}  // namespace

StatusOr<int> SpecCommand(const Options&, const Args& args) {
  bool done = false;
  std::string bundle = ".", cwd;
  FlagParser parser("runsc spec [flags] [-- COMMAND [arguments]]", FlagParser::Order::kFlagsFirst);
  parser.String("bundle,b", &bundle, "directory to write config.json to (.)")
      .String("cwd", &cwd, "working directory of the program")
      .Ignore("rootless");
  Args command = TRY_STATUS(ParseCommand(parser, args, 0, SIZE_MAX, done));
  if (done) return 0;
  std::string path = bundle + "/config.json";
  if (access(path.c_str(), F_OK) == 0) return boot::Error(path, " exists already");
  // The template itself is parsed lazily here: nothing of it costs a start of a container.
  nlohmann::ordered_json json = nlohmann::ordered_json::parse(kTemplate, nullptr, false);
  if (!command.empty()) {
    json["process"]["args"] = command;
    json["process"]["terminal"] = false;
  }
  if (!cwd.empty()) json["process"]["cwd"] = cwd;
  RETURN_IF_ERROR(WriteFileAtomically(
      path, json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n"));
  return 0;
}

}  // namespace cli
