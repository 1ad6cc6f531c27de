#include "runsc-cli/commands.h"

namespace cli {

StatusOr<int> SyscallsCommand(const Options&, const Args& args) {
  bool done = false;
  std::string format = "table";
  FlagParser parser("runsc syscalls [flags]", FlagParser::Order::kAnywhere);
  parser.String("format,o", &format, "table, csv or json");
  TRY_STATUS(ParseCommand(parser, args, 0, 0, done));
  if (done) return 0;
  return boot::Error("this build has no table of system calls");
}

}  // namespace cli
