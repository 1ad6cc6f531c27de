// mount(2), umount2(2): flags and rules around MountNamespace.

#include <sys/mount.h>

#include "vfs/mount_tree.h"
#include "vfs/operations.h"

#ifndef MS_NOSYMFOLLOW
#define MS_NOSYMFOLLOW 256
#endif

namespace vfs {

namespace {

constexpr unsigned long kMountFlags = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME | MS_NODIRATIME | MS_RELATIME |
                                      MS_STRICTATIME | MS_NOSYMFOLLOW;
constexpr unsigned long kFileSystemFlags = MS_RDONLY | MS_SYNCHRONOUS | MS_MANDLOCK | MS_DIRSYNC | MS_SILENT | MS_LAZYTIME;
constexpr unsigned long kAtimeFlags = MS_NOATIME | MS_NODIRATIME | MS_RELATIME | MS_STRICTATIME;

unsigned long MountFlags(unsigned long flags) {
  unsigned long kept = flags & kMountFlags;
  if ((flags & MS_NOATIME) == 0 && (flags & MS_STRICTATIME) == 0) kept |= MS_RELATIME;
  if ((flags & MS_STRICTATIME) != 0) kept &= ~static_cast<unsigned long>(MS_RELATIME | MS_NOATIME);
  return kept;
}

MountNamespace* CallerNamespace(const WalkContext& context) { return context.root.mount->ns; }

}  // namespace

Result<void> MountFs(const WalkContext& context, RefPtr<FileSystem> fs, const Path& place, unsigned long flags) {
  MountNamespace* ns = CallerNamespace(context);
  if (ns == nullptr) return Errno::kEINVAL;
  fs->flags |= flags & kFileSystemFlags;
  auto mount = MakeRef<Mount>(fs, MountFlags(flags));
  // The same file system twice at one place is refused.
  Path top = MountNamespace::TopOf(place);
  if (top.mount->fs() == fs && top.dentry == top.mount->root()) return Errno::kEBUSY;
  return ns->Attach(std::move(mount), place);
}

Result<void> BindMount(const WalkContext& context, const Path& source, const Path& place, unsigned long flags) {
  MountNamespace* ns = CallerNamespace(context);
  if (ns == nullptr || source.mount->unbindable) return Errno::kEINVAL;
  if (source.mount->ns != ns || place.mount->ns != ns) return Errno::kEINVAL;
  RefPtr<Mount> copy = CloneMountTree(*source.mount, source.dentry, (flags & MS_REC) != 0);
  Result<void> attached = ns->Attach(copy, place);
  if (!attached.ok()) DropMountTree(std::move(copy));
  return attached;
}

Result<void> Remount(const WalkContext& context, const Path& place, unsigned long flags, std::string_view options) {
  if (place.dentry != place.mount->root() || place.mount->ns != CallerNamespace(context)) return Errno::kEINVAL;
  Mount& mount = *place.mount;
  // Without any word on access times they stay as they are.
  unsigned long kept = (flags & kAtimeFlags) == 0 ? mount.flags & kAtimeFlags : 0;
  unsigned long new_flags = kept != 0 ? (flags & kMountFlags & ~kAtimeFlags) | kept : MountFlags(flags);
  if ((flags & MS_BIND) == 0) {
    FileSystem& fs = *mount.fs();
    unsigned long fs_flags = flags & kFileSystemFlags;
    TRY(fs.Remount(fs_flags, options));
    fs.flags = fs_flags;
  }
  mount.flags = new_flags;
  MountTree::Changed(mount.ns);
  return {};
}

Result<void> MoveMount(const WalkContext& context, const Path& source, const Path& place) {
  MountNamespace* ns = CallerNamespace(context);
  if (ns == nullptr || source.dentry != source.mount->root()) return Errno::kEINVAL;
  return ns->Move(*source.mount, place);
}

Result<void> ChangePropagation(const WalkContext& context, const Path& place, unsigned long flags) {
  unsigned long type = flags & (MS_SHARED | MS_PRIVATE | MS_SLAVE | MS_UNBINDABLE);
  if (type == 0 || (type & (type - 1)) != 0) return Errno::kEINVAL;
  if ((flags & ~(type | MS_REC | MS_SILENT)) != 0) return Errno::kEINVAL;
  if (place.dentry != place.mount->root()) return Errno::kEINVAL;
  SetPropagation(*place.mount, type, (flags & MS_REC) != 0);
  return {};
}

Result<void> Unmount(const WalkContext& context, const Path& place, int flags) {
  constexpr int kKnown = MNT_FORCE | MNT_DETACH | MNT_EXPIRE | UMOUNT_NOFOLLOW;
  if ((flags & ~kKnown) != 0) return Errno::kEINVAL;
  if ((flags & MNT_EXPIRE) != 0 && (flags & (MNT_FORCE | MNT_DETACH)) != 0) return Errno::kEINVAL;
  MountNamespace* ns = CallerNamespace(context);
  if (ns == nullptr || place.dentry != place.mount->root() || place.mount->ns != ns) return Errno::kEINVAL;
  return ns->Detach(*place.mount, flags);
}

}  // namespace vfs
