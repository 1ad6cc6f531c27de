// chmod(2), chown(2), utimensat(2), truncate(2), access(2), and the upkeep around reads and writes.

#include <sys/mount.h>

#include "base/event_loop.h"
#include "vfs/operations.h"
#include "vfs/permission.h"
#include "vfs/watch.h"

namespace vfs {

namespace {

using Valid = SetAttributes::Valid;

// Who may change what: Linux's setattr_prepare.
Result<void> MayChange(const Attributes& attr, const Credentials& creds, Inode& inode, SetAttributes* changes) {
  if ((changes->valid & Valid::kUid) != 0) {
    bool owner_keeps = creds.fsuid == attr.uid && changes->uid == attr.uid;
    if (!owner_keeps && !HasCapabilityFor(creds, CAP_CHOWN, attr)) return Errno::kEPERM;
  }
  if ((changes->valid & Valid::kGid) != 0) {
    bool owner_moves = creds.fsuid == attr.uid && (changes->gid == attr.gid || creds.InGroup(changes->gid));
    if (!owner_moves && !HasCapabilityFor(creds, CAP_CHOWN, attr)) return Errno::kEPERM;
  }
  if ((changes->valid & Valid::kMode) != 0) {
    if (!IsOwnerOr(creds, CAP_FOWNER, attr)) return Errno::kEPERM;
    gid_t gid = (changes->valid & Valid::kGid) != 0 ? changes->gid : attr.gid;
    if (!creds.InGroup(gid) && !HasCapabilityFor(creds, CAP_FSETID, attr)) {
      changes->mode &= ~static_cast<uint32_t>(S_ISGID);
    }
  }
  constexpr uint32_t kTimes = Valid::kAtime | Valid::kMtime | Valid::kAtimeNow | Valid::kMtimeNow;
  if ((changes->valid & kTimes) != 0) {
    constexpr uint32_t kTouch = Valid::kAtimeNow | Valid::kMtimeNow;
    bool touch = (changes->valid & kTouch) == kTouch;
    if (!IsOwnerOr(creds, CAP_FOWNER, attr)) {
      if (!touch) return Errno::kEPERM;
      TRY(InodePermission(inode, creds, kMayWrite));
    }
  }
  return {};
}

// The bits of `mode` that go when somebody else's hands touch the file: set-user-ID; set-group-ID where it means execution, and
// elsewhere if they are not of the group.
uint32_t PrivilegeBits(uint32_t mode, const Attributes& attr, const Credentials& creds) {
  uint32_t bits = mode & S_ISUID;
  if ((mode & S_ISGID) != 0) {
    bool keeps = (mode & S_IXGRP) == 0 && (creds.InGroup(attr.gid) || HasCapabilityFor(creds, CAP_FSETID, attr));
    if (!keeps) bits |= S_ISGID;
  }
  return bits;
}

// Those that writing takes away.
uint32_t BitsLostByWriting(const Attributes& attr, const Credentials& creds) {
  if (!S_ISREG(attr.mode)) return 0;
  uint32_t bits = PrivilegeBits(attr.mode, attr, creds);
  return bits != 0 && HasCapabilityFor(creds, CAP_FSETID, attr) ? 0 : bits;
}

void ReportChange(const Dentry& dentry, uint32_t valid) {
  uint32_t event = 0;
  bool atime = (valid & (Valid::kAtime | Valid::kAtimeNow)) != 0;
  bool mtime = (valid & (Valid::kMtime | Valid::kMtimeNow)) != 0;
  if ((valid & (Valid::kUid | Valid::kGid | Valid::kMode)) != 0) event |= IN_ATTRIB;
  if ((valid & Valid::kSize) != 0) event |= IN_MODIFY;
  if (atime && mtime) {
    event |= IN_ATTRIB;
  } else if (atime) {
    event |= IN_ACCESS;
  } else if (mtime) {
    event |= IN_MODIFY;
  }
  for (uint32_t bit : {IN_ACCESS, IN_MODIFY, IN_ATTRIB}) {
    if ((event & bit) != 0) ReportObject(dentry, bit);
  }
}

Result<void> Apply(const Dentry& dentry, SetAttributes& changes) {
  Inode& inode = *dentry.inode();
  int64_t now = 0;
  if ((changes.valid & (Valid::kAtimeNow | Valid::kMtimeNow)) != 0) now = base::RealtimeNow();
  // File systems may look at the "now" bits (and take the time themselves) or only at the values.
  if ((changes.valid & Valid::kAtimeNow) != 0) {
    changes.valid |= Valid::kAtime;
    changes.atime = now;
  }
  if ((changes.valid & Valid::kMtimeNow) != 0) {
    changes.valid |= Valid::kMtime;
    changes.mtime = now;
  }
  TRY(inode.SetAttr(changes));
  inode.no_privileges = false;
  if (watch_count != 0) ReportChange(dentry, changes.valid);
  return {};
}

}  // namespace

Result<void> SetAttr(const WalkContext& context, const Path& place, SetAttributes changes) {
  const Credentials& creds = *context.creds;
  Inode& inode = place.inode();
  if ((changes.valid & Valid::kSize) != 0) {
    if (S_ISDIR(inode.type())) return Errno::kEISDIR;
    if (!S_ISREG(inode.type())) return Errno::kEINVAL;
    if (place.mount->read_only()) return Errno::kEROFS;
    TRY(InodePermission(inode, creds, kMayWrite));
    if (inode.write_count < 0) return Errno::kETXTBSY;
    if (changes.valid == Valid::kSize) return Truncate(place, changes.size, &creds);
  }
  if (place.mount->read_only()) return Errno::kEROFS;
  Attributes attr = TRY(inode.Stat());
  if ((changes.valid & Valid::kMode) != 0) {
    if (S_ISLNK(attr.mode)) return Errno::kEOPNOTSUPP;
    changes.mode &= 07777;
  }
  TRY(MayChange(attr, creds, inode, &changes));

  // A new owner gets no set-user-ID program for a present, not even from root.
  if ((changes.valid & (Valid::kUid | Valid::kGid)) != 0 && !S_ISDIR(attr.mode)) {
    uint32_t mode = (changes.valid & Valid::kMode) != 0 ? changes.mode : attr.mode & 07777;
    if (uint32_t drop = PrivilegeBits(mode, attr, creds); drop != 0) {
      changes.valid |= Valid::kMode;
      changes.mode = mode & ~drop;
    }
    if (S_ISREG(attr.mode)) (void)inode.RemoveXattr("security.capability");
  }
  return Apply(*place.dentry, changes);
}

Result<void> Truncate(const Path& place, uint64_t size, const Credentials* creds) {
  Inode& inode = place.inode();
  SetAttributes changes;
  changes.valid = Valid::kSize;
  changes.size = size;
  if (!inode.no_privileges) {
    Attributes attr = TRY(inode.Stat());
    static const Credentials& nobody = *MakeRef<Credentials>().release();
    if (uint32_t drop = BitsLostByWriting(attr, creds != nullptr ? *creds : nobody); drop != 0) {
      changes.valid |= Valid::kMode;
      changes.mode = attr.mode & 07777 & ~drop;
    }
  }
  return Apply(*place.dentry, changes);
}

Result<void> Access(const WalkContext& context, const Path& place, int mask) {
  uint32_t type = place.dentry->type();
  if ((mask & kMayExec) != 0 && S_ISREG(type) && (place.mount->flags & MS_NOEXEC) != 0) return Errno::kEACCES;
  TRY(InodePermission(place.inode(), *context.creds, mask));
  bool special = S_ISCHR(type) || S_ISBLK(type) || S_ISFIFO(type) || S_ISSOCK(type);
  if ((mask & kMayWrite) != 0 && !special && place.mount->read_only()) return Errno::kEROFS;
  return {};
}

Result<void> PrepareWrite(FileDescription& file, const Credentials& creds) {
  const Path& path = file.path();
  if (!path.dentry || !S_ISREG(path.dentry->type())) return {};
  Inode& inode = path.inode();
  if (inode.no_privileges) return {};
  Attributes attr = TRY(inode.Stat());
  if (uint32_t drop = BitsLostByWriting(attr, creds); drop != 0) {
    SetAttributes changes;
    changes.valid = Valid::kMode;
    changes.mode = attr.mode & 07777 & ~drop;
    TRY(Apply(*path.dentry, changes));
  }
  if (inode.GetXattr("security.capability").ok()) TRY(inode.RemoveXattr("security.capability"));
  // One who may leave the bits says nothing about the next writer.
  inode.no_privileges = (attr.mode & (S_ISUID | S_ISGID)) == 0;
  return {};
}

void NotifyAccessed(FileDescription& file) {
  if (watch_count != 0 && file.path().dentry) ReportObject(*file.path().dentry, IN_ACCESS);
}

void NotifyModified(FileDescription& file) {
  if (watch_count != 0 && file.path().dentry) ReportObject(*file.path().dentry, IN_MODIFY);
}

bool AtimeNeedsUpdate(const Path& path, int open_flags, int64_t atime, int64_t mtime, int64_t ctime, int64_t now) {
  if ((open_flags & O_NOATIME) != 0 || !path.mount) return false;
  unsigned long flags = path.mount->flags;
  if ((flags & MS_NOATIME) != 0 || path.mount->read_only()) return false;
  if ((flags & MS_NODIRATIME) != 0 && path.dentry->is_directory()) return false;
  if ((flags & MS_STRICTATIME) != 0) return true;
  constexpr int64_t kDay = int64_t{24} * 3600 * 1'000'000'000;
  return mtime >= atime || ctime >= atime || now - atime >= kDay;
}

Result<void> DenyWriteAccess(Inode& inode) {
  if (inode.write_count > 0) return Errno::kETXTBSY;
  inode.write_count--;
  return {};
}

void AllowWriteAccess(Inode& inode) { inode.write_count++; }

}  // namespace vfs
