#include <fcntl.h>
#include <linux/mman.h>
#include <seccomp.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <vector>

#include "gofer/sandbox.h"

// The gofer's system calls, each with the call site that needs it. Anything else kills the process. Paths are not visible here; what keeps
// them inside is that all names are single components, that O_NOFOLLOW is demanded for them, and the empty root.

namespace gofer {

namespace {

using Comparisons = std::vector<scmp_arg_cmp>;

struct Rule {
  int number;
  Comparisons arguments;
};

scmp_arg_cmp Equal(unsigned argument, uint64_t value) { return {argument, SCMP_CMP_EQ, value, 0}; }
// Descriptors and flags are 32-bit: what the caller leaves in the upper half is ignored by the kernel, so it must be here too.
scmp_arg_cmp Equal32(unsigned argument, int value) {
  return {argument, SCMP_CMP_MASKED_EQ, 0xffffffff, static_cast<uint32_t>(value)};
}
scmp_arg_cmp Masked(unsigned argument, uint64_t mask, uint64_t value) { return {argument, SCMP_CMP_MASKED_EQ, mask, value}; }

std::vector<Rule> Rules(int socket_fd, int log_fd) {
  constexpr uint64_t kAll32 = 0xffffffff;
  // Opening without O_CREAT through the working directory: Reopen (host_files.cc), O_TMPFILE for CreateUnnamed.
  constexpr uint64_t kReopen = O_ACCMODE | O_CLOEXEC | O_NOCTTY | O_DIRECTORY | O_PATH | O_LARGEFILE | O_TMPFILE;
  // Opening a name beneath a descriptor, never through a link: OpenPathAt, Create.
  constexpr uint64_t kNamed = O_PATH | O_NOFOLLOW | O_CLOEXEC;
  // Reading a directory by its name, which cannot do more than listing it: OpenDirectoryAt.
  constexpr uint64_t kDirectory = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  // Reading a file by its name, which is looked at before it is given away: OpenFileAt.
  constexpr uint64_t kFile = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
  constexpr uint64_t kCreate = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY;
  std::vector<Rule> rules = {
      // server.cc: the one socket.
      {SCMP_SYS(recvmsg), {Equal32(0, socket_fd), Equal32(2, 0)}},
      {SCMP_SYS(sendmsg), {Equal32(0, socket_fd), Equal32(2, MSG_NOSIGNAL)}},
      {SCMP_SYS(sched_setaffinity), {Equal32(0, 0)}},
      {SCMP_SYS(sched_getaffinity), {Equal32(0, 0)}},
      {SCMP_SYS(getcpu), {}},
      // host_files.cc, server_create.cc
      {SCMP_SYS(openat), {Equal32(0, AT_FDCWD), Masked(2, kAll32 & ~kReopen, 0)}},
      {SCMP_SYS(openat), {Masked(2, kAll32 & ~uint64_t{O_LARGEFILE}, kNamed)}},
      {SCMP_SYS(openat), {Masked(2, kAll32 & ~uint64_t{O_LARGEFILE}, kDirectory)}},
      {SCMP_SYS(openat), {Masked(2, kAll32 & ~uint64_t{O_LARGEFILE}, kFile)}},
      {SCMP_SYS(openat), {Masked(2, kAll32 & ~uint64_t{O_LARGEFILE}, kCreate), Masked(3, kAll32 & ~07777u, 0)}},
      {SCMP_SYS(close), {}},
      {SCMP_SYS(fcntl), {Equal32(1, F_DUPFD_CLOEXEC)}},  // Fd::Dup in Attach
      {SCMP_SYS(statx), {}},
      // server_walk.cc
      {SCMP_SYS(getdents64), {}},
      {SCMP_SYS(lseek), {Equal32(2, SEEK_SET)}},
      {SCMP_SYS(readlinkat), {}},
      // server_create.cc; no device nodes.
      {SCMP_SYS(mkdirat), {}},
      {SCMP_SYS(mknodat), {Masked(2, S_IFMT, S_IFREG)}},
      {SCMP_SYS(mknodat), {Masked(2, S_IFMT, S_IFIFO)}},
      {SCMP_SYS(mknodat), {Masked(2, S_IFMT, S_IFSOCK)}},
      {SCMP_SYS(symlinkat), {}},
      {SCMP_SYS(linkat), {Equal32(4, AT_EMPTY_PATH)}},
      {SCMP_SYS(unlinkat), {Masked(2, kAll32 & ~uint64_t{AT_REMOVEDIR}, 0)}},
      {SCMP_SYS(renameat), {}},  // what renameat2(3) calls without flags
      {SCMP_SYS(renameat2), {Masked(4, kAll32 & ~uint64_t{RENAME_NOREPLACE | RENAME_EXCHANGE}, 0)}},
      {SCMP_SYS(fchownat), {Equal32(4, AT_EMPTY_PATH)}},
      {SCMP_SYS(fchmodat), {Equal32(0, AT_FDCWD)}},
      // server_attributes.cc
      {SCMP_SYS(truncate), {}},
      {SCMP_SYS(utimensat), {Equal32(0, AT_FDCWD), Equal32(3, 0)}},
      {SCMP_SYS(fstatfs), {}},
      {SCMP_SYS(getxattr), {}},
      {SCMP_SYS(setxattr), {}},
      {SCMP_SYS(listxattr), {}},
      {SCMP_SYS(removexattr), {}},
      {SCMP_SYS(syncfs), {}},
      {SCMP_SYS(fsync), {}},
      // malloc; never executable.
      {SCMP_SYS(brk), {}},
      {SCMP_SYS(mmap), {Masked(2, PROT_EXEC, 0), Masked(3, MAP_ANONYMOUS, MAP_ANONYMOUS)}},
      {SCMP_SYS(mprotect), {Masked(2, PROT_EXEC, 0)}},
      {SCMP_SYS(mremap), {}},
      {SCMP_SYS(munmap), {}},
      {SCMP_SYS(madvise), {}},
      // The end: normally, and by abort(3) with its line in the log.
      {SCMP_SYS(exit_group), {}},
      {SCMP_SYS(rt_sigprocmask), {}},
      {SCMP_SYS(rt_sigaction), {}},
      {SCMP_SYS(rt_sigreturn), {}},
      {SCMP_SYS(restart_syscall), {}},
      {SCMP_SYS(getpid), {}},
      {SCMP_SYS(gettid), {}},
      {SCMP_SYS(tgkill), {Equal(2, 6 /* SIGABRT */)}},
      // base/log.cc; the clock where there is no vDSO.
      {SCMP_SYS(clock_gettime), {}},
  };
  if (log_fd >= 0) rules.push_back({SCMP_SYS(write), {Equal32(0, log_fd)}});
  return rules;
}

}  // namespace

Result<void> InstallSeccompFilter(int socket_fd, int log_fd) {
  scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
  if (filter == nullptr) return Errno::kENOMEM;
  int error = 0;
  for (const Rule& rule : Rules(socket_fd, log_fd)) {
    if (error == 0) {
      error = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, rule.number, static_cast<unsigned>(rule.arguments.size()), rule.arguments.data());
    }
  }
  // Sorted by a binary tree: a dozen comparisons less for each call.
  if (error == 0) error = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
  if (error == 0) error = seccomp_load(filter);
  seccomp_release(filter);
  if (error != 0) return static_cast<Errno>(-error);
  return {};
}

}  // namespace gofer
