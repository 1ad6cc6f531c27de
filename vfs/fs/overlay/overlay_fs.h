#pragma once

// The overlay file system: several directory trees seen as one. See README.md.

#include <string>
#include <vector>

#include "vfs/dentry.h"
#include "vfs/inode.h"

namespace overlay {

struct Options {
  // Takes all changes; null: the overlay is read-only.
  RefPtr<vfs::Inode> upper;
  // Topmost first, at least one. Never changed, nor may anybody else change them.
  std::vector<RefPtr<vfs::Inode>> lowers;
  std::string source = "overlay";  // for mountinfo
  // Whose the layers are: kept for as long as the overlay.
  std::vector<RefPtr<vfs::FileSystem>> layers;
  std::string mount_options;  // as mountinfo shows them
  // Where the upper layer is seen itself, if it is: that cache is kept right.
  RefPtr<vfs::Dentry> upper_dentry;
  bool user_xattrs = false;  // marks in user.overlay. rather than trusted.overlay.
};

// EINVAL without a lower layer, ENOTDIR when one is not a directory.
Result<RefPtr<vfs::FileSystem>> CreateOverlay(Options options);

// Makes "overlay" known to mount(2), with lowerdir=, upperdir= and workdir=.
void RegisterOverlay();

}  // namespace overlay
