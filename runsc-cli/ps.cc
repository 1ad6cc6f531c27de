#include <stdio.h>
#include <time.h>

#include "runsc-cli/commands.h"
#include "runsc-cli/sandbox.h"
#include "runsc-cli/table.h"
#include "sentry/boot/json_reader.h"

namespace cli {

namespace {

std::string StartTime(int64_t realtime_ns) {
  time_t seconds = realtime_ns / 1'000'000'000;
  tm local;
  localtime_r(&seconds, &local);
  char text[32];
  strftime(text, sizeof text, "%H:%M", &local);
  return text;
}

std::string CpuTime(int64_t ns) {
  int64_t seconds = ns / 1'000'000'000;
  char text[48];
  snprintf(text, sizeof text, "%02d:%02d:%02d", static_cast<int>(seconds / 3600),
           static_cast<int>(seconds / 60 % 60), static_cast<int>(seconds % 60));
  return text;
}

}  // namespace

StatusOr<int> PsCommand(const Options& options, const Args& args) {
  bool done = false;
  std::string format = "table";
  FlagParser parser("runsc ps [flags] ID", FlagParser::Order::kAnywhere);
  parser.String("format,f", &format, "table, or json: the process ids");
  // Callers may add options for ps(1), which runs nowhere here.
  Args rest = TRY_STATUS(ParseCommand(parser, args, 1, SIZE_MAX, done));
  if (done) return 0;
  if (format != "table" && format != "json")
    return boot::Error("--format: \"", format, "\" is none of table, json");
  StateStore store(options.root);
  ContainerState state = TRY_STATUS(store.Load(rest[0]));
  control::Client client = TRY_STATUS(ConnectTo(store, state));
  control::Request request;
  request.mutable_ps();
  control::Response response = TRY_STATUS(client.Call(std::move(request)));

  boot::Json pids = boot::Json::array();
  Table table({"UID", "PID", "PPID", "THREADS", "STIME", "TIME", "CMD"});
  for (const control::ProcessInfo& process : response.ps().processes()) {
    pids.push_back(process.pid());
    table.Add({boot::StrCat(process.uid()), boot::StrCat(process.pid()),
               boot::StrCat(process.ppid()), boot::StrCat(process.threads()),
               StartTime(process.start_realtime_ns()), CpuTime(process.cpu_ns()),
               process.command()});
  }
  RETURN_IF_ERROR(Print(format == "json" ? pids.dump() + "\n" : table.Text()));
  return 0;
}

}  // namespace cli
