#include "runsc-cli/hooks.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/host.h"

namespace cli {

using boot::Status;
using boot::StrCat;

namespace {

constexpr size_t kMaxErrorText = 4096;

int64_t NowMs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000LL + now.tv_nsec / 1'000'000;
}

[[noreturn]] void ExecHook(const boot::HookSpec& hook, int stdin_fd, int stderr_fd) {
  std::vector<char*> args, env;
  for (const std::string& arg : hook.args) args.push_back(const_cast<char*>(arg.c_str()));
  if (args.empty()) args.push_back(const_cast<char*>(hook.path.c_str()));
  for (const std::string& variable : hook.env) env.push_back(const_cast<char*>(variable.c_str()));
  args.push_back(nullptr);
  env.push_back(nullptr);
  int null = open("/dev/null", O_WRONLY);
  dup2(stdin_fd, 0);
  dup2(null, 1);
  dup2(stderr_fd, 2);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  signal(SIGPIPE, SIG_DFL);
  syscall(SYS_close_range, 3, ~0U, 0);
  execve(hook.path.c_str(), args.data(), env.data());
  std::string text(base::ErrnoText(HOST(-1).error()));
  (void)HOST(write(2, text.data(), text.size()));
  _exit(127);
}

Status RunHook(const boot::HookSpec& hook, const std::string& state_json) {
  int in[2], err[2];
  TRY_HOST(HOST(pipe2(in, O_CLOEXEC)), "pipe");
  Fd in_read(in[0]), in_write(in[1]);
  TRY_HOST(HOST(pipe2(err, O_CLOEXEC)), "pipe");
  Fd err_read(err[0]), err_write(err[1]);
  pid_t pid = TRY_HOST(HOST(fork()), "fork");
  if (pid == 0) ExecHook(hook, in_read.get(), err_write.get());
  in_read.reset();
  err_write.reset();
  // A hook that never reads must not hold us: the write end does not block.
  fcntl(in_write.get(), F_SETFL, O_NONBLOCK);
  std::string_view input = state_json;
  std::string errors;
  Fd pidfd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  int64_t deadline = hook.timeout_seconds ? NowMs() + *hook.timeout_seconds * 1000LL : -1;
  bool timed_out = false;
  for (bool running = true; running;) {
    pollfd polls[3] = {{.fd = pidfd.get(), .events = POLLIN},
                       {.fd = err_read.get(), .events = POLLIN},
                       {.fd = in_write.get(), .events = POLLOUT}};
    int64_t wait = deadline < 0 ? -1 : std::max<int64_t>(0, deadline - NowMs());
    Result<int> n = HOST_RETRY(poll(polls, 3, static_cast<int>(wait)));
    if (n.ok() && *n == 0) {
      timed_out = true;
      kill(pid, SIGKILL);
      break;
    }
    if (polls[2].revents != 0) {
      ssize_t written = write(in_write.get(), input.data(), input.size());
      if (written > 0) input.remove_prefix(static_cast<size_t>(written));
      if (input.empty() || (polls[2].revents & POLLERR) != 0) in_write.reset();
    }
    if (polls[1].revents != 0) {
      char buffer[1024];
      ssize_t got = read(err_read.get(), buffer, sizeof buffer);
      if (got <= 0) err_read.reset();
      if (got > 0 && errors.size() < kMaxErrorText) errors.append(buffer, static_cast<size_t>(got));
    }
    // What it started may keep standard error open: only its own end counts.
    if (polls[0].revents != 0 && (polls[1].revents & POLLIN) == 0) running = false;
  }
  int status = 0;
  TRY_HOST(HOST_RETRY(waitpid(pid, &status, 0)), "waiting for the hook");
  if (timed_out) return boot::Error("did not end within ", *hook.timeout_seconds, " s");
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return Status();
  while (!errors.empty() && errors.back() == '\n') errors.pop_back();
  std::string how = WIFEXITED(status) ? StrCat("exit status ", WEXITSTATUS(status))
                                      : StrCat("killed by signal ", WTERMSIG(status));
  return boot::Error(how, errors.empty() ? "" : ": ", errors);
}

}  // namespace

Status RunHooks(const std::vector<boot::HookSpec>& hooks, const char* stage,
                const std::string& state_json) {
  for (const boot::HookSpec& hook : hooks) {
    Status status = RunHook(hook, state_json);
    if (!status.ok()) return boot::Annotate(status, StrCat(stage, " hook ", hook.path));
  }
  return Status();
}

}  // namespace cli
