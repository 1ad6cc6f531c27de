#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "base/host.h"
#include "base/log.h"
#include "runsc-cli/commands.h"
#include "runsc-cli/report.h"
#include "sentry/boot/timeline.h"

#ifndef RUNSC_VERSION
#define RUNSC_VERSION "0.1.0"
#endif

namespace cli {

namespace {

constexpr Command kCommands[] = {
    {"create", "make a container; its program waits for start", CreateCommand},
    {"delete", "remove a container", DeleteCommand},
    {"do", "run a command over this host's files, which it cannot change", DoCommand},
    {"exec", "run one more process in a container", ExecCommand, 255},
    {"kill", "send a signal to a container", KillCommand},
    {"list", "list containers", ListCommand},
    {"pause", "stop all processes of a container", PauseCommand},
    {"ps", "list the processes of a container", PsCommand},
    {"resume", "let a paused container go on", ResumeCommand},
    {"run", "create and start a container, wait for it, delete it", RunCommand},
    {"spec", "write a config.json to start from", SpecCommand},
    {"start", "start the program of a created container", StartCommand},
    {"state", "print the state of a container", StateCommand},
    {"syscalls", "print which system calls are supported", SyscallsCommand},
    {"wait", "wait for a process of a container", WaitCommand},
};

const Command* FindCommand(std::string_view name) {
  for (const Command& command : kCommands) {
    if (command.name == name) return &command;
  }
  return nullptr;
}

std::string Overview(const std::string& flags) {
  std::string out = flags + "\ncommands (each with --help):\n";
  for (const Command& command : kCommands) {
    std::string left = boot::StrCat("  ", command.name);
    left.resize(30, ' ');
    out += boot::StrCat(left, command.help, "\n");
  }
  return out;
}

// A missing standard descriptor would be taken by the first file that is opened.
void EnsureStandardDescriptors() {
  for (;;) {
    int fd = open("/dev/null", O_RDWR);
    if (fd > 2) close(fd);
    if (fd > 2 || fd < 0) return;
  }
}

int Main(const Args& args) {
  StatusOr<ParsedCommandLine> parsed = ParseOptions(args);
  if (!parsed.ok()) {
    ReportError(Options(), parsed.status().message());
    return 1;
  }
  const Options& options = parsed->options;
  if (options.version) {
    // The first line as container managers parse it.
    return Print("runsc version " RUNSC_VERSION "\nspec: 1.1.0\n").ok() ? 0 : 1;
  }
  if (options.help || parsed->rest.empty() || parsed->rest[0] == "help") {
    StatusOr<ParsedCommandLine> help = ParseOptions({"--help"});
    (void)Print(Overview(help.ok() ? help->options.help_text : ""));
    return options.help || !parsed->rest.empty() ? 0 : 1;
  }
  const std::string& verb = parsed->rest[0];
  const Command* command = FindCommand(verb);
  if (command == nullptr) {
    ReportError(options, boot::StrCat("unknown command \"", verb, "\" (see runsc --help)"));
    return 1;
  }
  if (options.debug)
    base::LogInit(base::LogLevel::kDebug, OpenDebugLog(options, verb, "cli"), "cli");
  boot::TimelinePhase("flags parsed");
  StatusOr<int> code = command->run(options, Args(parsed->rest.begin() + 1, parsed->rest.end()));
  if (code.ok()) return *code;
  ReportError(options, boot::StrCat(verb, ": ", code.status().message()));
  return command->error_code;
}

}  // namespace

StatusOr<Args> ParseCommand(FlagParser& parser, const Args& args, size_t min, size_t max,
                            bool& done) {
  Args rest = TRY_STATUS(parser.Parse(args));
  done = parser.help_requested();
  if (done) {
    RETURN_IF_ERROR(Print(parser.Help()));
    return rest;
  }
  if (rest.size() < min) return boot::Error("an argument is missing (see --help)");
  if (rest.size() > max) return boot::Error("unexpected argument \"", rest[max], "\"");
  return rest;
}

Status Print(std::string_view text) {
  while (!text.empty()) {
    text.remove_prefix(static_cast<size_t>(
        TRY_HOST(HOST_RETRY(write(STDOUT_FILENO, text.data(), text.size())), "standard output")));
  }
  return Status();
}

}  // namespace cli

int main(int argc, char** argv) {
  boot::TimelineStart();
  cli::EnsureStandardDescriptors();
  signal(SIGPIPE, SIG_IGN);
  return cli::Main(cli::Args(argv + 1, argv + argc));
}
