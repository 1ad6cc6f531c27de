#include "runsc-cli/commands.h"
#include "runsc-cli/foreground.h"
#include "runsc-cli/sandbox.h"

namespace cli {

StatusOr<int> WaitCommand(const Options& options, const Args& args) {
  bool done = false;
  int pid = 0;
  FlagParser parser("runsc wait [flags] ID", FlagParser::Order::kAnywhere);
  parser.Int("pid", &pid, "a process that exec started (init)").Int("rootpid", &pid);
  Args rest = TRY_STATUS(ParseCommand(parser, args, 1, 1, done));
  if (done) return 0;
  StateStore store(options.root);
  ContainerState state = TRY_STATUS(store.Load(rest[0]));
  control::Client client = TRY_STATUS(ConnectTo(store, state));
  control::Request request;
  request.mutable_wait()->set_pid(pid);
  control::Response response = TRY_STATUS(client.Call(std::move(request)));
  RETURN_IF_ERROR(Print(boot::StrCat(
      "{\"id\":\"", rest[0], "\",\"exitStatus\":", ExitCode(response.wait().status()), "}\n")));
  return 0;
}

}  // namespace cli
