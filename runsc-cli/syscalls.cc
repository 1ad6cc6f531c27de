#include "runsc-cli/commands.h"

#ifdef RUNSC_HAVE_SYSCALLS
#include "syscalls/table.h"
#endif

namespace cli {

StatusOr<int> SyscallsCommand(const Options&, const Args& args) {
  bool done = false;
  std::string format = "table";
  FlagParser parser("runsc syscalls [flags]", FlagParser::Order::kAnywhere);
  parser.String("format,o", &format, "table, csv, json or markdown");
  TRY_STATUS(ParseCommand(parser, args, 0, 0, done));
  if (done) return 0;
  if (format != "table" && format != "csv" && format != "json" && format != "markdown") {
    return boot::Error("--format: \"", format, "\" is none of table, csv, json, markdown");
  }
#ifdef RUNSC_HAVE_SYSCALLS
  RETURN_IF_ERROR(Print(syscalls::Describe(format)));
  return 0;
#else
  return boot::Error("this build has no table of system calls");
#endif
}

}  // namespace cli
