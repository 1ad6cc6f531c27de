#include "runsc-cli/commands.h"
#include "runsc-cli/create_flags.h"
#include "runsc-cli/run_foreground.h"

namespace cli {

StatusOr<int> RunCommand(const Options& options, const Args& args) {
  bool done = false, detach = false;
  CreateRequest request;
  FlagParser parser("runsc run [flags] ID", FlagParser::Order::kAnywhere);
  AddCreateFlags(parser, request);
  parser.Bool("detach,d", &detach, "do not wait");
  Args rest = TRY_STATUS(ParseCommand(parser, args, 1, 1, done));
  if (done) return 0;
  RETURN_IF_ERROR(FinishCreateRequest(options, rest[0], request));
  if (!detach) return RunInForeground(std::move(request));
  boot::Hooks hooks = request.spec.hooks;
  request.start_at_once = true;
  CreatedSandbox sandbox = TRY_STATUS(CreateSandbox(std::move(request)));
  RETURN_IF_ERROR(MarkStarted(sandbox.dir, sandbox.state, hooks));
  return 0;
}

}  // namespace cli
