#include "gofer/sandbox.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/mount.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "base/host.h"
#include "base/log.h"

// glibc 2.36 brought its own wrappers; the kernel headers' constants and the raw calls work with older ones too.
#ifndef OPEN_TREE_CLONE
#define OPEN_TREE_CLONE 1
#endif
#ifndef OPEN_TREE_CLOEXEC
#define OPEN_TREE_CLOEXEC O_CLOEXEC
#endif

namespace gofer {

namespace {

Result<int> OpenTree(int dir, const char* path, unsigned flags) {
  return HOST(static_cast<int>(syscall(SYS_open_tree, dir, path, flags)));
}

// A directory that exists on any host, to put the empty root on.
constexpr const char* kMountPoints[] = {"/proc", "/tmp", "/dev", "/sys"};

Result<void> MountEmptyRoot() {
  Result<void> mounted = Errno::kENOENT;
  for (const char* place : kMountPoints) {
    Result<int> done = HOST(mount("none", place, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=4k,nr_inodes=2,mode=555"));
    if (!done.ok()) {
      mounted = done.error();
      continue;
    }
    TRY(HOST(chdir(place)));
    mounted = {};
    break;
  }
  TRY(mounted);
  // pivot_root(2), "pivot_root(".", ".")": the old root ends up on top of the new one and goes with the unmount. It refuses where the
  // root is the initial ramfs; there the empty root is moved over it.
  if (HOST(syscall(SYS_pivot_root, ".", ".")).ok()) {
    TRY(HOST(umount2(".", MNT_DETACH)));
  } else {
    TRY(HOST(mount(".", "/", nullptr, MS_MOVE, nullptr)));
    TRY(HOST(chroot(".")));
  }
  TRY(HOST(chdir("/")));
  TRY(HOST(mount(nullptr, "/", nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr)));
  return {};
}

Result<Fd> FsConfigured(int fs) {
  TRY(HOST(syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, nullptr, nullptr, 0)));
  return Fd(static_cast<int>(TRY(HOST(syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)))));
}

// A procfs of this process-id namespace that is attached nowhere.
Result<Fd> DetachedProc() {
  Fd fs(static_cast<int>(TRY(HOST(syscall(SYS_fsopen, "proc", FSOPEN_CLOEXEC)))));
  // Since Linux 5.8; without it /proc/sys shows, which the namespaces and the lack of capabilities must then do for.
  (void)HOST(syscall(SYS_fsconfig, fs.get(), FSCONFIG_SET_STRING, "subset", "pid", 0));
  (void)HOST(syscall(SYS_fsconfig, fs.get(), FSCONFIG_SET_STRING, "hidepid", "invisible", 0));
  return FsConfigured(fs.get());
}

}  // namespace

Result<Fd> OpenExport(const std::string& host_path, bool read_only) {
  Result<int> tree = OpenTree(AT_FDCWD, host_path.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
  if (!tree.ok()) {
    if (tree.error() == Errno::kENOENT) return tree.error();
    LOG_INFO("no private mount tree for {}: {}", host_path, base::ErrnoName(tree.error()));
    return Fd(TRY(HOST(open(host_path.c_str(), O_PATH | O_CLOEXEC))));
  }
  Fd root(*tree);
  struct {
    uint64_t attr_set, attr_clr, propagation, userns_fd;
  } attributes{MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | (read_only ? uint64_t{MOUNT_ATTR_RDONLY} : 0), 0, MS_PRIVATE, 0};
  Result<long> set = HOST(syscall(SYS_mount_setattr, root.get(), "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes, sizeof attributes));
  if (!set.ok()) LOG_INFO("mount attributes of {}: {}", host_path, base::ErrnoName(set.error()));
  return root;
}

Result<void> EnterNamespaces() {
  TRY(HOST(unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWPID)));
  // A new process-id namespace is for children only.
  pid_t child = TRY(HOST(fork()));
  if (child > 0) {
    CloseOtherDescriptors({});
    if (!DropPrivileges().ok()) _exit(1);
    int status = 0;
    Result<pid_t> waited = HOST_RETRY(waitpid(child, &status, 0));
    _exit(waited.ok() && WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
  }
  TRY(HOST(prctl(PR_SET_PDEATHSIG, SIGKILL)));
  TRY(HOST(mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr)));
  return MountEmptyRoot();
}

Result<void> EnterDescriptorDirectory() {
  Result<Fd> proc = DetachedProc();
  if (!proc.ok()) {
    LOG_INFO("no private procfs: {}", base::ErrnoName(proc.error()));
    return proc.error();
  }
  Fd directory(TRY(HOST(openat(proc->get(), "self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC))));
  TRY(HOST(fchdir(directory.get())));
  return {};
}

void CloseOtherDescriptors(std::vector<int> keep) {
  std::sort(keep.begin(), keep.end());
  unsigned from = 0;
  for (int fd : keep) {
    if (fd < 0 || static_cast<unsigned>(fd) < from) continue;
    if (static_cast<unsigned>(fd) > from) (void)HOST(close_range(from, static_cast<unsigned>(fd) - 1, 0));
    from = static_cast<unsigned>(fd) + 1;
  }
  (void)HOST(close_range(from, ~0u, 0));
}

Result<void> DropPrivileges() {
  for (int capability = 0;; capability++) {
    if (!HOST(prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)).ok()) break;  // EINVAL behind the last
  }
  (void)HOST(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0));
  constexpr uint32_t kKept = 1u << CAP_CHOWN | 1u << CAP_DAC_OVERRIDE | 1u << CAP_DAC_READ_SEARCH | 1u << CAP_FOWNER | 1u << CAP_FSETID;
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct sets[2] = {};
  sets[0].permitted = sets[0].effective = kKept;
  TRY(HOST(syscall(SYS_capset, &header, sets)));
  TRY(HOST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)));
  TRY(HOST(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)));
  return {};
}

}  // namespace gofer
