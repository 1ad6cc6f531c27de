#pragma once

// Permission rules that are not tied to one operation: credentials(7), capabilities(7), inode(7).

#include "base/credentials.h"
#include "base/result.h"
#include "vfs/attributes.h"
#include "vfs/inode.h"
#include "vfs/mount.h"

namespace vfs {

inline constexpr int kMayExec = 1, kMayWrite = 2, kMayRead = 4;

// Whether a capability counts for an inode of these owners: they must exist in the caller's user namespace
// (user_namespaces(7), "Interaction of capabilities and user namespaces with inodes").
bool HasCapabilityFor(const Credentials& creds, int cap, const Attributes& attr);
inline bool IsOwnerOr(const Credentials& creds, int cap, const Attributes& attr) {
  return creds.fsuid == attr.uid || HasCapabilityFor(creds, cap, attr);
}

// Mode bits and CAP_DAC_*. EACCES.
Result<void> ClassicPermission(const Attributes& attr, const Credentials& creds, int mask);

// The full check before an access to an inode: EROFS where the whole file system is read-only, then the inode's own.
Result<void> InodePermission(Inode& inode, const Credentials& creds, int mask);

// Before a name appears in, or goes from, a directory: write and search permission, and that it was not itself removed.
Result<void> MayCreate(const Dentry& directory, const Credentials& creds);
// Also sticky bits, and that the type is right: `want_directory` as in rmdir(2). EPERM, ENOTDIR, EISDIR, EBUSY.
Result<void> MayDelete(const Dentry& directory, const Dentry& child, const Credentials& creds, bool want_directory);

// Whether a mount of the caller's namespace sits on it.
bool IsMountpointIn(const MountNamespace* ns, const Dentry& dentry);
// A name went: mounts that other namespaces have on it are detached.
void DetachMountsOn(const Dentry& dentry);

// The mode and owners of something new in a directory (setgid directories).
Result<CreateOptions> NewInodeOptions(Inode& directory, const Credentials& creds, uint32_t mode, uint64_t rdev = 0);

}  // namespace vfs
