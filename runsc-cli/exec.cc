#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "base/host.h"
#include "base/log.h"
#include "runsc-cli/commands.h"
#include "runsc-cli/console.h"
#include "runsc-cli/foreground.h"
#include "runsc-cli/sandbox.h"
#include "sentry/boot/capability_names.h"
#include "sentry/boot/sandbox_setup.h"
#include "sentry/control/wire.h"

namespace cli {

using boot::StrCat;

namespace {

struct ExecFlags {
  std::string process_file, pid_file, internal_pid_file, console_socket, cwd, user;
  Args env, caps, additional_gids;
  bool detach = false, tty = false, no_new_privileges = false;
};

StatusOr<uint32_t> ParseId(const std::string& text, const char* what) {
  uint32_t id = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  if (error != std::errc() || end != text.data() + text.size())
    return boot::Error("invalid ", what, " \"", text, "\"");
  return id;
}

StatusOr<std::string> ReadFile(const std::string& path) {
  Fd file(TRY_HOST(HOST(open(path.c_str(), O_RDONLY | O_CLOEXEC)), path));
  std::string text;
  char buffer[4096];
  while (ssize_t n = TRY_HOST(HOST_RETRY(read(file.get(), buffer, sizeof buffer)), path)) {
    text.append(buffer, static_cast<size_t>(n));
  }
  return text;
}

// The process that the flags describe, on the base of the container's own.
StatusOr<boot::ProcessSpec> MakeProcess(const ExecFlags& flags, const Args& command,
                                        boot::ProcessSpec process) {
  if (!flags.process_file.empty()) {
    if (!command.empty()) return boot::Error("--process goes without a command");
    std::string text = TRY_STATUS(ReadFile(flags.process_file));
    StatusOr<boot::ProcessSpec> given = boot::ParseProcess(text);
    if (!given.ok()) return boot::Annotate(given.status(), flags.process_file);
    process = std::move(*given);
    process.terminal = process.terminal || flags.tty;
    return process;
  }
  if (command.empty()) return boot::Error("a command or --process is needed");
  process.args = command;
  process.terminal = flags.tty;
  process.console_rows = process.console_columns = 0;
  process.oom_score_adj.reset();
  for (const std::string& variable : flags.env) {
    std::string name = variable.substr(0, variable.find('=') + 1);
    std::erase_if(process.env,
                  [&](const std::string& old) { return !name.empty() && old.starts_with(name); });
    process.env.push_back(variable);
  }
  if (!flags.cwd.empty()) process.cwd = flags.cwd;
  if (!process.cwd.starts_with("/")) return boot::Error("--cwd: must be an absolute path");
  if (!flags.user.empty()) {
    size_t colon = flags.user.find(':');
    process.uid = TRY_STATUS(ParseId(flags.user.substr(0, colon), "user id"));
    process.gid = colon == flags.user.npos
                      ? 0
                      : TRY_STATUS(ParseId(flags.user.substr(colon + 1), "group id"));
    process.additional_gids.clear();
  }
  for (const std::string& gid : flags.additional_gids) {
    process.additional_gids.push_back(TRY_STATUS(ParseId(gid, "group id")));
  }
  for (const std::string& name : flags.caps) {
    std::optional<int> number = boot::CapabilityNumber(name);
    if (!number) return boot::Error("--cap: unknown capability \"", name, "\"");
    uint64_t bit = uint64_t{1} << *number;
    process.capabilities.bounding |= bit;
    process.capabilities.permitted |= bit;
    process.capabilities.effective |= bit;
  }
  process.no_new_privileges = process.no_new_privileges || flags.no_new_privileges;
  return process;
}

// Passes a signal on to the process, or, where a terminal made it, to those in its foreground.
void Forward(const StateStore& store, const ContainerState& state, int pid, int signo,
             bool terminal) {
  StatusOr<control::Client> client = ConnectTo(store, state);
  if (!client.ok()) return;
  bool from_terminal =
      terminal && (signo == SIGINT || signo == SIGQUIT || signo == SIGTSTP || signo == SIGWINCH);
  control::Request request;
  request.mutable_signal()->set_signo(signo);
  request.mutable_signal()->set_pid(pid);
  request.mutable_signal()->set_target(from_terminal ? control::Signal::FOREGROUND_GROUP
                                                     : control::Signal::PROCESS);
  client->SetTimeout(5);
  (void)client->Call(std::move(request));
}

// The host process that stands for one in the container: ends as it ends; dies as it is killed,
// since the Sentry kills it when this process's connection is gone.
[[noreturn]] void StandIn(const StateStore& store, const ContainerState& state,
                          control::Client client, int pid, const Fd& terminal) {
  if (terminal.valid()) {
    setsid();
    ioctl(terminal.get(), TIOCSCTTY, 0);
  }
  StatusOr<Fd> signals = ForwardedSignals(terminal.valid() ? Terminal::kOurs : Terminal::kNone);
  if (!signals.ok()) _exit(255);
  control::Request request;
  request.mutable_wait()->set_pid(pid);
  if (!client.Send(std::move(request)).ok()) _exit(255);
  for (;;) {
    pollfd polls[2] = {{.fd = client.fd(), .events = POLLIN},
                       {.fd = signals->get(), .events = POLLIN}};
    if (poll(polls, 2, -1) < 0) continue;
    signalfd_siginfo info;
    if (polls[1].revents != 0 && read(signals->get(), &info, sizeof info) == sizeof info) {
      Forward(store, state, pid, static_cast<int>(info.ssi_signo), terminal.valid());
    }
    if (polls[0].revents == 0) continue;
    StatusOr<control::Response> response = client.Receive();
    // The whole sandbox ended: to the process that is a SIGKILL.
    if (!response.ok()) _exit(128 + SIGKILL);
    _exit(ExitCode(response->wait().status()));
  }
}

StatusOr<int> Exec(const Options& options, const ExecFlags& flags, const std::string& id,
                   const Args& command) {
  StateStore store(options.root);
  ContainerState state = TRY_STATUS(store.Load(id));
  ContainerStatus status = state.CurrentStatus();
  if (status == ContainerStatus::kStopped) return boot::Error("cannot exec in a stopped container");
  if (status == ContainerStatus::kPaused) return boot::Error("cannot exec in a paused container");
  StatusOr<boot::Spec> spec = boot::LoadSpec(store.PathOf(id));
  boot::ProcessSpec process = TRY_STATUS(
      MakeProcess(flags, command, spec.ok() ? std::move(spec->process) : boot::ProcessSpec()));
  RETURN_IF_ERROR(CheckConsole(process.terminal, flags.console_socket, !flags.detach));

  Fd master, slave;
  std::vector<int> stdio = {0, 1, 2};
  if (process.terminal) {
    Pty pty = TRY_STATUS(OpenPty(process.console_rows, process.console_columns));
    master = std::move(pty.master);
    slave = std::move(pty.slave);
    stdio.assign(3, slave.get());
    if (!flags.console_socket.empty()) {
      RETURN_IF_ERROR(SendConsole(flags.console_socket, master));
      master.reset();
    }
  }
  control::Client client = TRY_STATUS(ConnectTo(store, state));
  control::Request request;
  control::ToProto(process, *request.mutable_exec()->mutable_process());
  request.mutable_exec()->set_kill_on_disconnect(true);
  control::Response response = TRY_STATUS(client.Call(std::move(request), stdio));
  int pid = response.exec().pid();

  // Blocked before there is a process that they could end.
  TRY_STATUS(ForwardedSignals(process.terminal ? Terminal::kOurs : Terminal::kNone));
  pid_t stand_in = TRY_HOST(HOST(fork()), "fork");
  if (stand_in == 0) {
    if (!flags.detach) prctl(PR_SET_PDEATHSIG, SIGKILL);
    // Whoever reads the pipe that is our standard output waits for its end, which must be the
    // process's, not ours.
    Fd null(open("/dev/null", O_RDWR | O_CLOEXEC));
    for (int i = 0; i < 3; i++) dup2(null.get(), i);
    int keep[] = {0, 1, 2, client.fd(), slave.get()};
    boot::CloseAllExcept(keep);
    StandIn(store, state, std::move(client), pid, slave);
  }
  slave.reset();
  {
    control::Client closed = std::move(client);
  }  // the stand-in's copy is the one that counts
  if (!flags.pid_file.empty())
    RETURN_IF_ERROR(WriteFileAtomically(flags.pid_file, StrCat(stand_in)));
  if (!flags.internal_pid_file.empty())
    RETURN_IF_ERROR(WriteFileAtomically(flags.internal_pid_file, StrCat(pid)));
  if (flags.detach) return 0;
  int wait_status = TRY_STATUS(WaitInForeground(stand_in, master.valid() ? master.get() : -1,
                                                [&](int signo) { kill(stand_in, signo); }));
  return ExitCode(wait_status);
}

}  // namespace

StatusOr<int> ExecCommand(const Options& options, const Args& args) {
  bool done = false;
  ExecFlags flags;
  FlagParser parser("runsc exec [flags] ID COMMAND [arguments]", FlagParser::Order::kFlagsFirst);
  parser
      .String("process,p", &flags.process_file,
              "file with the process as JSON, instead of a command")
      .Bool("detach,d", &flags.detach, "do not wait")
      .String("pid-file", &flags.pid_file, "file for the id of the host process that stands for it")
      .String("internal-pid-file", &flags.internal_pid_file,
              "file for its process id in the container")
      .String("console-socket", &flags.console_socket,
              "unix socket that gets the terminal's master")
      .Strings("env,e", &flags.env, "set NAME=VALUE (repeatable)")
      .String("cwd", &flags.cwd, "working directory")
      .String("user,u", &flags.user, "UID[:GID]")
      .Strings("additional-gids,g", &flags.additional_gids, "one more group (repeatable)")
      .Strings("cap,c", &flags.caps, "one more capability (repeatable)")
      .Bool("tty,t", &flags.tty, "with a terminal")
      .Bool("no-new-privs", &flags.no_new_privileges, "no privileges by exec")
      .IgnoreValue("apparmor")
      .IgnoreValue("process-label")
      .IgnoreValue("cgroup")
      .IgnoreValue("preserve-fds")
      .Ignore("ignore-paused")
      .Ignore("no-subreaper");
  Args rest = TRY_STATUS(ParseCommand(parser, args, 1, SIZE_MAX, done));
  if (done) return 0;
  return Exec(options, flags, rest[0], Args(rest.begin() + 1, rest.end()));
}

}  // namespace cli
