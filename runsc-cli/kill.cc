#include <signal.h>

#include "runsc-cli/commands.h"
#include "runsc-cli/sandbox.h"
#include "runsc-cli/signal_names.h"

namespace cli {

namespace {
// A Sentry that does not answer within this time to a SIGKILL is killed itself.
constexpr int kAnswerSeconds = 10;
// A killed container is waited for this long, for `delete` to find it stopped.
constexpr int kExitMs = 3000;
}  // namespace

StatusOr<int> KillCommand(const Options& options, const Args& args) {
  bool done = false, all = false;
  int pid = 0;
  FlagParser parser("runsc kill [flags] ID [SIGNAL]", FlagParser::Order::kAnywhere);
  parser.Bool("all,a", &all, "to every process, not to init alone")
      .Int("pid", &pid, "to this process of the container");
  Args rest = TRY_STATUS(ParseCommand(parser, args, 1, 2, done));
  if (done) return 0;
  std::optional<int> signo = ParseSignal(rest.size() > 1 ? rest[1] : "TERM");
  if (!signo) return boot::Error("unknown signal \"", rest[1], "\"");
  if (pid < 0 || (pid != 0 && all))
    return boot::Error("--pid needs a process id, and goes without --all");

  StateStore store(options.root);
  ContainerState state = TRY_STATUS(store.Load(rest[0]));
  control::Client client = TRY_STATUS(ConnectTo(store, state));
  client.SetTimeout(kAnswerSeconds);
  control::Request request;
  control::Signal* signal = request.mutable_signal();
  signal->set_signo(*signo);
  signal->set_pid(pid);
  signal->set_target(all        ? control::Signal::ALL
                     : pid != 0 ? control::Signal::PROCESS
                                : control::Signal::INIT);
  StatusOr<control::Response> response = client.Call(std::move(request));
  // `delete` may come next: a killed init takes its Sentry with it at once.
  bool ends = *signo == SIGKILL && pid == 0;
  if (response.ok()) {
    if (ends) AwaitExit(state.sentry, kExitMs);
    return 0;
  }
  Errno cause = response.status().cause();
  // The container ended of it, sooner than the answer came (one that was not started yet does).
  if (cause == Errno::kECONNRESET && *signo != 0) {
    AwaitExit(state.sentry, kExitMs);
    return 0;
  }
  if (cause == Errno::kEAGAIN && *signo == SIGKILL && pid == 0 && KillAndWait(state.sentry)) {
    return 0;
  }
  return response.status();
}

}  // namespace cli
