#pragma once

// Waiting for a child in place of what it stands for: signals go on to it, and a terminal is served
// meanwhile.

#include <sys/types.h>

#include <functional>

#include "base/fd.h"
#include "sentry/boot/status.h"

namespace cli {

// Whether the process is the one that a terminal stops on Ctrl-Z: SIGTSTP is then passed on rather
// than obeyed.
enum class Terminal { kNone, kOurs };

// Blocks the signals that a command in the foreground passes on, and makes a signalfd(2) of them
// (SIGWINCH among them).
boot::StatusOr<Fd> ForwardedSignals(Terminal terminal);

// Blocks SIGINT, SIGTERM, SIGHUP and SIGQUIT and makes a signalfd(2) of them: for what must not end
// halfway.
boot::StatusOr<Fd> TerminationSignals();
// An error when one of them has come.
boot::Status CheckInterrupted(const Fd& termination_signals);

// Waits until `child` ends and returns its wait status. Calls `forward` for each signal of
// ForwardedSignals, but for SIGWINCH when there is a terminal: `master` (or -1) is then the master
// side of the child's, served from standard input and output, with the size of our own terminal.
boot::StatusOr<int> WaitInForeground(pid_t child, int master,
                                     const std::function<void(int)>& forward);

// 7 for exit(7), 128 + n when signal n killed it.
int ExitCode(int wait_status);

}  // namespace cli
