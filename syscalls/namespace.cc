// setns(2), kcmp(2).

#include <linux/kcmp.h>
#include <sched.h>

#include "sentry/kernel/kernel.h"
#include "sentry/kernel/namespace_file.h"
#include "sentry/kernel/pid_file.h"
#include "syscalls/handlers.h"
#include "syscalls/permissions.h"

namespace syscalls {

using kernel::NamespaceHandle;

namespace {

constexpr int kKinds[] = {CLONE_NEWUSER, CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWPID, CLONE_NEWNET};

// What a call changes, applied as a whole once everything is allowed.
struct Change {
  kernel::Namespaces namespaces;
  RefPtr<kernel::FsContext> fs;
  RefPtr<const Credentials> creds;
};

template <class T>
RefPtr<T> As(const NamespaceHandle& handle) {
  return RefPtr<T>(static_cast<T*>(handle.object.get()));
}

// CAP_SYS_ADMIN in the owner of the namespace and in the caller's own user namespace. EPERM.
Result<void> CheckAdmin(const Credentials& creds, const base::UserNamespace& owner) {
  return creds.Has(CAP_SYS_ADMIN) && creds.HasIn(CAP_SYS_ADMIN, owner) ? Result<void>() : Errno::kEPERM;
}

Result<void> JoinUser(Task& task, const NamespaceHandle& handle, Change* change) {
  RefPtr<base::UserNamespace> ns = As<base::UserNamespace>(handle);
  if (ns == change->creds->user_ns) return Errno::kEINVAL;
  if (task.thread_group().live_tasks > 1 || task.fs()->refs() > 1) return Errno::kEINVAL;
  if (!change->creds->HasIn(CAP_SYS_ADMIN, *ns)) return Errno::kEPERM;
  auto creds = MakeRef<Credentials>(*change->creds);
  creds->user_ns = std::move(ns);
  creds->permitted = creds->effective = creds->bounding = base::kAllCapabilities;
  creds->inheritable = creds->ambient = 0;
  creds->securebits = 0;
  change->creds = std::move(creds);
  return {};
}

Result<void> JoinMount(Task& task, const NamespaceHandle& handle, Change* change) {
  RefPtr<vfs::MountNamespace> ns = As<vfs::MountNamespace>(handle);
  const Credentials& creds = *change->creds;
  bool admin = creds.Has(CAP_SYS_ADMIN) && (!ns->user_ns || creds.HasIn(CAP_SYS_ADMIN, *ns->user_ns));
  if (!admin || !creds.Has(CAP_SYS_CHROOT)) return Errno::kEPERM;
  if (task.fs()->refs() > 1) return Errno::kEINVAL;
  vfs::Path root = vfs::MountNamespace::TopOf(ns->RootPath());
  change->fs = MakeRef<kernel::FsContext>(root, root, task.fs()->umask);
  change->namespaces.mount = std::move(ns);
  return {};
}

Result<void> JoinPid(Task& task, const NamespaceHandle& handle, Change* change) {
  RefPtr<kernel::PidNamespace> ns = As<kernel::PidNamespace>(handle);
  TRY(CheckAdmin(*change->creds, *ns->user_ns));
  // The caller's own or one below it: a process never leaves the sight of its ancestors.
  const kernel::PidNamespace* ancestor = ns.get();
  while (ancestor != nullptr && ancestor != task.pid_ns().get()) ancestor = ancestor->parent.get();
  if (ancestor == nullptr) return Errno::kEINVAL;
  change->namespaces.pid_for_children = std::move(ns);
  return {};
}

Result<void> Join(Task& task, const NamespaceHandle& handle, Change* change) {
  switch (handle.type) {
    case CLONE_NEWUSER:
      return JoinUser(task, handle, change);
    case CLONE_NEWNS:
      return JoinMount(task, handle, change);
    case CLONE_NEWPID:
      return JoinPid(task, handle, change);
    case CLONE_NEWUTS: {
      auto ns = As<kernel::UtsNamespace>(handle);
      TRY(CheckAdmin(*change->creds, *ns->user_ns));
      change->namespaces.uts = std::move(ns);
      return {};
    }
    case CLONE_NEWIPC: {
      auto ns = As<kernel::IpcNamespace>(handle);
      TRY(CheckAdmin(*change->creds, *ns->user_ns));
      change->namespaces.ipc = std::move(ns);
      return {};
    }
    case CLONE_NEWNET: {
      auto ns = As<kernel::NetNamespace>(handle);
      TRY(CheckAdmin(*change->creds, *ns->user_ns));
      change->namespaces.net = std::move(ns);
      return {};
    }
    default:
      return Errno::kEINVAL;
  }
}

int Order(const void* a, const void* b) { return a == b ? 0 : std::less<>()(a, b) ? 1 : 2; }

}  // namespace

Result<uint64_t> SysSetns(Task& task, FdArg fd, FlagsArg type) {
  RefPtr<vfs::FileDescription> file = TRY(task.GetIoFile(fd));
  int wanted = type;
  std::vector<NamespaceHandle> handles;
  if (const NamespaceHandle* handle = kernel::NamespaceOfFile(*file)) {
    if (wanted != 0 && wanted != handle->type) return Errno::kEINVAL;
    handles.push_back(*handle);
  } else if (kernel::ThreadGroup* group = kernel::PidFileTarget(*file)) {
    int known = 0;
    for (int kind : kKinds) known |= kind;
    if (wanted == 0 || (wanted & ~known) != 0) return Errno::kEINVAL;
    if (group->zombie || group->reaped || group->leader().ended()) return Errno::kESRCH;
    TRY(CheckMayTrace(task, group->leader()));
    for (int kind : kKinds) {
      if ((wanted & kind) != 0) handles.push_back(TRY(kernel::NamespaceOf(group->leader(), kind)));
    }
  } else {
    return Errno::kEINVAL;
  }
  Change change{task.namespaces, task.fs(), task.creds()};
  for (const NamespaceHandle& handle : handles) TRY(Join(task, handle, &change));
  if (change.namespaces.ipc != task.namespaces.ipc) task.sem_undo.reset();
  task.namespaces = std::move(change.namespaces);
  task.set_fs(std::move(change.fs));
  task.set_creds(std::move(change.creds));
  return 0;
}

Result<uint64_t> SysKcmp(Task& task, int pid1, int pid2, int type, uint64_t index1, uint64_t index2) {
  if (pid1 <= 0 || pid2 <= 0) return Errno::kESRCH;
  RefPtr<Task> a(TRY(FindTask(task, pid1)));
  RefPtr<Task> b(TRY(FindTask(task, pid2)));
  TRY(CheckMayTrace(task, *a));
  TRY(CheckMayTrace(task, *b));
  switch (type) {
    case KCMP_FILE: {
      if (!a->fds() || !b->fds()) return Errno::kEBADF;
      RefPtr<vfs::FileDescription> first = TRY(a->fds()->Get(static_cast<int>(index1)));
      RefPtr<vfs::FileDescription> second = TRY(b->fds()->Get(static_cast<int>(index2)));
      return static_cast<uint64_t>(Order(first.get(), second.get()));
    }
    case KCMP_VM:
      return static_cast<uint64_t>(Order(a->memory().get(), b->memory().get()));
    case KCMP_FILES:
      return static_cast<uint64_t>(Order(a->fds().get(), b->fds().get()));
    case KCMP_FS:
      return static_cast<uint64_t>(Order(a->fs().get(), b->fs().get()));
    case KCMP_SIGHAND:
      return static_cast<uint64_t>(Order(a->thread_group().handlers.get(), b->thread_group().handlers.get()));
    case KCMP_IO:
      return 0;  // nobody has an I/O context
    case KCMP_SYSVSEM:
      return static_cast<uint64_t>(Order(a->sem_undo.get(), b->sem_undo.get()));
    default:
      return Errno::kEINVAL;
  }
}

}  // namespace syscalls
