#include "runsc-cli/commands.h"
#include "runsc-cli/state_store.h"
#include "runsc-cli/table.h"
#include "sentry/boot/json_reader.h"

namespace cli {

StatusOr<int> ListCommand(const Options& options, const Args& args) {
  bool done = false, quiet = false;
  std::string format = "table";
  FlagParser parser("runsc list [flags]", FlagParser::Order::kAnywhere);
  parser.String("format,f", &format, "table or json").Bool("quiet,q", &quiet, "ids only");
  TRY_STATUS(ParseCommand(parser, args, 0, 0, done));
  if (done) return 0;
  if (format != "table" && format != "json")
    return boot::Error("--format: \"", format, "\" is none of table, json");

  StateStore store(options.root);
  boot::Json json = boot::Json::array();
  Table table({"ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"});
  std::string ids;
  for (const std::string& id : store.List()) {
    StatusOr<ContainerState> state = store.Load(id);
    if (!state.ok()) continue;  // deleted meanwhile, or not yet written
    ContainerStatus status = state->CurrentStatus();
    int pid = status == ContainerStatus::kStopped ? 0 : state->sentry.pid;
    ids += id + "\n";
    table.Add({id, boot::StrCat(pid), StatusName(status), state->bundle, state->created,
               boot::StrCat(state->owner)});
    json.push_back({{"ociVersion", state->oci_version},
                    {"id", id},
                    {"pid", pid},
                    {"status", StatusName(status)},
                    {"bundle", state->bundle},
                    {"created", state->created},
                    {"annotations", state->annotations},
                    {"owner", state->owner}});
  }
  std::string text = quiet ? ids
                     : format == "json"
                         ? json.dump(-1, ' ', false, boot::Json::error_handler_t::replace) + "\n"
                         : table.Text();
  RETURN_IF_ERROR(Print(text));
  return 0;
}

}  // namespace cli
