#include "runsc-cli/launch.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/host.h"
#include "base/log.h"
#include "runsc-cli/foreground.h"
#include "sentry/boot/sandbox_setup.h"
#include "sentry/boot/timeline.h"

#include "gofer/gofer_main.h"

namespace cli {

using boot::Status;
using boot::StatusOr;
using boot::StrCat;

namespace {

struct Pair {
  Fd ours, theirs;
};

StatusOr<Pair> SeqpacketPair() {
  int fds[2];
  TRY_HOST(HOST(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds)), "socketpair");
  return Pair{Fd(fds[0]), Fd(fds[1])};
}

[[noreturn]] void RunGofer(const LaunchRequest& request, Fd socket) {
  prctl(PR_SET_NAME, "runsc-gofer");
  base::LogInit(request.log_level, request.gofer_log_fd, "gofer");
  gofer::GoferConfig config;
  config.socket_fd = socket.release();
  config.log_fd = request.gofer_log_fd;
  for (const GoferExport& item : request.exports) {
    config.exports.push_back({.host_path = item.host_path, .read_only = item.read_only});
  }
  gofer::GoferMain(std::move(config));
}

// Forks the gofer, which waits until it is in its cgroup: what it forks itself must be there too.
StatusOr<pid_t> ForkGofer(const LaunchRequest& request, Fd& socket) {
  int pipes[2];
  TRY_HOST(HOST(pipe2(pipes, O_CLOEXEC)), "pipe");
  Fd wait_end(pipes[0]), go_end(pipes[1]);
  pid_t pid = TRY_HOST(HOST(fork()), "forking the gofer");
  if (pid == 0) {
    go_end.reset();
    char byte;
    if (read(wait_end.get(), &byte, 1) != 1) _exit(1);
    RunGofer(request, std::move(socket));
  }
  if (request.cgroup != nullptr) {
    Status status = request.cgroup->Join(pid);
    if (!status.ok()) {
      go_end.reset();  // it sees the end and exits
      waitpid(pid, nullptr, 0);
      return status;
    }
  }
  TRY_HOST(HOST(write(go_end.get(), "G", 1)), "releasing the gofer");
  return pid;
}

// fork(2) into new namespaces. glibc has no call for it; its idea of the thread id, which fork
// would renew, is renewed by the host at the address that glibc told it.
Result<pid_t> CloneSentry() {
  int* tid_address = nullptr;
  uint64_t flags = boot::kSentryNamespaces | SIGCHLD;
  if (prctl(PR_GET_TID_ADDRESS, &tid_address, 0, 0, 0) == 0 && tid_address != nullptr) {
    flags |= CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID;
  }
  return static_cast<pid_t>(TRY(HOST(syscall(SYS_clone, flags, nullptr, nullptr, tid_address, 0))));
}

Status CloneError(Errno error) {
  std::string hint;
  if (error == Errno::kEPERM || error == Errno::kENOSPC || error == Errno::kEUSERS) {
    hint = " (the host must allow user namespaces: see /proc/sys/user/max_user_namespaces)";
  } else if (error == Errno::kEINVAL) {
    hint = " (the host's kernel lacks one of the user, pid, mount, network, ipc, uts namespaces)";
  }
  return Status::Error(
      StrCat("cannot make the sandbox's namespaces: ", base::ErrnoText(error), hint), error);
}

Status WriteIdMap(pid_t pid, const char* name, unsigned id) {
  std::string path = StrCat("/proc/", pid, "/", name);
  std::string map = StrCat(id, " ", id, " 1");
  Fd file(TRY_HOST(HOST(open(path.c_str(), O_WRONLY | O_CLOEXEC)), path));
  TRY_HOST(HOST(write(file.get(), map.data(), map.size())), path);
  return Status();
}

// The host's OOM killer must see the container's wish; to be spared more than we are needs
// CAP_SYS_RESOURCE.
void SetOomScore(pid_t pid, int value) {
  std::string path = StrCat("/proc/", pid, "/oom_score_adj"), text = StrCat(value);
  Fd file(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!HOST(write(file.get(), text.data(), text.size())).ok())
    LOG_WARNING("cannot set oom_score_adj to {}", value);
}

// In the child: stdio of the container becomes 0, 1 and 2, so that nothing else can be taken for
// it.
void PlaceStdio(boot::BootConfig& config) {
  // Above 2 first: one may be another's number.
  for (Fd& fd : config.stdio) {
    if (fd.get() > 2) continue;
    fd = Fd(fcntl(fd.release(), F_DUPFD_CLOEXEC, 3));
  }
  for (int i = 0; i < 3; i++) {
    dup2(config.stdio[i].get(), i);
    config.stdio[i] = Fd(i);
  }
}

}  // namespace

