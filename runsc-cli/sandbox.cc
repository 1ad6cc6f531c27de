#include "runsc-cli/sandbox.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/host.h"
#include "base/log.h"
#include "runsc-cli/cgroup.h"
#include "runsc-cli/console.h"
#include "runsc-cli/foreground.h"
#include "runsc-cli/hooks.h"
#include "runsc-cli/platforms.h"
#include "runsc-cli/report.h"
#include "sentry/boot/timeline.h"

namespace cli {

using boot::Status;
using boot::StatusOr;
using boot::StrCat;

namespace {

constexpr int kGoferExitMs = 2000;

// False when one of them does not go. The gofer sees the Sentry's end and goes by itself, together
// with its child, which would be left behind if it were killed.
bool EndProcesses(const ProcessId& sentry, const ProcessId& gofer) {
  return KillAndWait(sentry) && (AwaitExit(gofer, kGoferExitMs) || KillAndWait(gofer));
}

// Undoes a creation that did not come to its end.
class Rollback {
 public:
  explicit Rollback(ContainerDir& dir) : dir_(dir) {}
  ~Rollback() {
    if (done_) return;
    EndProcesses(sentry, gofer);
    (void)Cgroup::Remove(cgroup.made());
    (void)dir_.Remove();
  }
  void Commit() { done_ = true; }

  ProcessId sentry, gofer;
  Cgroup cgroup;

