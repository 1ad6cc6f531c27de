#include <signal.h>

#include "base/host.h"
#include "runsc-cli/commands.h"
#include "runsc-cli/foreground.h"
#include "runsc-cli/sandbox.h"

namespace cli {

using boot::Status;
using boot::StatusOr;

namespace {

constexpr int kSentryExitMs = 5000;

bool IsInit(int pid) { return pid == 0 || pid == 1; }

// By the Sentry; once it is gone, by what it has recorded of init.
StatusOr<int> WaitStatusOf(const StateStore& store, const ContainerState& state, int pid) {
  Status failure;
  StatusOr<control::Client> client = ConnectTo(store, state);
  if (client.ok()) {
    control::Request request;
    request.mutable_wait()->set_pid(pid);
    StatusOr<control::Response> response = client->Call(std::move(request));
    if (response.ok()) return response->wait().status();
    failure = response.status();
  } else {
    failure = client.status();
  }
  // An answer that says no is one; only the end of the Sentry is looked at further.
  bool ended = failure.cause() == Errno::kESRCH || failure.cause() == Errno::kECONNRESET;
  if (!ended || !IsInit(pid) || !AwaitExit(state.sentry, kSentryExitMs)) return failure;
  // Without a record the Sentry was killed, and init with it.
  return store.ExitStatusOf(state.id).value_or(SIGKILL);
}

}  // namespace

StatusOr<int> WaitCommand(const Options& options, const Args& args) {
  bool done = false;
  int pid = 0;
  FlagParser parser("runsc wait [flags] ID", FlagParser::Order::kAnywhere);
  parser.Int("pid", &pid, "a process that exec started (init)").Int("rootpid", &pid);
  Args rest = TRY_STATUS(ParseCommand(parser, args, 1, 1, done));
  if (done) return 0;
  StateStore store(options.root);
  ContainerState state = TRY_STATUS(store.Load(rest[0]));
  int status = TRY_STATUS(WaitStatusOf(store, state, pid));
  // Whoever waited may delete it right away.
  if (IsInit(pid)) AwaitExit(state.sentry, kSentryExitMs);
  RETURN_IF_ERROR(Print(boot::StrCat(
      "{\"id\":\"", rest[0], "\",\"exitStatus\":", ExitCode(status), "}\n")));
  return 0;
}

}  // namespace cli
