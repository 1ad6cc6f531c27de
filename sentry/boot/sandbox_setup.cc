#include "sentry/boot/sandbox_setup.h"

#include <fcntl.h>
#include <malloc.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "base/host.h"
#include "base/log.h"

namespace boot {

const uint64_t kSentryNamespaces =
    CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS;

namespace {

// The creator sends one byte when the id maps are written, the cgroup is joined and the hooks have
// run. End of file instead means that it is gone, and with it everybody who would ever ask for this
// container.
Status AwaitRelease(Fd& sync) {
  char byte;
  ssize_t n =
      TRY_HOST(HOST_RETRY(recv(sync.get(), &byte, 1, 0)), "waiting for the creator of the sandbox");
  if (n != 1) _exit(1);
  return Status();
}

Status BecomeUser(uid_t uid, gid_t gid) {
  // Raw calls: glibc's would signal all threads, of which there are none.
  TRY_HOST(HOST(syscall(SYS_setgroups, 0, nullptr)), "dropping supplementary groups");
  TRY_HOST(HOST(syscall(SYS_setresgid, gid, gid, gid)), "changing the group id");
  TRY_HOST(HOST(syscall(SYS_setresuid, uid, uid, uid)), "changing the user id");
  return Status();
}

void RaiseFileLimit() {
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) LOG_WARNING("cannot raise the limit of open files");
}

void LimitHeaps() {
  // A heap of a thread's own gives memory back only after a look at /proc/sys/vm/overcommit_memory, which the filter answers
  // with the end of the sandbox. The kernel lock keeps threads apart anyway.
  mallopt(M_ARENA_MAX, 1);
}

void ResetSignals() {
  // Handlers and masks of the command line mean nothing here. SIGPIPE: a pipe that closed is an
  // error code to the kernel.
  for (int signo = 1; signo < NSIG; signo++) signal(signo, SIG_DFL);
  signal(SIGPIPE, SIG_IGN);
  // The init of a pid namespace survives its own SIGABRT, and abort(3) would end in an exit status
  // that looks like the application's. A fault ends it for certain.
  signal(SIGABRT, [](int) { __builtin_trap(); });
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
}

}  // namespace

void CloseAllExcept(std::span<const int> keep) {
  std::vector<int> sorted(keep.begin(), keep.end());
  std::sort(sorted.begin(), sorted.end());
  unsigned next = 0;
  for (int fd : sorted) {
    if (fd < 0 || static_cast<unsigned>(fd) < next) continue;
    if (static_cast<unsigned>(fd) > next) syscall(SYS_close_range, next, fd - 1, 0);
    next = static_cast<unsigned>(fd) + 1;
  }
  syscall(SYS_close_range, next, ~0U, 0);
}

Status SetUpProcess(BootConfig& config) {
  ResetSignals();
  LimitHeaps();
  RETURN_IF_ERROR(AwaitRelease(config.sync));
  RETURN_IF_ERROR(BecomeUser(config.uid, config.gid));

  if (config.die_with_parent) {
    // After the change of user, which clears it. The parent may have died just before; then the
    // socket says so.
    TRY_HOST(HOST(prctl(PR_SET_PDEATHSIG, SIGKILL)), "setting the parent death signal");
    char byte;
    if (recv(config.sync.get(), &byte, 1, MSG_DONTWAIT | MSG_PEEK) == 0) _exit(1);
  }
  setsid();  // fails only in a session leader, which is fine
  if (config.controlling_terminal && ioctl(config.stdio[0].get(), TIOCSCTTY, 0) != 0) {
    LOG_WARNING("the container's terminal cannot become the controlling one");
  }
  RaiseFileLimit();

  std::vector<int> keep = {config.stdio[0].get(),
                           config.stdio[1].get(),
                           config.stdio[2].get(),
                           config.control_listen.get(),
                           config.gofer_socket.get(),
                           config.sync.get(),
                           config.log_fd};
  for (const Fd& fd : config.extra_fds) keep.push_back(fd.get());
  CloseAllExcept(keep);
  // The mask of the caller must not decide what modes the kernel's files get.
  umask(0);
  return Status();
}

Fd TakeTerminalSignals() {
  // Blocked, they are queued even for the init of a pid namespace, which else gets none that it has
  // no handler for.
  sigset_t mask;
  sigemptyset(&mask);
  for (int signo : {SIGINT, SIGQUIT, SIGTSTP, SIGWINCH}) sigaddset(&mask, signo);
  sigprocmask(SIG_BLOCK, &mask, nullptr);
  return Fd(signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK));
}

Status EnterEmptyRoot() {
  TRY_HOST(HOST(mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr)),
           "making mounts private");
  // Any directory does as a mount point; these exist everywhere. One inode: the root itself.
  const char* points[] = {"/proc", "/sys", "/dev", "/tmp", "/etc"};
  const char* point = nullptr;
  for (const char* candidate : points) {
    if (mount("runsc-empty", candidate, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
              "mode=555,size=4k,nr_inodes=1") == 0) {
      point = candidate;
      break;
    }
  }
  if (point == nullptr) return ErrnoStatus(HOST(-1).error(), "mounting the empty root");
  TRY_HOST(HOST(chdir(point)), "entering the empty root");
  // New and old root on one mount point, so that neither needs a directory in the other; then the
  // old one goes.
  if (syscall(SYS_pivot_root, ".", ".") == 0) {
    TRY_HOST(HOST(umount2(".", MNT_DETACH)), "detaching the host's root");
  } else {
    // The initial ramfs cannot be pivoted away from: cover it instead.
    TRY_HOST(HOST(mount(".", "/", nullptr, MS_MOVE, nullptr)), "moving the empty root into place");
    TRY_HOST(HOST(chroot(".")), "changing the root");
  }
  TRY_HOST(HOST(chdir("/")), "entering the empty root");
  TRY_HOST(
      HOST(mount(nullptr, "/", nullptr,
                 MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr)),
      "making the empty root read-only");
  // Ptrace of the platform's helper processes, which come next and inherit this: the change of user
  // took it away.
  TRY_HOST(HOST(prctl(PR_SET_DUMPABLE, 1)), "making helpers traceable");
  return Status();
}

Status DropPrivileges() {
  TRY_HOST(HOST(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)),
           "clearing ambient capabilities");
  for (int capability = 0;; capability++) {
    if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0) continue;
    if (HOST(-1).error() == Errno::kEINVAL) break;  // behind the last one that this host knows
    return ErrnoStatus(HOST(-1).error(), "dropping bounding capabilities");
  }
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct none[2] = {};
  TRY_HOST(HOST(syscall(SYS_capset, &header, none)), "dropping capabilities");
  TRY_HOST(HOST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)), "setting no_new_privs");
  // Nobody but root traces or dumps the Sentry: its memory is that of the application.
  TRY_HOST(HOST(prctl(PR_SET_DUMPABLE, 0)), "making the Sentry undumpable");
  return Status();
}

}  // namespace boot
