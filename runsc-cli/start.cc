#include "runsc-cli/commands.h"
#include "runsc-cli/sandbox.h"

namespace cli {

StatusOr<int> StartCommand(const Options& options, const Args& args) {
  bool done = false;
  FlagParser parser("runsc start ID", FlagParser::Order::kAnywhere);
  Args rest = TRY_STATUS(ParseCommand(parser, args, 1, 1, done));
  if (done) return 0;
  StateStore store(options.root);
  ContainerDir dir = TRY_STATUS(store.Lock(rest[0]));
  ContainerState state = TRY_STATUS(dir.Load());
  ContainerStatus status = state.CurrentStatus();
  if (status != ContainerStatus::kCreated) {
    return boot::Error("cannot start a container in the ", StatusName(status), " state");
  }
  control::Client client = TRY_STATUS(ConnectTo(store, state));
  control::Request request;
  request.mutable_start();
  TRY_STATUS(client.Call(std::move(request)));
  StatusOr<boot::Spec> spec = dir.LoadSpec();
  RETURN_IF_ERROR(MarkStarted(dir, state, spec.ok() ? spec->hooks : boot::Hooks()));
  return 0;
}

}  // namespace cli
