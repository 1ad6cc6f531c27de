#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/host.h"
#include "runsc-cli/commands.h"
#include "runsc-cli/run_foreground.h"
#include "sentry/boot/capability_names.h"
#include "sentry/boot/mount_options.h"
#include "sentry/boot/timeline.h"

extern char** environ;

namespace cli {

namespace {

struct DoFlags {
  std::string root = "/", cwd;
  Args volumes;
  bool tty = false;
};

boot::MountSpec Mount(std::string destination, std::string type, std::vector<std::string> options,
                      std::string source = "") {
  boot::MountSpec mount;
  mount.destination = std::move(destination);
  mount.source = source.empty() ? type : std::move(source);
  mount.type = std::move(type);
  mount.options = std::move(options);
  boot::ParseMountOptions(mount);
  return mount;
}

StatusOr<boot::Spec> MakeSpec(const DoFlags& flags, const Args& command) {
  boot::Spec spec;
  spec.oci_version = "1.1.0";
  spec.process.args = command;
  for (char** variable = environ; *variable != nullptr; variable++)
    spec.process.env.emplace_back(*variable);
  spec.process.cwd = flags.cwd;
  char current[PATH_MAX];
  if (spec.process.cwd.empty())
    spec.process.cwd = getcwd(current, sizeof current) != nullptr ? current : "/";
  if (!spec.process.cwd.starts_with("/")) return boot::Error("--cwd: must be an absolute path");
  spec.process.terminal = flags.tty;
  spec.process.capabilities = {.bounding = boot::kAllCapabilities,
                               .effective = boot::kAllCapabilities,
                               .inheritable = 0,
                               .permitted = boot::kAllCapabilities,
                               .ambient = 0};
  char root[PATH_MAX];
  if (realpath(flags.root.c_str(), root) == nullptr)
    return boot::ErrnoStatus(HOST(-1).error(), flags.root);
  spec.root.path = root;
  char host[HOST_NAME_MAX + 1] = "";
  gethostname(host, sizeof host - 1);
  spec.hostname = host;
  spec.mounts.push_back(Mount("/proc", "proc", {"nosuid", "noexec", "nodev"}));
  spec.mounts.push_back(Mount("/dev", "devtmpfs", {"nosuid", "mode=755"}));
  spec.mounts.push_back(
      Mount("/dev/pts", "devpts", {"nosuid", "noexec", "newinstance", "ptmxmode=0666"}));
  spec.mounts.push_back(Mount("/dev/shm", "tmpfs", {"nosuid", "nodev", "mode=1777"}));
  spec.mounts.push_back(Mount("/sys", "sysfs", {"nosuid", "noexec", "nodev", "ro"}));
  spec.mounts.push_back(Mount("/tmp", "tmpfs", {"nosuid", "nodev", "mode=1777"}));
  for (const std::string& volume : flags.volumes) {
    size_t colon = volume.find(':');
    std::string source = volume.substr(0, colon),
                destination = colon == volume.npos ? source : volume.substr(colon + 1);
    std::vector<std::string> options = {"rbind"};
    if (destination.ends_with(":ro")) {
      destination.resize(destination.size() - 3);
      options.push_back("ro");
    }
    if (!source.starts_with("/") || !destination.starts_with("/")) {
      return boot::Error("--volume: \"", volume,
                         "\" is not SOURCE[:DESTINATION[:ro]] with absolute paths");
    }
    spec.mounts.push_back(Mount(destination, "bind", options, source));
  }
  return spec;
}

}  // namespace

StatusOr<int> DoCommand(const Options& given, const Args& args) {
  bool done = false;
  DoFlags flags;
  FlagParser parser("runsc do [flags] COMMAND [arguments]", FlagParser::Order::kFlagsFirst);
  parser.String("root", &flags.root, "directory that becomes the root (/)")
      .String("cwd", &flags.cwd, "working directory (the current one)")
      .Strings("volume,v", &flags.volumes,
               "show SOURCE[:DESTINATION[:ro]] too, writable (repeatable)")
      .Bool("tty,t", &flags.tty, "with a terminal of its own")
      .Ignore("quiet")
      .Ignore("force-overlay");
  Args command = TRY_STATUS(ParseCommand(parser, args, 1, SIZE_MAX, done));
  if (done) return 0;
  Options options = given;
  // The host's files never change, whatever --overlay2 says.
  if (options.overlay == boot::Overlay::kNone) options.overlay = boot::Overlay::kRootMemory;
  options.ignore_cgroups = true;
  CreateRequest request;
  request.options = &options;
  request.id = boot::StrCat("do-", getpid());
  request.bundle = "/";
  request.spec = TRY_STATUS(MakeSpec(flags, command));
  boot::TimelinePhase("spec made");
  return RunInForeground(std::move(request));
}

}  // namespace cli
