#include "runsc-cli/create_flags.h"

#include <limits.h>
#include <stdlib.h>

#include "base/host.h"
#include "sentry/boot/timeline.h"

namespace cli {

void AddCreateFlags(FlagParser& parser, CreateRequest& request) {
  request.bundle = ".";
  parser.String("bundle,b", &request.bundle, "directory of config.json (.)")
      .String("pid-file", &request.pid_file, "file to write the sandbox's process id to")
      .String("console-socket", &request.console_socket,
              "unix socket that gets the terminal's master")
      .Int("preserve-fds", &request.preserve_fds,
           "pass so many descriptors, from 3 on, to the container")
      .Ignore("no-pivot")
      .Ignore("no-new-keyring")
      .Ignore("no-subreaper")
      .Ignore("keep");
}

Status FinishCreateRequest(const Options& options, const std::string& id, CreateRequest& request) {
  request.options = &options;
  request.id = id;
  char resolved[PATH_MAX];
  if (realpath(request.bundle.c_str(), resolved) == nullptr)
    return boot::ErrnoStatus(HOST(-1).error(), request.bundle);
  request.bundle = resolved;
  if (request.preserve_fds < 0) return boot::Error("--preserve-fds: must not be negative");
  request.spec = TRY_STATUS(boot::LoadSpec(request.bundle, &request.spec_text));
  boot::TimelinePhase("spec parsed");
  return Status();
}

}  // namespace cli
