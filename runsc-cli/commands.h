#pragma once

// The verbs. Each returns the exit status of the program, or an error that is reported as one line
// (exit status 1, or 255 for exec, as runc has it).

#include "runsc-cli/options.h"

namespace cli {

struct Command {
  const char* name;
  const char* help;
  StatusOr<int> (*run)(const Options&, const Args&);
  int error_code = 1;
};

StatusOr<int> RunCommand(const Options& options, const Args& args);       // run.cc
StatusOr<int> CreateCommand(const Options& options, const Args& args);    // create.cc
StatusOr<int> StartCommand(const Options& options, const Args& args);     // start.cc
StatusOr<int> StateCommand(const Options& options, const Args& args);     // state.cc
StatusOr<int> KillCommand(const Options& options, const Args& args);      // kill.cc
StatusOr<int> DeleteCommand(const Options& options, const Args& args);    // delete.cc
StatusOr<int> ExecCommand(const Options& options, const Args& args);      // exec.cc
StatusOr<int> WaitCommand(const Options& options, const Args& args);      // wait.cc
StatusOr<int> ListCommand(const Options& options, const Args& args);      // list.cc
StatusOr<int> PsCommand(const Options& options, const Args& args);        // ps.cc
StatusOr<int> PauseCommand(const Options& options, const Args& args);     // pause.cc
StatusOr<int> ResumeCommand(const Options& options, const Args& args);    // pause.cc
StatusOr<int> SpecCommand(const Options& options, const Args& args);      // spec.cc
StatusOr<int> DoCommand(const Options& options, const Args& args);        // do.cc
StatusOr<int> SyscallsCommand(const Options& options, const Args& args);  // syscalls.cc

// Parses `args` with `parser`, prints help where asked (then `done` is set), and checks the number
// of what is left.
StatusOr<Args> ParseCommand(FlagParser& parser, const Args& args, size_t min, size_t max,
                            bool& done);

// Writes to standard output; an error when that fails, as it does when the disk is full.
Status Print(std::string_view text);

}  // namespace cli
