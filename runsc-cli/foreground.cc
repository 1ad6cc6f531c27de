#include "runsc-cli/foreground.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <optional>

#include "base/host.h"
#include "runsc-cli/console.h"

namespace cli {

using boot::StatusOr;

namespace {

constexpr int kForwarded[] = {SIGINT,  SIGTERM, SIGQUIT, SIGHUP,  SIGUSR1,
                              SIGUSR2, SIGALRM, SIGCONT, SIGWINCH};

// Moves what `from` has to `to`. False at its end.
bool Copy(int from, int to) {
  char buffer[8192];
  Result<ssize_t> n = HOST(read(from, buffer, sizeof buffer));
  if (!n.ok()) return n.error() == Errno::kEAGAIN || n.error() == Errno::kEINTR;
  for (ssize_t done = 0; done < *n;) {
    Result<ssize_t> written = HOST_RETRY(write(to, buffer + done, static_cast<size_t>(*n - done)));
    if (!written.ok()) return false;
    done += *written;
  }
  return *n > 0;
}

// What was written last is still in the terminal when its writer has ended.
void Drain(int master) {
  for (;;) {
    pollfd last{.fd = master, .events = POLLIN};
    if (poll(&last, 1, 0) <= 0 || (last.revents & POLLIN) == 0 || !Copy(master, STDOUT_FILENO))
      return;
  }
}

}  // namespace

StatusOr<Fd> ForwardedSignals(Terminal terminal) {
  sigset_t mask;
  sigemptyset(&mask);
  for (int signo : kForwarded) sigaddset(&mask, signo);
  if (terminal == Terminal::kOurs) sigaddset(&mask, SIGTSTP);
  sigprocmask(SIG_BLOCK, &mask, nullptr);
  return Fd(TRY_HOST(HOST(signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK)), "signalfd"));
}

StatusOr<Fd> TerminationSignals() {
  sigset_t mask;
  sigemptyset(&mask);
  for (int signo : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) sigaddset(&mask, signo);
  sigprocmask(SIG_BLOCK, &mask, nullptr);
  return Fd(TRY_HOST(HOST(signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK)), "signalfd"));
}

boot::Status CheckInterrupted(const Fd& termination_signals) {
  signalfd_siginfo info;
  if (read(termination_signals.get(), &info, sizeof info) != sizeof info) return boot::Status();
  return boot::Error("interrupted by signal ", info.ssi_signo);
}

StatusOr<int> WaitInForeground(pid_t child, int master, const std::function<void(int)>& forward) {
  Fd signals = TRY_STATUS(ForwardedSignals(Terminal::kNone));
  Fd pidfd(TRY_HOST(HOST(static_cast<int>(syscall(SYS_pidfd_open, child, 0))), "pidfd_open"));
  std::optional<RawMode> raw;
  if (master >= 0) raw.emplace();
  int input = master >= 0 ? STDIN_FILENO : -1, output = master;
  for (bool ended = false; !ended;) {
    pollfd polls[4] = {{.fd = pidfd.get(), .events = POLLIN},
                       {.fd = signals.get(), .events = POLLIN},
                       {.fd = output, .events = POLLIN},
                       {.fd = input, .events = POLLIN}};
    TRY_HOST(HOST_RETRY(poll(polls, 4, -1)), "poll");
    if (polls[2].revents != 0 && !Copy(master, STDOUT_FILENO)) output = -1;
    if (polls[3].revents != 0 && !Copy(STDIN_FILENO, master)) input = -1;
    signalfd_siginfo info;
    if (polls[1].revents != 0 && read(signals.get(), &info, sizeof info) == sizeof info) {
      winsize size;
      if (info.ssi_signo == SIGWINCH && master >= 0) {
        if (ioctl(STDIN_FILENO, TIOCGWINSZ, &size) == 0) ioctl(master, TIOCSWINSZ, &size);
      } else {
        forward(static_cast<int>(info.ssi_signo));
      }
    }
    ended = polls[0].revents != 0;
  }
  if (output >= 0) Drain(output);
  int status = 0;
  TRY_HOST(HOST_RETRY(waitpid(child, &status, 0)), "waiting for the container");
  return status;
}

int ExitCode(int wait_status) {
  return WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 128 + WTERMSIG(wait_status);
}

}  // namespace cli
