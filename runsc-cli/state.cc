#include "runsc-cli/commands.h"
#include "runsc-cli/state_store.h"

namespace cli {

StatusOr<int> StateCommand(const Options& options, const Args& args) {
  bool done = false;
  FlagParser parser("runsc state ID", FlagParser::Order::kAnywhere);
  Args rest = TRY_STATUS(ParseCommand(parser, args, 1, 1, done));
  if (done) return 0;
  ContainerState state = TRY_STATUS(StateStore(options.root).Load(rest[0]));
  RETURN_IF_ERROR(Print(state.OciJson() + "\n"));
  return 0;
}

}  // namespace cli
