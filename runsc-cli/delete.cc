#include "runsc-cli/commands.h"
#include "runsc-cli/sandbox.h"

namespace cli {

StatusOr<int> DeleteCommand(const Options& options, const Args& args) {
  bool done = false, force = false;
  FlagParser parser("runsc delete [flags] ID", FlagParser::Order::kAnywhere);
  parser.Bool("force,f", &force, "kill it first if it runs; no error when it does not exist");
  Args rest = TRY_STATUS(ParseCommand(parser, args, 1, 1, done));
  if (done) return 0;
  StateStore store(options.root);
  StatusOr<ContainerDir> dir = store.Lock(rest[0]);
  if (!dir.ok()) {
    if (force && dir.status().cause() == Errno::kENOENT) return 0;
    return dir.status();
  }
  StatusOr<ContainerState> state = dir->Load();
  if (!state.ok()) {
    // Whoever made it was killed before there was anything but the directory.
    if (!force && state.status().cause() != Errno::kENOENT) return state.status();
    RETURN_IF_ERROR(dir->Remove());
    return 0;
  }
  ContainerStatus status = state->CurrentStatus();
  if (!force && status != ContainerStatus::kStopped && status != ContainerStatus::kCreated) {
    return boot::Error("cannot delete container \"", rest[0],
                       "\" that is not stopped: ", StatusName(status));
  }
  RETURN_IF_ERROR(DestroySandbox(*dir, *state));
  return 0;
}

}  // namespace cli