std::vector<GoferExport> ExportsOf(const boot::Spec& spec, boot::Overlay overlay,
                                   std::vector<int>& mount_exports) {
  std::vector<GoferExport> exports;
  exports.push_back({spec.root.path, spec.root.readonly || overlay != boot::Overlay::kNone});
  mount_exports.clear();
  for (const boot::MountSpec& mount : spec.mounts) {
    mount_exports.push_back(mount.is_bind() ? static_cast<int>(exports.size()) : -1);
    if (!mount.is_bind()) continue;
    exports.push_back(
        {mount.source, (mount.flags & MS_RDONLY) != 0 || overlay == boot::Overlay::kAllMemory});
  }
  return exports;
}

StatusOr<Launched> Launch(LaunchRequest request) {
  Launched launched;
  Pair gofer_pair = TRY_STATUS(SeqpacketPair());
  launched.gofer = TRY_STATUS(ForkGofer(request, gofer_pair.theirs));
  gofer_pair.theirs.reset();
  boot::TimelinePhase("gofer forked");

  Pair sync = TRY_STATUS(
      SeqpacketPair());  // after the gofer's fork: it must not keep the Sentry's creator alive
  boot::BootConfig& config = request.config;
  config.gofer_socket = std::move(gofer_pair.ours);
  config.sync = std::move(sync.theirs);
  Result<pid_t> pid = CloneSentry();
  if (pid.ok() && *pid == 0) {
    sync.ours.reset();
    PlaceStdio(config);
    prctl(PR_SET_NAME, "runsc-sentry");
    base::LogInit(request.log_level, config.log_fd, "sentry");
    boot::SentryMain(std::move(config));
  }
  config.gofer_socket.reset();  // the gofer ends when nobody holds it
  config.sync.reset();
  Status status;
  if (!pid.ok()) {
    status = CloneError(pid.error());
  } else {
    launched.sentry = *pid;
    boot::TimelinePhase("sentry cloned");
    if (request.cgroup != nullptr) status = request.cgroup->Join(launched.sentry);
    if (config.spec.process.oom_score_adj)
      SetOomScore(launched.sentry, *config.spec.process.oom_score_adj);
    if (status.ok()) status = WriteIdMap(launched.sentry, "uid_map", config.uid);
    if (status.ok()) status = WriteIdMap(launched.sentry, "gid_map", config.gid);
  }
  if (!status.ok()) {
    sync.ours.reset();  // the Sentry sees it and exits
    if (launched.sentry > 0) kill(launched.sentry, SIGKILL), waitpid(launched.sentry, nullptr, 0);
    waitpid(launched.gofer, nullptr, 0);  // its socket is closed: it ends by itself
    return status;
  }
  launched.sync = std::move(sync.ours);
  return launched;
}

Status Release(const Launched& launched) {
  TRY_HOST(HOST(send(launched.sync.get(), "G", 1, MSG_NOSIGNAL)), "releasing the sandbox");
  return Status();
}

Status AwaitReady(const Launched& launched, const Fd& interrupts) {
  pollfd polls[2] = {{.fd = launched.sync.get(), .events = POLLIN},
                     {.fd = interrupts.get(), .events = POLLIN}};
  TRY_HOST(HOST_RETRY(poll(polls, 2, -1)), "waiting for the sandbox");
  RETURN_IF_ERROR(CheckInterrupted(interrupts));
  char text[4096];
  ssize_t n = TRY_HOST(HOST_RETRY(recv(launched.sync.get(), text, sizeof text, 0)),
                       "waiting for the sandbox");
  if (n > 0 && text[0] == 'R') return Status();
  if (n > 1) return boot::Error(std::string_view(text + 1, static_cast<size_t>(n - 1)));
  // Looked at, not reaped: the caller still has its process id.
  siginfo_t info{};
  waitid(P_PID, static_cast<id_t>(launched.sentry), &info, WEXITED | WNOWAIT);
  if (info.si_code != CLD_EXITED) {
    return boot::Error("the sandbox was killed by signal ", info.si_status, " while it started",
                       info.si_status == SIGSYS ? " (a system call that its filter forbids)" : "");
  }
  return boot::Error("the sandbox exited with status ", info.si_status, " while it started");
}

}  // namespace cli
