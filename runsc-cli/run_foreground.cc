#include "runsc-cli/run_foreground.h"

#include <signal.h>
#include <sys/wait.h>

#include "base/log.h"
#include "runsc-cli/foreground.h"
#include "runsc-cli/report.h"

namespace cli {

using boot::Status;
using boot::StatusOr;

namespace {

void ForwardToInit(const StateStore& store, const ContainerState& state, int signo) {
  StatusOr<control::Client> client = ConnectTo(store, state);
  if (!client.ok()) return;
  control::Request request;
  request.mutable_signal()->set_signo(signo);
  StatusOr<control::Response> response = client->Call(std::move(request));
  if (!response.ok()) LOG_WARNING("signal {}: {}", signo, response.status().message());
}

}  // namespace

StatusOr<int> RunInForeground(CreateRequest request) {
  const Options& options = *request.options;
  boot::Hooks hooks = request.spec.hooks;
  request.start_at_once = true;
  // With a console socket the terminal is somebody else's, but we still wait.
  request.foreground = true;
  CreatedSandbox sandbox = TRY_STATUS(CreateSandbox(std::move(request)));
  Status started = MarkStarted(sandbox.dir, sandbox.state, hooks);
  if (!started.ok()) {
    (void)DestroySandbox(sandbox.dir, sandbox.state);
    return started;
  }
  StateStore store(options.root);
  int master = sandbox.console_master.valid() ? sandbox.console_master.get() : -1;
  StatusOr<int> status = WaitInForeground(sandbox.state.sentry.pid, master, [&](int signo) {
    ForwardToInit(store, sandbox.state, signo);
  });
  RETURN_IF_ERROR(DestroySandbox(sandbox.dir, sandbox.state));
  if (!status.ok()) return status.status();
  // The Sentry exits with what its init ended with. That it was killed is another matter.
  if (WIFSIGNALED(*status)) {
    ReportError(options,
                boot::StrCat(
                    "the sandbox was killed by signal ", WTERMSIG(*status),
                    WTERMSIG(*status) == SIGSYS ? " (a system call that its filter forbids)" : ""));
  }
  return ExitCode(*status);
}

}  // namespace cli
