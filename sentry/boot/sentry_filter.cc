#include "sentry/boot/sentry_filter.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <termios.h>

namespace boot {

namespace {

// pthread_create(3) of glibc: these flags and no others make a thread; anything else would be a
// process or a namespace.
constexpr uint64_t kThreadFlags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SYSVSEM |
                                  CLONE_SIGHAND | CLONE_THREAD | CLONE_SETTLS |
                                  CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID;

// SECCOMP_IOCTL_NOTIF_SET_FLAGS of Linux 6.6, which older headers lack.
constexpr uint64_t kSeccompNotifSetFlags = _IOW('!', 4, uint64_t);

constexpr SyscallRule kRules[] = {
    // Descriptors that were given: the container's stdio, files from the gofer, the memory file.
    {SYS_read, "stdio, files, wake-ups"},
    {SYS_write, "stdio, files, wake-ups, the log"},
    {SYS_readv, "stdio, files"},
    {SYS_writev, "stdio, files"},
    {SYS_pread64, "files"},
    {SYS_pwrite64, "files"},
    {SYS_preadv, "files"},
    {SYS_pwritev, "files"},
    {SYS_preadv2, "files: RWF_NOWAIT tells whether the page cache has it"},
    {SYS_pwritev2, "files"},
    {SYS_lseek, "files: SEEK_DATA, SEEK_HOLE"},
    {SYS_close, "any descriptor"},
    {SYS_fstat, "files"},
    {SYS_newfstatat, "fstat(3) of glibc", {ArgWith(3, AT_EMPTY_PATH)}},
    {SYS_statx, "files by descriptor", {ArgWith(2, AT_EMPTY_PATH)}},
    {SYS_fstatfs, "files"},
    {SYS_ftruncate, "files, the memory file"},
    {SYS_fallocate, "files, holes in the memory file"},
    {SYS_fsync, "files"},
    {SYS_fdatasync, "files"},
    {SYS_sync_file_range, "files"},
    {SYS_fadvise64, "files"},
    {SYS_copy_file_range, "files"},
    {SYS_sendfile, "files"},
    {SYS_prlimit64, "how many descriptors there may be", {Arg(0, 0), Arg(1, RLIMIT_NOFILE), Arg(2, 0)}},
    {SYS_splice, "stdio pipes"},
    {SYS_fcntl, "copies of descriptors", {Arg(1, F_DUPFD_CLOEXEC)}},
    {SYS_fcntl, "modes of stdio", {Arg(1, F_GETFL)}},
    {SYS_fcntl, "modes of stdio: nonblocking", {Arg(1, F_SETFL)}},
    {SYS_fcntl, "close-on-exec of received descriptors", {Arg(1, F_SETFD)}},
    {SYS_fcntl, "close-on-exec of received descriptors", {Arg(1, F_GETFD)}},
    {SYS_fcntl, "size of stdio pipes", {Arg(1, F_GETPIPE_SZ)}},

    // Terminals among them.
    {SYS_ioctl, "terminal", {Arg(1, TCGETS)}},
    {SYS_ioctl, "terminal", {Arg(1, TCSETS)}},
    {SYS_ioctl, "terminal", {Arg(1, TCSETSW)}},
    {SYS_ioctl, "terminal", {Arg(1, TCSETSF)}},
    {SYS_ioctl, "terminal size", {Arg(1, TIOCGWINSZ)}},
    {SYS_ioctl, "terminal size", {Arg(1, TIOCSWINSZ)}},
    {SYS_ioctl, "terminal queue", {Arg(1, TCFLSH)}},
    {SYS_ioctl, "terminal flow", {Arg(1, TCXONC)}},
    {SYS_ioctl, "terminal break", {Arg(1, TCSBRK)}},
    {SYS_ioctl, "bytes that wait in stdio", {Arg(1, FIONREAD)}},
    {SYS_ioctl, "nonblocking stdio", {Arg(1, FIONBIO)}},

    // Stubs that stop by seccomp notification; no other descriptor knows these.
    {SYS_ioctl, "platform: system calls of stubs", {Arg(1, SECCOMP_IOCTL_NOTIF_RECV)}},
    {SYS_ioctl, "platform: system calls of stubs", {Arg(1, SECCOMP_IOCTL_NOTIF_SEND)}},
    {SYS_ioctl, "platform: system calls of stubs", {Arg(1, SECCOMP_IOCTL_NOTIF_ID_VALID)}},
    {SYS_ioctl, "platform: descriptors for stubs", {Arg(1, SECCOMP_IOCTL_NOTIF_ADDFD)}},
    {SYS_ioctl, "platform: synchronous wake-ups", {Arg(1, kSeccompNotifSetFlags)}},

    // The control socket and the gofer's.
    {SYS_accept4, "control connections; the only listening socket is ours"},
    {SYS_recvmsg, "control, gofer"},
    {SYS_sendmsg, "control, gofer"},
    {SYS_recvfrom, "control, gofer", {Arg(4, 0)}},
    {SYS_sendto, "control, gofer", {Arg(4, 0)}},
    {SYS_shutdown, "control, gofer"},

    // The event thread and the workers.
    {SYS_epoll_wait, "event thread"},
    {SYS_epoll_pwait, "event thread"},
    {SYS_epoll_ctl, "event thread"},
    {SYS_poll, "waiting for one descriptor"},
    {SYS_ppoll, "waiting for one descriptor"},
    {SYS_timerfd_settime, "event thread"},
    {SYS_futex, "locks, workers"},
    {SYS_clone, "threads", {Arg(0, kThreadFlags)}},
    {SYS_set_robust_list, "thread start"},
    {SYS_rseq, "thread start"},
    {SYS_gettid, "thread start, the log"},
    {SYS_getpid, "abort"},
    {SYS_tgkill, "interrupting a worker of our own", {ArgSelf(0)}},
    {SYS_sched_yield, "spinning"},
    {SYS_sched_getaffinity, "number of CPUs"},
    {SYS_sched_setaffinity, "a worker stays with its stub"},
    {SYS_getcpu, "where a worker runs"},
    {SYS_exit, "threads"},
    {SYS_exit_group, "the end"},
    {SYS_prctl, "thread names", {Arg(0, PR_SET_NAME)}},

    // Signals of the Sentry itself: faults on app memory, terminal signals.
    {SYS_rt_sigaction, "handlers"},
    {SYS_rt_sigprocmask, "handlers, thread start"},
    {SYS_rt_sigreturn, "handlers"},
    {SYS_rt_sigtimedwait, "terminal signals"},
    {SYS_sigaltstack, "handlers"},
    {SYS_restart_syscall, "after SIGSTOP and SIGCONT"},

    // Memory: never executable, the Sentry makes no code.
    {SYS_mmap, "heap, stacks, the memory file", {ArgWithout(2, PROT_EXEC)}},
    {SYS_mprotect, "heap, guard pages", {ArgWithout(2, PROT_EXEC)}},
    {SYS_munmap, "heap, stacks, the memory file"},
    {SYS_mremap, "heap"},
    {SYS_madvise, "heap, the memory file"},
    {SYS_mincore, "accounting of the memory file"},
    {SYS_brk, "heap"},
    {SYS_membarrier, "membarrier(2) of the application"},

    // Time and numbers.
    {SYS_clock_gettime, "when the vDSO cannot answer"},
    {SYS_gettimeofday, "when the vDSO cannot answer"},
    {SYS_clock_nanosleep, "back-off"},
    {SYS_nanosleep, "back-off"},
    {SYS_getrandom, "the application's random numbers"},
    {SYS_getrusage, "CPU time"},
    {SYS_sysinfo, "memory of the host"},
};

constexpr SyscallRefusal kRefusals[] = {
    // Its flags lie in memory, where a filter cannot look. glibc then takes clone.
    {SYS_clone3, ENOSYS, "threads"},
};

}  // namespace

std::span<const SyscallRule> SentryRules() { return kRules; }

Status InstallSentryFilter(std::span<const int> platform_syscalls, FilterAction otherwise) {
  // A platform names whole calls. Those that are pinned or refused here stay so: mmap never makes
  // executable memory, clone makes threads only. But for signals: stubs are other processes.
  auto is_kept = [](int nr) {
    if (nr == SYS_tgkill) return false;
    for (const SyscallRule& rule : kRules) {
      if (rule.nr == nr && rule.args[0].op != ArgCheck::kNone) return true;
    }
    for (const SyscallRefusal& refusal : kRefusals) {
      if (refusal.nr == nr) return true;
    }
    return false;
  };
  std::vector<int> added;
  for (int nr : platform_syscalls) {
    if (!is_kept(nr)) added.push_back(nr);
  }
  return InstallFilter(kRules, kRefusals, added, otherwise);
}

}  // namespace boot
