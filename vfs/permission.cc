#include "vfs/permission.h"

#include <sys/stat.h>

namespace vfs {

bool HasCapabilityFor(const Credentials& creds, int cap, const Attributes& attr) {
  if (!creds.Has(cap)) return false;
  if (!creds.user_ns || creds.user_ns->is_root()) return true;
  return creds.user_ns->UidFromKernel(attr.uid) != UINT32_MAX && creds.user_ns->GidFromKernel(attr.gid) != UINT32_MAX;
}

Result<void> ClassicPermission(const Attributes& attr, const Credentials& creds, int mask) {
  unsigned bits;
  if (creds.fsuid == attr.uid) {
    bits = attr.mode >> 6;
  } else if (creds.InGroup(attr.gid)) {
    bits = attr.mode >> 3;
  } else {
    bits = attr.mode;
  }
  if ((static_cast<unsigned>(mask) & ~bits & 7) == 0) return {};

  if (S_ISDIR(attr.mode)) {
    if ((mask & kMayWrite) == 0 && HasCapabilityFor(creds, CAP_DAC_READ_SEARCH, attr)) return {};
    if (HasCapabilityFor(creds, CAP_DAC_OVERRIDE, attr)) return {};
    return Errno::kEACCES;
  }
  if (mask == kMayRead && HasCapabilityFor(creds, CAP_DAC_READ_SEARCH, attr)) return {};
  // Execution needs somebody's x bit even for the mighty.
  bool executable = (mask & kMayExec) == 0 || (attr.mode & 0111) != 0;
  if (executable && HasCapabilityFor(creds, CAP_DAC_OVERRIDE, attr)) return {};
  return Errno::kEACCES;
}

Result<void> InodePermission(Inode& inode, const Credentials& creds, int mask) {
  if ((mask & kMayWrite) != 0 && (inode.fs().flags & MS_RDONLY) != 0) {
    uint32_t type = inode.type();
    if (S_ISREG(type) || S_ISDIR(type) || S_ISLNK(type)) return Errno::kEROFS;
  }
  return inode.CheckPermission(creds, mask);
}

Result<void> MayCreate(const Dentry& directory, const Credentials& creds) {
  if (directory.unlinked()) return Errno::kENOENT;
  return InodePermission(*directory.inode(), creds, kMayWrite | kMayExec);
}

Result<void> MayDelete(const Dentry& directory, const Dentry& child, const Credentials& creds, bool want_directory) {
  TRY(InodePermission(*directory.inode(), creds, kMayWrite | kMayExec));
  Attributes dir = TRY(directory.inode()->Stat());
  if ((dir.mode & S_ISVTX) != 0 && dir.uid != creds.fsuid) {
    Attributes attr = TRY(child.inode()->Stat());
    if (!IsOwnerOr(creds, CAP_FOWNER, attr)) return Errno::kEPERM;
  }
  if (want_directory) {
    if (!child.is_directory()) return Errno::kENOTDIR;
    if (!child.parent()) return Errno::kEBUSY;
  } else if (child.is_directory()) {
    return Errno::kEISDIR;
  }
  if (directory.unlinked()) return Errno::kENOENT;
  return {};
}

Result<CreateOptions> NewInodeOptions(Inode& directory, const Credentials& creds, uint32_t mode, uint64_t rdev) {
  CreateOptions options{.mode = mode, .uid = creds.fsuid, .gid = creds.fsgid, .rdev = rdev};
  Attributes dir = TRY(directory.Stat());
  if ((dir.mode & S_ISGID) != 0) {
    options.gid = dir.gid;
    if (S_ISDIR(mode)) {
      options.mode |= S_ISGID;
    } else if ((mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) && !creds.InGroup(dir.gid) &&
               !HasCapabilityFor(creds, CAP_FSETID, dir)) {
      options.mode &= ~static_cast<uint32_t>(S_ISGID);
    }
  }
  return options;
}

}  // namespace vfs
