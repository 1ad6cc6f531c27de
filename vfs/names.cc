// Calls that make and remove names: mkdir(2), mknod(2), symlink(2), link(2), unlink(2), rmdir(2). Orders of checks are those
// of Linux's fs/namei.c.

#include <limits.h>
#include <sys/mount.h>
#include <sys/sysmacros.h>

#include "absl/functional/function_ref.h"
#include "vfs/operations.h"
#include "vfs/permission.h"
#include "vfs/watch.h"

namespace vfs {

namespace {

bool IsDot(std::string_view name) { return name == "."; }
bool IsDotDot(std::string_view name) { return name == ".."; }

using Maker = absl::FunctionRef<Result<RefPtr<Inode>>(const Path& directory, std::string_view name)>;

// Finds the free name, checks that it may be made, and makes it with `make` under the directory's lock.
Result<Path> MakeName(const WalkContext& context, std::string_view path, bool is_directory, Maker make) {
  ParentAndName last = TRY(WalkParent(context, path));
  if (last.name.empty() || IsDot(last.name) || IsDotDot(last.name)) return Errno::kEEXIST;
  if (last.name.size() > NAME_MAX) return Errno::kENAMETOOLONG;
  Dentry& directory = *last.parent.dentry;
  DirectoryLock::Exclusive lock(directory.inode()->directory_lock);
  RefPtr<Dentry> child = TRY(directory.ChildLocked(last.name));
  if (!child->negative()) return Errno::kEEXIST;
  if (last.trailing_slash && !is_directory) return Errno::kENOENT;
  if (last.parent.mount->read_only()) return Errno::kEROFS;
  TRY(MayCreate(directory, *context.creds));
  RefPtr<Inode> inode = TRY(make(last.parent, last.name));
  child->Instantiate(std::move(inode));
  if (watch_count != 0) ReportName(*directory.inode(), last.name, is_directory ? IN_CREATE | IN_ISDIR : IN_CREATE);
  return Path{last.parent.mount, std::move(child)};
}

}  // namespace

Result<void> Mkdir(const WalkContext& context, std::string_view name, uint32_t mode) {
  TRY(MakeName(context, name, true, [&](const Path& directory, std::string_view child) -> Result<RefPtr<Inode>> {
    CreateOptions options = TRY(NewInodeOptions(directory.inode(), *context.creds, S_IFDIR | (mode & 01777)));
    return directory.inode().Mkdir(child, options);
  }));
  return {};
}

Result<Path> MknodPath(const WalkContext& context, std::string_view name, uint32_t mode, uint64_t rdev) {
  switch (mode & S_IFMT) {
    case 0:
      mode |= S_IFREG;
      break;
    case S_IFREG:
    case S_IFCHR:
    case S_IFBLK:
    case S_IFIFO:
    case S_IFSOCK:
      break;
    case S_IFDIR:
      return Errno::kEPERM;
    default:
      return Errno::kEINVAL;
  }
  return MakeName(context, name, false, [&](const Path& directory, std::string_view child) -> Result<RefPtr<Inode>> {
    const bool device = S_ISCHR(mode) || S_ISBLK(mode);
    const bool whiteout = S_ISCHR(mode) && rdev == 0;
    if (device && !whiteout) {
      // Devices are the host's business: the capability must be held where everything is.
      bool initial = !context.creds->user_ns || context.creds->user_ns->is_root();
      if (!initial || !context.creds->Has(CAP_MKNOD)) return Errno::kEPERM;
    }
    CreateOptions options = TRY(NewInodeOptions(directory.inode(), *context.creds, mode & (S_IFMT | 07777), rdev));
    if (S_ISREG(mode)) return directory.inode().Create(child, options);
    return directory.inode().Mknod(child, options);
  });
}

Result<void> Mknod(const WalkContext& context, std::string_view name, uint32_t mode, uint64_t rdev) {
  TRY(MknodPath(context, name, mode, rdev));
  return {};
}

Result<void> Symlink(const WalkContext& context, std::string_view target, std::string_view name) {
  if (target.empty()) return Errno::kENOENT;
  if (target.size() >= PATH_MAX) return Errno::kENAMETOOLONG;
  TRY(MakeName(context, name, false, [&](const Path& directory, std::string_view child) -> Result<RefPtr<Inode>> {
    CreateOptions options = TRY(NewInodeOptions(directory.inode(), *context.creds, S_IFLNK | 0777));
    return directory.inode().Symlink(child, target, options);
  }));
  return {};
}

Result<void> Link(const WalkContext& old_context, const Path& old_place, const WalkContext& new_context,
                  std::string_view new_name) {
  Inode& target = old_place.inode();
  TRY(MakeName(new_context, new_name, false, [&](const Path& directory, std::string_view child) -> Result<RefPtr<Inode>> {
    if (directory.mount != old_place.mount) return Errno::kEXDEV;
    if (S_ISDIR(target.type())) return Errno::kEPERM;
    if (!target.linkable && old_place.dentry->unlinked() && TRY(target.Stat()).nlink == 0) return Errno::kENOENT;
    TRY(directory.inode().Link(child, target));
    target.linkable = false;
    if (watch_count != 0) ReportSelf(target, IN_ATTRIB);
    return old_place.dentry->inode();
  }));
  return {};
}

Result<void> Unlink(const WalkContext& context, std::string_view name) {
  ParentAndName last = TRY(WalkParent(context, name));
  if (last.name.empty() || IsDot(last.name) || IsDotDot(last.name)) return Errno::kEISDIR;
  if (last.parent.mount->read_only()) return Errno::kEROFS;
  if (last.name.size() > NAME_MAX) return Errno::kENAMETOOLONG;
  Dentry& directory = *last.parent.dentry;
  RefPtr<Dentry> child;
  {
    DirectoryLock::Exclusive lock(directory.inode()->directory_lock);
    child = TRY(directory.ChildLocked(last.name));
    if (child->negative()) return Errno::kENOENT;
    if (last.trailing_slash) return child->is_directory() ? Errno::kEISDIR : Errno::kENOTDIR;
    TRY(MayDelete(directory, *child, *context.creds, false));
    if (IsMountpointIn(context.root.mount->ns, *child)) return Errno::kEBUSY;
    TRY(directory.inode()->Unlink(last.name, *child->inode()));
    child->MarkUnlinked();
  }
  DetachMountsOn(*child);
  if (watch_count != 0) {
    ReportSelf(*child->inode(), IN_ATTRIB);
    ReportName(*directory.inode(), last.name, IN_DELETE);
    ReportGoneIfUnused(*child);
  }
  return {};
}

Result<void> Rmdir(const WalkContext& context, std::string_view name) {
  ParentAndName last = TRY(WalkParent(context, name));
  if (last.name.empty()) return Errno::kEBUSY;
  if (IsDot(last.name)) return Errno::kEINVAL;
  if (IsDotDot(last.name)) return Errno::kENOTEMPTY;
  if (last.parent.mount->read_only()) return Errno::kEROFS;
  if (last.name.size() > NAME_MAX) return Errno::kENAMETOOLONG;
  Dentry& directory = *last.parent.dentry;
  RefPtr<Dentry> child;
  {
    DirectoryLock::Exclusive lock(directory.inode()->directory_lock);
    child = TRY(directory.ChildLocked(last.name));
    if (child->negative()) return Errno::kENOENT;
    TRY(MayDelete(directory, *child, *context.creds, true));
    if (IsMountpointIn(context.root.mount->ns, *child)) return Errno::kEBUSY;
    DirectoryLock::Exclusive child_lock(child->inode()->directory_lock);
    TRY(directory.inode()->Rmdir(last.name, *child->inode()));
    child->MarkUnlinked();
  }
  DetachMountsOn(*child);
  if (watch_count != 0) {
    ReportName(*directory.inode(), last.name, IN_DELETE | IN_ISDIR);
    ReportGoneIfUnused(*child);
  }
  return {};
}

Result<std::string> ReadLink(const WalkContext& context, std::string_view name, unsigned walk_flags) {
  Path place = TRY(Walk(context, name, walk_flags));
  // readlinkat(2) with an empty name says ENOENT for what is no link.
  if (!place.dentry->is_symlink()) return name.empty() ? Errno::kENOENT : Errno::kEINVAL;
  return place.inode().ReadLink(*context.creds);
}

}  // namespace vfs
