#pragma once

// Regular files. One that was not copied up is read through the lower layer's description; once it
// is in the upper layer, descriptions are the upper layer's own.

#include "vfs/fs/overlay/inode.h"

namespace overlay {

class RegularInode final : public OverlayInode {
 public:
  RegularInode(OverlayFileSystem* fs, RefPtr<vfs::Inode> upper, RefPtr<vfs::Inode> lower)
      : OverlayInode(fs, std::move(upper), std::move(lower)) {}

  Result<RefPtr<vfs::FileDescription>> Open(const vfs::OpenOptions& options,
                                            const Credentials& creds) override;

 private:
  RefPtr<vfs::Dentry> lower_dentry_;  // what lower descriptions are opened on; made on first use
};

}  // namespace overlay
