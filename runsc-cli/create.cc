#include "runsc-cli/commands.h"
#include "runsc-cli/create_flags.h"
#include "runsc-cli/sandbox.h"

namespace cli {

StatusOr<int> CreateCommand(const Options& options, const Args& args) {
  bool done = false;
  CreateRequest request;
  FlagParser parser("runsc create [flags] ID", FlagParser::Order::kAnywhere);
  AddCreateFlags(parser, request);
  Args rest = TRY_STATUS(ParseCommand(parser, args, 1, 1, done));
  if (done) return 0;
  RETURN_IF_ERROR(FinishCreateRequest(options, rest[0], request));
  TRY_STATUS(CreateSandbox(std::move(request)));
  return 0;
}

}  // namespace cli
