// execve(2).

#include <sys/mount.h>
#include <sys/stat.h>

#include "base/log.h"
#include "sentry/kernel/kernel.h"
#include "sentry/kernel/task.h"
#include "sentry/loader/loader.h"
#include "vfs/operations.h"

namespace kernel {

namespace {

// capabilities(7), "Transformation of capabilities during execve()", without file capabilities.
RefPtr<Credentials> CredentialsAfterExec(const Credentials& old, const vfs::Attributes& attr, bool set_id_allowed, bool* secure) {
  auto creds = MakeRef<Credentials>(old);
  if (set_id_allowed && (attr.mode & S_ISUID) != 0) creds->euid = creds->fsuid = attr.uid;
  if (set_id_allowed && (attr.mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP)) creds->egid = creds->fsgid = attr.gid;
  bool changed = creds->euid != old.euid || creds->egid != old.egid;
  creds->suid = creds->fsuid = creds->euid;
  creds->sgid = creds->fsgid = creds->egid;

  constexpr uint32_t kNoRoot = 1;  // SECBIT_NOROOT
  uid_t root = old.user_ns->UidToKernel(0);
  base::CapabilitySet file_inheritable = 0, file_permitted = 0;
  bool file_effective = false;
  if ((old.securebits & kNoRoot) == 0) {
    if (creds->ruid == root || creds->euid == root) file_inheritable = file_permitted = base::kAllCapabilities;
    file_effective = creds->euid == root;
  }
  bool privileged_file = changed;
  base::CapabilitySet ambient = privileged_file ? 0 : old.ambient;
  creds->permitted = (old.inheritable & file_inheritable) | (file_permitted & old.bounding) | ambient;
  creds->effective = file_effective ? creds->permitted : ambient;
  creds->ambient = ambient;
  creds->securebits &= ~uint32_t{1 << 4};  // SECBIT_KEEP_CAPS
  *secure = changed || (old.euid != old.ruid) || (old.egid != old.rgid);
  return creds;
}

}  // namespace

Result<void> Task::KillSiblingsForExec() {
  for (Task* task : std::vector<Task*>(thread_group_->tasks)) {
    if (task != this && !task->exiting_) task->Kill();
  }
  base::FiberWaiter waiter;
  thread_group_->member_events.Add(waiter, EPOLLIN);
  while (thread_group_->live_tasks > 1) {
    if (thread_group_->exiting) return Errno::kEINTR;
    base::Fiber::Park();
  }
  // The survivor takes the leader's number: to everybody else it is the same process.
  if (!is_leader()) {
    RefPtr<Task> old_leader = std::move(thread_group_->zombie_leader);
    if (old_leader->trace) old_leader->trace->Detach(0);
    std::swap(pid_, old_leader->pid_);
    pid_->task = this;
    old_leader->pid_->task = nullptr;
    thread_group_->leader_ = this;
    std::erase(thread_group_->tasks, old_leader.get());
  }
  return {};
}

Result<void> Task::Execve(RefPtr<vfs::FileDescription> file, std::string filename, std::vector<std::string> argv,
                          std::vector<std::string> envp) {
  vfs::Attributes attr = TRY(file->Stat());
  bool set_id_allowed = !no_new_privs && (file->path().mount->flags & MS_NOSUID) == 0;
  bool secure = false;
  RefPtr<Credentials> creds = CredentialsAfterExec(*creds_, attr, set_id_allowed, &secure);

  loader::ExecRequest request;
  request.file = std::move(file);
  request.filename = filename;
  request.argv = std::move(argv);
  request.envp = std::move(envp);
  request.creds = creds;
  request.secure = secure;
  request.traced = tracer() != nullptr;
  request.stack_limit = thread_group_->Limit(RLIMIT_STACK);
  request.open = [this](const std::string& path) { return OpenExecutable(AT_FDCWD, path, 0); };
  loader::ExecImage image = TRY(loader::Load(kernel_.platform(), request));
  TRY(image.executable->DenyWrites());

  const int old_tid = tracer() != nullptr ? tid_in(*tracer()->pid_ns()) : 0;
  TRY(KillSiblingsForExec());
  // The point of no return.
  if (fds_->refs() > 1) fds_ = fds_->Copy();
  fds_->CloseOnExec();
  if (thread_group_->handlers->refs() > 1) thread_group_->handlers = thread_group_->handlers->Copy();
  thread_group_->handlers->ResetForExec();
  signal_stack = {.ss_sp = nullptr, .ss_flags = SS_DISABLE, .ss_size = 0};
  clear_child_tid = 0;
  robust_list = 0;
  keep_caps = false;
  parent_death_signal = secure ? 0 : parent_death_signal;
  thread_group_->posix_timers.reset();
  thread_group_->has_executed = true;
  thread_group_->exit_signal = SIGCHLD;
  set_creds(creds);
  image.memory->executable = image.executable;
  image.memory->dumpable = secure ? 0 : 1;
  SetImage(std::move(image.memory), image.entry, image.stack_pointer, std::move(image.comm));
  KeepRegisters();
  if (trace) trace->ExecStop(old_tid);
  return {};
}

Result<RefPtr<vfs::FileDescription>> Task::OpenExecutable(int dirfd, const std::string& name, int at_flags) {
  bool empty = (at_flags & AT_EMPTY_PATH) != 0;
  vfs::WalkContext context = TRY(WalkFrom(dirfd, name, empty));
  unsigned walk = ((at_flags & AT_SYMLINK_NOFOLLOW) != 0 ? 0u : unsigned{vfs::kWalkFollow}) | (empty ? unsigned{vfs::kWalkEmptyPath} : 0u);
  vfs::Path place = TRY(vfs::Walk(context, name, walk));
  uint32_t type = place.inode().type();
  if (S_ISLNK(type)) return Errno::kELOOP;
  if (!S_ISREG(type)) return Errno::kEACCES;
  if ((place.mount->flags & MS_NOEXEC) != 0) return Errno::kEACCES;
  TRY(place.inode().CheckPermission(*creds_, 1 /* MAY_EXEC */));
  vfs::Attributes attr = TRY(place.inode().Stat());
  if ((attr.mode & 0111) == 0) return Errno::kEACCES;  // CAP_DAC_OVERRIDE needs one execute bit
  if (place.inode().write_count > 0) return Errno::kETXTBSY;
  RefPtr<vfs::FileDescription> file = TRY(place.inode().Open({.flags = O_RDONLY}, *creds_));
  file->Init(place, O_RDONLY, creds_);
  return file;
}

}  // namespace kernel
