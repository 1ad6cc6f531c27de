#pragma once

// The pseudo file system behind files without a name in any directory. See InitAnonymous in vfs/operations.h.

#include "base/credentials.h"
#include "vfs/mount.h"

namespace vfs {

// An inode on it, owned by the caller: for files whose two ends share one (pipes).
RefPtr<Inode> MakeAnonymousInode(uint32_t mode, const Credentials& creds);

const RefPtr<Mount>& AnonymousMount();
bool IsAnonymousMount(const Mount& mount);

}  // namespace vfs
