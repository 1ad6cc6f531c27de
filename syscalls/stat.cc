// stat(2), statx(2), access(2), chmod(2), chown(2), utimensat(2), readlink(2), statfs(2), xattr calls.

#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <utime.h>

#include "base/event_loop.h"
#include "sentry/kernel/kernel.h"
#include "syscalls/handlers.h"
#include "syscalls/permissions.h"
#include "syscalls/time_util.h"
#include "vfs/operations.h"

namespace syscalls {

namespace {

// The place or description that a (dirfd, path, AT_*) triple names.
struct Target {
  vfs::WalkContext context;
  vfs::Path place;
  RefPtr<vfs::FileDescription> file;  // set where the descriptor itself is meant
};

Result<Target> Find(Task& task, int dirfd, PathArg path, int at_flags) {
  Target target;
  bool empty = (at_flags & AT_EMPTY_PATH) != 0;
  std::string name;
  if (!(path.address == 0 && empty)) name = TRY(path.Read(task));
  target.context = TRY(task.WalkFrom(dirfd, name, empty));
  if (name.empty() && empty && dirfd != AT_FDCWD) {
    target.file = TRY(task.GetFile(dirfd));
    target.place = target.file->path();
    return target;
  }
  unsigned flags = ((at_flags & AT_SYMLINK_NOFOLLOW) != 0 ? 0u : unsigned{vfs::kWalkFollow}) | (empty ? unsigned{vfs::kWalkEmptyPath} : 0u);
  target.place = TRY(vfs::Walk(target.context, name, flags));
  return target;
}

Result<vfs::Attributes> StatTarget(const Target& target) {
  if (target.file) return target.file->Stat();
  return target.place.inode().Stat();
}

struct stat ToStat(Task& task, const vfs::Attributes& attr) {
  struct stat st = {};
  st.st_dev = attr.dev;
  st.st_ino = attr.ino;
  st.st_mode = attr.mode;
  st.st_nlink = attr.nlink;
  st.st_uid = ShowUid(task, attr.uid);
  st.st_gid = ShowGid(task, attr.gid);
  st.st_rdev = attr.rdev;
  st.st_size = static_cast<off_t>(attr.size);
  st.st_blksize = attr.blksize;
  st.st_blocks = static_cast<blkcnt_t>(attr.blocks);
  st.st_atim = ToTimespec(attr.atime);
  st.st_mtim = ToTimespec(attr.mtime);
  st.st_ctim = ToTimespec(attr.ctime);
  return st;
}

Result<uint64_t> StatAt(Task& task, int dirfd, PathArg path, OutArg<struct stat> out, int at_flags) {
  Target target = TRY(Find(task, dirfd, path, at_flags));
  TRY(out.Write(task, ToStat(task, TRY(StatTarget(target)))));
  return 0;
}

}  // namespace

Result<uint64_t> SysStat(Task& task, PathArg path, OutArg<struct stat> out) { return StatAt(task, AT_FDCWD, path, out, 0); }
Result<uint64_t> SysLstat(Task& task, PathArg path, OutArg<struct stat> out) {
  return StatAt(task, AT_FDCWD, path, out, AT_SYMLINK_NOFOLLOW);
}
Result<uint64_t> SysFstat(Task& task, FdArg fd, OutArg<struct stat> out) {
  RefPtr<vfs::FileDescription> file = TRY(task.GetFile(fd));
  TRY(out.Write(task, ToStat(task, TRY(file->Stat()))));
  return 0;
}
Result<uint64_t> SysNewfstatat(Task& task, DirFdArg dirfd, PathArg path, OutArg<struct stat> out, FlagsArg flags) {
  if ((flags.value & ~uint64_t{AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH}) != 0) return Errno::kEINVAL;
  return StatAt(task, dirfd, path, out, flags);
}

Result<uint64_t> SysStatx(Task& task, DirFdArg dirfd, PathArg path, FlagsArg flags, FlagsArg mask, OutArg<struct statx> out) {
  constexpr uint64_t kSyncType = 0x6000;
  if ((flags.value & ~(uint64_t{AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH} | kSyncType)) != 0) return Errno::kEINVAL;
  if ((flags.value & kSyncType) == kSyncType || (mask.value & 0x80000000) != 0) return Errno::kEINVAL;
  Target target = TRY(Find(task, dirfd, path, flags));
  vfs::Attributes attr = TRY(StatTarget(target));
  struct statx stx = {};
  auto time = [](int64_t ns) { return statx_timestamp{.tv_sec = ns / kSecond, .tv_nsec = static_cast<uint32_t>(ns % kSecond)}; };
  stx.stx_mask = STATX_BASIC_STATS | (attr.btime != 0 ? unsigned{STATX_BTIME} : 0u) | (target.place.mount ? unsigned{STATX_MNT_ID} : 0u);
  stx.stx_blksize = attr.blksize;
  stx.stx_nlink = attr.nlink;
  stx.stx_uid = ShowUid(task, attr.uid);
  stx.stx_gid = ShowGid(task, attr.gid);
  stx.stx_mode = static_cast<uint16_t>(attr.mode);
  stx.stx_ino = attr.ino;
  stx.stx_size = attr.size;
  stx.stx_blocks = attr.blocks;
  stx.stx_atime = time(attr.atime);
  stx.stx_btime = time(attr.btime);
  stx.stx_ctime = time(attr.ctime);
  stx.stx_mtime = time(attr.mtime);
  stx.stx_rdev_major = major(attr.rdev);
  stx.stx_rdev_minor = minor(attr.rdev);
  stx.stx_dev_major = major(attr.dev);
  stx.stx_dev_minor = minor(attr.dev);
  if (target.place.mount) stx.stx_mnt_id = static_cast<uint64_t>(target.place.mount->id());
  bool mount_root = target.place.mount && target.place.dentry == target.place.mount->root();
  stx.stx_attributes_mask = STATX_ATTR_MOUNT_ROOT;
  stx.stx_attributes = mount_root ? STATX_ATTR_MOUNT_ROOT : 0;
  TRY(out.Write(task, stx));
  return 0;
}

// --- access ---

namespace {

Result<uint64_t> AccessAt(Task& task, int dirfd, PathArg path, int mode, int flags) {
  if ((mode & ~(R_OK | W_OK | X_OK)) != 0) return Errno::kEINVAL;
  if ((flags & ~(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) != 0) return Errno::kEINVAL;
  std::string name = TRY(path.Read(task));
  bool empty = (flags & AT_EMPTY_PATH) != 0;
  vfs::WalkContext context = TRY(task.WalkFrom(dirfd, name, empty));
  if ((flags & AT_EACCESS) == 0) {
    // The question is what the real ids may do, with the capabilities that they would have.
    auto real = MakeRef<Credentials>(*context.creds);
    if (real->fsuid != real->ruid || real->fsgid != real->rgid || real->euid != real->ruid) {
      real->fsuid = real->ruid;
      real->fsgid = real->rgid;
      real->effective = real->ruid == real->user_ns->UidToKernel(0) ? real->permitted : 0;
    }
    context.creds = std::move(real);
  }
  unsigned walk = ((flags & AT_SYMLINK_NOFOLLOW) != 0 ? 0u : unsigned{vfs::kWalkFollow}) | (empty ? unsigned{vfs::kWalkEmptyPath} : 0u);
  vfs::Path place = TRY(vfs::Walk(context, name, walk));
  if (mode != F_OK) TRY(vfs::Access(context, place, mode));
  return 0;
}

}  // namespace

Result<uint64_t> SysAccess(Task& task, PathArg path, int mode) { return AccessAt(task, AT_FDCWD, path, mode, 0); }
Result<uint64_t> SysFaccessat(Task& task, DirFdArg dirfd, PathArg path, int mode) { return AccessAt(task, dirfd, path, mode, 0); }
Result<uint64_t> SysFaccessat2(Task& task, DirFdArg dirfd, PathArg path, int mode, FlagsArg flags) {
  return AccessAt(task, dirfd, path, mode, flags);
}

// --- chmod, chown, utimes ---

namespace {

Result<uint64_t> ChangeAt(Task& task, int dirfd, PathArg path, int at_flags, const vfs::SetAttributes& changes) {
  Target target = TRY(Find(task, dirfd, path, at_flags));
  TRY(vfs::SetAttr(target.context, target.place, changes));
  return 0;
}
Result<uint64_t> ChangeFd(Task& task, int fd, const vfs::SetAttributes& changes) {
  RefPtr<vfs::FileDescription> file = TRY(task.GetIoFile(fd));
  TRY(vfs::SetAttr(task.WalkFromCwd(), file->path(), changes));
  return 0;
}

vfs::SetAttributes ModeChange(uint32_t mode) { return {.valid = vfs::SetAttributes::kMode, .mode = mode & 07777}; }

Result<vfs::SetAttributes> OwnerChange(Task& task, uid_t uid, gid_t gid) {
  vfs::SetAttributes changes;
  if (uid != UINT32_MAX) {
    changes.valid |= vfs::SetAttributes::kUid;
    changes.uid = task.creds()->user_ns->UidToKernel(uid);
    if (changes.uid == UINT32_MAX) return Errno::kEINVAL;
  }
  if (gid != UINT32_MAX) {
    changes.valid |= vfs::SetAttributes::kGid;
    changes.gid = task.creds()->user_ns->GidToKernel(gid);
    if (changes.gid == UINT32_MAX) return Errno::kEINVAL;
  }
  return changes;
}

}  // namespace

Result<uint64_t> SysChmod(Task& task, PathArg path, ModeArg mode) { return ChangeAt(task, AT_FDCWD, path, 0, ModeChange(mode)); }
Result<uint64_t> SysFchmod(Task& task, FdArg fd, ModeArg mode) { return ChangeFd(task, fd, ModeChange(mode)); }
Result<uint64_t> SysFchmodat(Task& task, DirFdArg dirfd, PathArg path, ModeArg mode) {
  return ChangeAt(task, dirfd, path, 0, ModeChange(mode));
}
Result<uint64_t> SysFchmodat2(Task& task, DirFdArg dirfd, PathArg path, ModeArg mode, FlagsArg flags) {
  if ((flags.value & ~uint64_t{AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH}) != 0) return Errno::kEINVAL;
  return ChangeAt(task, dirfd, path, flags, ModeChange(mode));
}
Result<uint64_t> SysChown(Task& task, PathArg path, uint32_t uid, uint32_t gid) {
  return ChangeAt(task, AT_FDCWD, path, 0, TRY(OwnerChange(task, uid, gid)));
}
Result<uint64_t> SysLchown(Task& task, PathArg path, uint32_t uid, uint32_t gid) {
  return ChangeAt(task, AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, TRY(OwnerChange(task, uid, gid)));
}
Result<uint64_t> SysFchown(Task& task, FdArg fd, uint32_t uid, uint32_t gid) {
  return ChangeFd(task, fd, TRY(OwnerChange(task, uid, gid)));
}
Result<uint64_t> SysFchownat(Task& task, DirFdArg dirfd, PathArg path, uint32_t uid, uint32_t gid, FlagsArg flags) {
  if ((flags.value & ~uint64_t{AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH}) != 0) return Errno::kEINVAL;
  return ChangeAt(task, dirfd, path, flags, TRY(OwnerChange(task, uid, gid)));
}

namespace {

Result<vfs::SetAttributes> TimeChange(const timespec* times) {
  using vfs::SetAttributes;
  SetAttributes changes;
  if (times == nullptr) {
    changes.valid = SetAttributes::kAtimeNow | SetAttributes::kMtimeNow | SetAttributes::kAtime | SetAttributes::kMtime;
    return changes;
  }
  auto set = [&](const timespec& ts, uint32_t valid, uint32_t now, int64_t& field) -> Result<void> {
    if (ts.tv_nsec == UTIME_OMIT) return {};
    if (ts.tv_nsec == UTIME_NOW) {
      changes.valid |= valid | now;
      return {};
    }
    if (ts.tv_nsec < 0 || ts.tv_nsec >= kSecond) return Errno::kEINVAL;
    changes.valid |= valid;
    int64_t seconds = std::clamp<int64_t>(ts.tv_sec, INT64_MIN / kSecond + 1, INT64_MAX / kSecond - 1);
    field = seconds * kSecond + ts.tv_nsec;
    return {};
  };
  TRY(set(times[0], SetAttributes::kAtime, SetAttributes::kAtimeNow, changes.atime));
  TRY(set(times[1], SetAttributes::kMtime, SetAttributes::kMtimeNow, changes.mtime));
  return changes;
}

}  // namespace

Result<uint64_t> SysUtimensat(Task& task, DirFdArg dirfd, PathArg path, UserAddress times, FlagsArg flags) {
  if ((flags.value & ~uint64_t{AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH}) != 0) return Errno::kEINVAL;
  timespec given[2];
  if (times != 0) TRY(task.mm().CopyIn(given, times, sizeof given));
  vfs::SetAttributes changes = TRY(TimeChange(times != 0 ? given : nullptr));
  if (changes.valid == 0) return 0;
  if (path.address == 0) {
    if (dirfd == AT_FDCWD) return Errno::kEFAULT;
    if (flags.value != 0) return Errno::kEINVAL;
    return ChangeFd(task, dirfd, changes);
  }
  return ChangeAt(task, dirfd, path, flags, changes);
}

namespace {
Result<uint64_t> UtimesAt(Task& task, int dirfd, PathArg path, UserAddress times) {
  timespec converted[2];
  if (times != 0) {
    timeval given[2];
    TRY(task.mm().CopyIn(given, times, sizeof given));
    for (int i = 0; i < 2; i++) {
      if (given[i].tv_usec < 0 || given[i].tv_usec >= 1'000'000) return Errno::kEINVAL;
      converted[i] = {given[i].tv_sec, given[i].tv_usec * 1000};
    }
  }
  return ChangeAt(task, dirfd, path, 0, TRY(TimeChange(times != 0 ? converted : nullptr)));
}
}  // namespace

Result<uint64_t> SysUtimes(Task& task, PathArg path, UserAddress times) { return UtimesAt(task, AT_FDCWD, path, times); }
Result<uint64_t> SysFutimesat(Task& task, DirFdArg dirfd, PathArg path, UserAddress times) { return UtimesAt(task, dirfd, path, times); }
Result<uint64_t> SysUtime(Task& task, PathArg path, InArg<utimbuf> times) {
  timespec converted[2];
  if (!times.null()) {
    utimbuf given = TRY(times.Read(task));
    converted[0] = {given.actime, 0};
    converted[1] = {given.modtime, 0};
  }
  return ChangeAt(task, AT_FDCWD, path, 0, TRY(TimeChange(times.null() ? nullptr : converted)));
}

// --- readlink ---

namespace {
Result<uint64_t> ReadLinkAt(Task& task, int dirfd, PathArg path, UserAddress buffer, int size) {
  if (size <= 0) return Errno::kEINVAL;
  std::string name = TRY(path.Read(task));
  vfs::WalkContext context = TRY(task.WalkFrom(dirfd, name, true));
  // An empty name means the link that an O_PATH descriptor refers to.
  bool of_link = name.empty() && dirfd != AT_FDCWD;
  std::string target = TRY(vfs::ReadLink(context, name, of_link ? unsigned{vfs::kWalkEmptyPath} : 0u));
  size_t n = std::min(target.size(), static_cast<size_t>(size));
  TRY(task.mm().CopyOut(buffer, target.data(), n));
  return n;
}
}  // namespace

Result<uint64_t> SysReadlink(Task& task, PathArg path, UserAddress buffer, int size) { return ReadLinkAt(task, AT_FDCWD, path, buffer, size); }
Result<uint64_t> SysReadlinkat(Task& task, DirFdArg dirfd, PathArg path, UserAddress buffer, int size) {
  return ReadLinkAt(task, dirfd, path, buffer, size);
}

// --- statfs ---

namespace {
Result<uint64_t> WriteStatfs(Task& task, const vfs::Path& place, UserAddress out) {
  struct statfs st = TRY(place.inode().fs().StatFs());
  if (place.mount) {
    constexpr unsigned long kShown = ST_RDONLY | ST_NOSUID | ST_NODEV | ST_NOEXEC | ST_NOATIME | ST_NODIRATIME | ST_RELATIME;
    st.f_flags = 0x20 | static_cast<long>(place.mount->flags & kShown & 0xf) | (place.mount->read_only() ? ST_RDONLY : 0);
  }
  TRY(task.mm().CopyOut(out, &st, sizeof st));
  return 0;
}
}  // namespace

Result<uint64_t> SysStatfs(Task& task, PathArg path, UserAddress out) {
  std::string name = TRY(path.Read(task));
  return WriteStatfs(task, TRY(vfs::Walk(task.WalkFromCwd(), name, vfs::kWalkFollow)), out);
}
Result<uint64_t> SysFstatfs(Task& task, FdArg fd, UserAddress out) {
  RefPtr<vfs::FileDescription> file = TRY(task.GetFile(fd));
  return WriteStatfs(task, file->path(), out);
}

}  // namespace syscalls