 private:
  ContainerDir& dir_;
  bool done_ = false;
};

Status SetUpStdio(const CreateRequest& request, boot::BootConfig& config, Fd& console_master) {
  const boot::ProcessSpec& process = request.spec.process;
  RETURN_IF_ERROR(CheckConsole(process.terminal, request.console_socket, request.foreground));
  if (!process.terminal) {
    for (int i = 0; i < 3; i++)
      config.stdio[i] =
          Fd(TRY_HOST(HOST(fcntl(i, F_DUPFD_CLOEXEC, 3)), "standard input or output"));
    return Status();
  }
  Pty pty = TRY_STATUS(OpenPty(process.console_rows, process.console_columns));
  for (Fd& fd : config.stdio) fd = TRY_HOST(pty.slave.Dup(), "terminal");
  config.controlling_terminal = true;
  if (request.console_socket.empty()) {
    console_master = std::move(pty.master);
  } else {
    RETURN_IF_ERROR(SendConsole(request.console_socket, pty.master));
  }
  return Status();
}

StatusOr<boot::BootConfig> MakeConfig(CreateRequest& request, const ContainerDir& dir,
                                      Fd& console_master) {
  const Options& options = *request.options;
  boot::BootConfig config;
  config.id = request.id;
  config.platform_name = options.platform;
  config.create_platform = FindPlatform(options.platform);
  if (config.create_platform == nullptr) {
    return boot::Error("this build has no platform \"", options.platform, "\"");
  }
  RETURN_IF_ERROR(SetUpStdio(request, config, console_master));
  for (int i = 0; i < request.preserve_fds; i++) {
    config.extra_fds.emplace_back(TRY_HOST(HOST(fcntl(3 + i, F_DUPFD_CLOEXEC, 3)),
                                           StrCat("--preserve-fds: descriptor ", 3 + i)));
  }
  config.control_listen = TRY_STATUS(control::ListenControl(dir.path()));
  config.exit_status = TRY_STATUS(dir.MapExitStatus());
  config.start_at_once = request.start_at_once;
  config.die_with_parent = request.foreground;
  config.overlay = options.overlay;
  config.file_access = options.file_access;
  config.strace = options.strace;
  config.hot_calls = options.hot_calls;
  config.may_spin = !options.no_spinning;
  config.seccomp_log = options.seccomp_log;
  config.log_fd = OpenDebugLog(options, "boot", request.id);
  return config;
}

// The hooks that come before the container's program, in the order of the standard.
Status RunCreateHooks(const boot::Hooks& hooks, const ContainerState& state) {
  if (hooks.prestart.empty() && hooks.create_runtime.empty() && hooks.create_container.empty())
    return Status();
  std::string json = state.OciJson();
  RETURN_IF_ERROR(RunHooks(hooks.prestart, "prestart", json));
  RETURN_IF_ERROR(RunHooks(hooks.create_runtime, "createRuntime", json));
  return RunHooks(hooks.create_container, "createContainer", json);
}

}  // namespace

Status CheckConsole(bool terminal, const std::string& console_socket, bool foreground) {
  if (terminal && console_socket.empty() && !foreground) {
    return boot::Error(
        "cannot allocate a terminal for a detached container without --console-socket");
  }
  if (!terminal && !console_socket.empty()) {
    return boot::Error("--console-socket given, but the process wants no terminal");
  }
  return Status();
}

StatusOr<CreatedSandbox> CreateSandbox(CreateRequest request) {
  const Options& options = *request.options;
  StateStore store(options.root);
  Fd interrupts = TRY_STATUS(TerminationSignals());
  ContainerDir dir = TRY_STATUS(store.Create(request.id));
  Rollback rollback(dir);

  ContainerState state;
  state.id = request.id;
  state.bundle = request.bundle;
  state.created = Rfc3339Now();
  state.annotations = request.spec.annotations;
  state.owner = geteuid();
  RETURN_IF_ERROR(dir.Save(state));
  if (!request.spec_text.empty()) RETURN_IF_ERROR(dir.SaveSpec(request.spec_text));

  if (!options.ignore_cgroups && !request.spec.cgroups_path.empty()) {
    std::string path = request.spec.cgroups_path;
    if (options.systemd_cgroup) path = Cgroup::ExpandSystemdPath(path);
    rollback.cgroup = TRY_STATUS(Cgroup::Create(path, request.spec.resources));
    state.cgroup_paths = rollback.cgroup.made();
    boot::TimelinePhase("cgroup made");
  }
  if (!request.spec.hooks.start_container.empty()) LOG_WARNING("startContainer hooks are not run");

  LaunchRequest launch;
  Fd console_master;
  launch.config = TRY_STATUS(MakeConfig(request, dir, console_master));
  launch.exports = ExportsOf(request.spec, options.overlay, launch.config.mount_exports);
  launch.cgroup = &rollback.cgroup;
  launch.log_level = options.debug ? base::LogLevel::kDebug : base::LogLevel::kOff;
  launch.gofer_log_fd = OpenDebugLog(options, "gofer", request.id);
  boot::Hooks hooks = request.spec.hooks;
  launch.config.spec = std::move(request.spec);
  Launched launched = TRY_STATUS(Launch(std::move(launch)));
  // Our children: their numbers are theirs until we wait for them.
  rollback.sentry = state.sentry = TRY_STATUS(Identify(launched.sentry));
  rollback.gofer = state.gofer = TRY_STATUS(Identify(launched.gofer));
  RETURN_IF_ERROR(dir.Save(state));
  RETURN_IF_ERROR(RunCreateHooks(hooks, state));
  RETURN_IF_ERROR(CheckInterrupted(interrupts));
  RETURN_IF_ERROR(Release(launched));
  RETURN_IF_ERROR(AwaitReady(launched, interrupts));
  boot::TimelinePhase("sandbox ready");

  state.status = ContainerStatus::kCreated;
  RETURN_IF_ERROR(dir.Save(state));
  if (!request.pid_file.empty()) {
    RETURN_IF_ERROR(WriteFileAtomically(request.pid_file, StrCat(launched.sentry)));
  }
  rollback.Commit();
  return CreatedSandbox{std::move(dir), std::move(state), std::move(console_master)};
}

Status MarkStarted(const ContainerDir& dir, ContainerState& state, const boot::Hooks& hooks) {
  state.status = ContainerStatus::kRunning;
  RETURN_IF_ERROR(dir.Save(state));
  if (hooks.poststart.empty()) return Status();
  // The standard: a failure is logged, the container goes on.
  Status status = RunHooks(hooks.poststart, "poststart", state.OciJson());
  if (!status.ok()) LOG_WARNING("{}", status.message());
  return Status();
}

Status DestroySandbox(ContainerDir& dir, const ContainerState& state) {
  if (!EndProcesses(state.sentry, state.gofer)) {
    return boot::Error("the sandbox (processes ", state.sentry.pid, ", ", state.gofer.pid,
                       ") cannot be killed");
  }
  Status status = Cgroup::Remove(state.cgroup_paths);
  StatusOr<boot::Spec> spec = dir.LoadSpec();
  Status removed = dir.Remove();
  if (status.ok()) status = removed;
  if (spec.ok() && !spec->hooks.poststop.empty()) {
    ContainerState stopped = state;
    stopped.status = ContainerStatus::kStopped;
    Status hooks = RunHooks(spec->hooks.poststop, "poststop", stopped.OciJson());
    if (!hooks.ok()) LOG_WARNING("{}", hooks.message());
  }
  return status;
}

StatusOr<control::Client> ConnectTo(const StateStore& store, const ContainerState& state) {
  auto not_running = [&] {
    // Container managers look for these words.
    return Status::Error(StrCat("container not running: ", state.id), Errno::kESRCH);
  };
  if (!IsAlive(state.sentry)) return not_running();
  StatusOr<control::Client> client = control::Client::Connect(store.PathOf(state.id));
  if (!client.ok() && client.status().cause() == Errno::kECONNREFUSED) return not_running();
  return client;
}

}  // namespace cli
