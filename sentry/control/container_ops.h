#pragma once

// What the control server asks of the kernel; the kernel integration implements it. Every call
// comes on the event thread under the kernel lock, on its own stack, so it must not block: what
// takes longer starts a fiber and answers later.

#include <cstdint>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "base/fd.h"
#include "sentry/boot/spec.h"

namespace control {

// An error for the person at the command line; ok when `message` is empty.
struct OpError {
  std::string message;
  Errno code{};
  bool ok() const { return message.empty(); }
};

struct ProcessStatus {
  int pid = 0, ppid = 0;
  uint32_t uid = 0;
  int threads = 1;
  int64_t cpu_ns = 0;
  int64_t start_realtime_ns = 0;  // CLOCK_REALTIME
  std::string command;
};

enum class SignalTarget { kInit, kAll, kProcess, kForegroundGroup };

class ContainerOps {
 public:
  // Answers are given once, under the kernel lock, from within the call or later; dropping one
  // unanswered is an error to the client.
  using Done = absl::AnyInvocable<void(OpError)>;
  using ExecDone = absl::AnyInvocable<void(OpError, int pid)>;
  // `status` as wait(2) gives it.
  using WaitDone = absl::AnyInvocable<void(OpError, int status)>;

  virtual ~ContainerOps() = default;

  // Sets init going. An error when it was already.
  virtual OpError Start() = 0;

  // `pid` as seen in the container; for kProcess and kForegroundGroup. ESRCH when there is no such
  // process.
  virtual OpError Signal(SignalTarget target, int signo, int pid) = 0;

  // Runs one more process in the container. `fds` are its 0, 1, 2 (a terminal three times when
  // spec.terminal). Answers when the program is loaded, or with why not.
  virtual void Exec(boot::ProcessSpec spec, std::vector<Fd> fds, ExecDone done) = 0;

  // Answers when the process has exited (at once when it has already). Processes that Exec started
  // keep their status for the first Wait; init (pid 0 or 1) keeps it for all. ECHILD for processes
  // that the container made itself.
  virtual void Wait(int pid, WaitDone done) = 0;

  virtual std::vector<ProcessStatus> Processes() = 0;

  // Answers when no task of the container runs.
  virtual void Pause(Done done) = 0;
  virtual OpError Resume() = 0;

  virtual bool started() = 0;
  virtual bool paused() = 0;

  // Kills everything and ends the Sentry. Does not come back to the caller's answer necessarily.
  virtual void Destroy() = 0;
};

}  // namespace control
