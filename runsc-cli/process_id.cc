#include "runsc-cli/process_id.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/host.h"

namespace cli {

namespace {

struct Stat {
  char state;
  uint64_t start_time;
};

boot::StatusOr<Stat> ReadStat(pid_t pid) {
  std::string path = boot::StrCat("/proc/", pid, "/stat");
  Fd file(TRY_HOST(HOST(open(path.c_str(), O_RDONLY | O_CLOEXEC)), path));
  char text[1024];
  ssize_t n = TRY_HOST(HOST_RETRY(read(file.get(), text, sizeof text - 1)), path);
  text[n] = '\0';
  // The name in parentheses may hold anything; behind the last one come state and numbers.
  const char* at = strrchr(text, ')');
  if (at == nullptr || strlen(at) < 4) return boot::Error(path, ": unexpected text");
  Stat stat{.state = at[2], .start_time = 0};
  at += 2;
  for (int field = 3; field < 22 && at != nullptr; field++) {
    at = strchr(at, ' ');
    if (at != nullptr) at++;
  }
  if (at == nullptr) return boot::Error(path, ": unexpected text");
  stat.start_time = strtoull(at, nullptr, 10);
  return stat;
}

constexpr int kKillTimeoutMs = 10'000;

}  // namespace

boot::StatusOr<ProcessId> Identify(pid_t pid) {
  Stat stat = TRY_STATUS(ReadStat(pid));
  return ProcessId{pid, stat.start_time};
}

bool IsAlive(const ProcessId& process) {
  if (process.pid <= 0) return false;
  boot::StatusOr<Stat> stat = ReadStat(process.pid);
  return stat.ok() && stat->start_time == process.start_time && stat->state != 'Z' &&
         stat->state != 'X';
}

namespace {

bool EndProcess(const ProcessId& process, int signo, int timeout_ms) {
  if (process.pid <= 0) return true;
  // The descriptor first, then the check: from there on it cannot become another's.
  Fd pidfd(static_cast<int>(syscall(SYS_pidfd_open, process.pid, 0)));
  if (pidfd.valid() && IsAlive(process)) {
    if (signo != 0) syscall(SYS_pidfd_send_signal, pidfd.get(), signo, nullptr, 0);
    pollfd poller{.fd = pidfd.get(), .events = POLLIN};
    (void)HOST_RETRY(poll(&poller, 1, timeout_ms));
  }
  boot::StatusOr<Stat> stat = ReadStat(process.pid);
  if (stat.ok() && stat->start_time == process.start_time) waitpid(process.pid, nullptr, WNOHANG);
  return !IsAlive(process);
}

}  // namespace

bool AwaitExit(const ProcessId& process, int timeout_ms) {
  return EndProcess(process, 0, timeout_ms);
}

bool KillAndWait(const ProcessId& process) { return EndProcess(process, SIGKILL, kKillTimeoutMs); }

}  // namespace cli
