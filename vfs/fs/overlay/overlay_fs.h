#pragma once

// The overlay file system: several directory trees seen as one. See README.md.

#include <string>
#include <vector>

#include "vfs/dentry.h"
#include "vfs/inode.h"

namespace overlay {

struct Options {
  RefPtr<vfs::Inode> upper;                // takes all changes; null: the overlay is read-only
  std::vector<RefPtr<vfs::Inode>> lowers;  // topmost first, at least one; never changed, nor may anybody else change them
  std::string source = "overlay";          // for mountinfo
  std::vector<RefPtr<vfs::FileSystem>> layers;  // whose they are: kept for as long as the overlay
  std::string mount_options;               // as mountinfo shows them
  RefPtr<vfs::Dentry> upper_dentry;        // where the upper layer is seen itself, if it is; kept up to date
  bool user_xattrs = false;                // marks in user.overlay. rather than trusted.overlay.
};

// EINVAL without a lower layer, ENOTDIR when one is not a directory.
Result<RefPtr<vfs::FileSystem>> CreateOverlay(Options options);

// Makes "overlay" known to mount(2), with lowerdir=, upperdir= and workdir=.
void RegisterOverlay();

}  // namespace overlay
