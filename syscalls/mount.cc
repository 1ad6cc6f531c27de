// mount(2), umount2(2), pivot_root(2).

#include <sys/mount.h>

#include "base/memory_file.h"
#include "sentry/kernel/kernel.h"
#include "syscalls/handlers.h"
#include "vfs/file_system_type.h"
#include "vfs/operations.h"

namespace syscalls {

namespace {

constexpr uint64_t kPropagation = MS_SHARED | MS_PRIVATE | MS_SLAVE | MS_UNBINDABLE;

Result<void> CheckMayMount(Task& task) {
  return task.creds()->Has(CAP_SYS_ADMIN) ? Result<void>() : Errno::kEPERM;
}

// mount(2)'s data: a page at most, ended by a NUL. Null is an empty string.
Result<std::string> ReadData(Task& task, UserAddress address) {
  if (address == 0) return std::string();
  Result<std::string> text = task.mm().CopyInString(address, kPageSize);
  if (!text.ok() && text.error() == Errno::kENAMETOOLONG) return Errno::kEINVAL;
  return text;
}

}  // namespace

Result<uint64_t> SysMount(Task& task, UserAddress source_address, PathArg target, UserAddress type_address, FlagsArg flags_arg, UserAddress data) {
  uint64_t flags = flags_arg.value;
  if ((flags & MS_MGC_MSK) == MS_MGC_VAL) flags &= ~uint64_t{MS_MGC_MSK};
  std::string target_name = TRY(target.Read(task));
  std::string source = TRY(ReadData(task, source_address));
  std::string type = TRY(ReadData(task, type_address));
  std::string options = TRY(ReadData(task, data));
  vfs::WalkContext context = task.WalkFromCwd();
  vfs::Path place = TRY(vfs::Walk(context, target_name, vfs::kWalkFollow));
  TRY(CheckMayMount(task));
  if ((flags & MS_REMOUNT) != 0) {
    TRY(vfs::Remount(context, place, flags, options));
    return 0;
  }
  if ((flags & MS_BIND) != 0) {
    if (source.empty()) return Errno::kEINVAL;
    TRY(vfs::BindMount(context, TRY(vfs::Walk(context, source, vfs::kWalkFollow)), place, flags));
    return 0;
  }
  if ((flags & kPropagation) != 0) {
    TRY(vfs::ChangePropagation(context, place, flags));
    return 0;
  }
  if ((flags & MS_MOVE) != 0) {
    if (source.empty()) return Errno::kEINVAL;
    TRY(vfs::MoveMount(context, TRY(vfs::Walk(context, source, vfs::kWalkFollow)), place));
    return 0;
  }
  vfs::FileSystemType* fs_type = vfs::FindFileSystemType(type);
  if (fs_type == nullptr) return Errno::kENODEV;
  if (!task.creds()->user_ns->is_root() && !fs_type->user_mountable) return Errno::kEPERM;
  RefPtr<vfs::FileSystem> fs = TRY(fs_type->create({.context = context, .source = source, .flags = flags, .options = options}));
  TRY(vfs::MountFs(context, std::move(fs), place, flags));
  return 0;
}

Result<uint64_t> SysUmount2(Task& task, PathArg target, FlagsArg flags) {
  if ((flags.value & ~uint64_t{MNT_FORCE | MNT_DETACH | MNT_EXPIRE | UMOUNT_NOFOLLOW}) != 0) return Errno::kEINVAL;
  if ((flags & MNT_EXPIRE) != 0 && (flags & (MNT_FORCE | MNT_DETACH)) != 0) return Errno::kEINVAL;
  std::string name = TRY(target.Read(task));
  vfs::WalkContext context = task.WalkFromCwd();
  vfs::Path place = TRY(vfs::Walk(context, name, (flags & UMOUNT_NOFOLLOW) != 0 ? 0u : unsigned{vfs::kWalkFollow}));
  if (place.dentry != place.mount->root()) return Errno::kEINVAL;
  TRY(CheckMayMount(task));
  TRY(vfs::Unmount(context, place, flags));
  return 0;
}

Result<uint64_t> SysPivotRoot(Task& task, PathArg new_root, PathArg put_old) {
  TRY(CheckMayMount(task));
  std::string new_name = TRY(new_root.Read(task)), old_name = TRY(put_old.Read(task));
  vfs::WalkContext context = task.WalkFromCwd();
  vfs::Path new_place = TRY(vfs::Walk(context, new_name, vfs::kWalkFollow | vfs::kWalkDirectory));
  vfs::Path old_place = TRY(vfs::Walk(context, old_name, vfs::kWalkFollow | vfs::kWalkDirectory));
  vfs::Path old_root = task.fs()->root;
  TRY(task.namespaces.mount->PivotRoot(new_place, old_place));
  // Every task of the namespace whose root or working directory was the old root moves along (pivot_root(2)).
  task.kernel().pid_ns->ForEach([&](int, kernel::Pid& pid) {
    if (pid.task == nullptr || pid.task->namespaces.mount != task.namespaces.mount || !pid.task->fs()) return;
    kernel::FsContext& fs = *pid.task->fs();
    if (fs.root == old_root) fs.root = new_place;
    if (fs.cwd == old_root) fs.cwd = new_place;
  });
  return 0;
}

}  // namespace syscalls
