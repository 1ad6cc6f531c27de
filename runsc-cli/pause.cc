#include "runsc-cli/commands.h"
#include "runsc-cli/sandbox.h"

namespace cli {

namespace {

StatusOr<int> ChangeState(const Options& options, const Args& args, const char* usage,
                          ContainerStatus from, ContainerStatus to) {
  bool done = false;
  FlagParser parser(usage, FlagParser::Order::kAnywhere);
  Args rest = TRY_STATUS(ParseCommand(parser, args, 1, 1, done));
  if (done) return 0;
  StateStore store(options.root);
  ContainerDir dir = TRY_STATUS(store.Lock(rest[0]));
  ContainerState state = TRY_STATUS(dir.Load());
  ContainerStatus status = state.CurrentStatus();
  if (status != from)
    return boot::Error("container \"", rest[0], "\" is ", StatusName(status), ", not ",
                       StatusName(from));
  control::Client client = TRY_STATUS(ConnectTo(store, state));
  control::Request request;
  if (to == ContainerStatus::kPaused) {
    request.mutable_pause();
  } else {
    request.mutable_resume();
  }
  TRY_STATUS(client.Call(std::move(request)));
  state.status = to;
  RETURN_IF_ERROR(dir.Save(state));
  return 0;
}

}  // namespace

StatusOr<int> PauseCommand(const Options& options, const Args& args) {
  return ChangeState(options, args, "runsc pause ID", ContainerStatus::kRunning,
                     ContainerStatus::kPaused);
}

StatusOr<int> ResumeCommand(const Options& options, const Args& args) {
  return ChangeState(options, args, "runsc resume ID", ContainerStatus::kPaused,
                     ContainerStatus::kRunning);
}

}  // namespace cli
