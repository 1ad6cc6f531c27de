#pragma once

// The file system object: which inodes there are, and their numbers.
//
// An overlay inode stands for one file of the upper layer, or one of a lower layer, or both once it
// was copied up. There is at most one for each file of a layer, so hard links of a lower file share
// theirs, and what was copied up by one name is seen by all. The map is weak; what must outlive an
// inode (a copied-up file some names of which are in the lower layer only) is kept in `saved_`.

#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "vfs/fs/overlay/layer.h"
#include "vfs/fs/overlay/overlay_fs.h"
#include "vfs/inode.h"

namespace overlay {

class OverlayInode;

class OverlayFileSystem final : public vfs::FileSystem {
 public:
  explicit OverlayFileSystem(Options options);
  ~OverlayFileSystem() override;

  RefPtr<vfs::Inode> root() override;
  Result<struct statfs> StatFs() override;
  Result<void> Sync() override;
  std::string MountOptions() override { return options_.mount_options; }

  bool writable() const { return static_cast<bool>(options_.upper); }
  const std::string& opaque_xattr() const { return opaque_xattr_; }
  // Names for the overlay's own use, which applications do not see.
  bool IsPrivateXattr(std::string_view name) const { return name.starts_with(xattr_prefix_); }
  RefPtr<OverlayInode> overlay_root() const { return root_; }

  // The inode for a file of these layers; a directory has any number of lower ones, everything else
  // one layer.
  RefPtr<OverlayInode> InodeFor(RefPtr<vfs::Inode> upper, const Layers& lowers);

  // The number that a layer's file has by nature: its own where it comes from the first layer that
  // was asked about.
  uint64_t NaturalIno(uint64_t dev, uint64_t ino) {
    return dev == devices_.front() ? ino : MixedIno(dev, ino);
  }
  // Files that were copied up keep their number: by the copy's natural one.
  void RememberIno(uint64_t natural, uint64_t ino) { inos_[natural] = ino; }
  void ForgetIno(uint64_t natural) { inos_.erase(natural); }
  std::optional<uint64_t> RememberedIno(uint64_t natural) const {
    if (inos_.empty()) return std::nullopt;
    auto it = inos_.find(natural);
    return it == inos_.end() ? std::nullopt : std::optional<uint64_t>(it->second);
  }
  // The upper directory of `directory` has changed at `name`: drops what the upper layer's own
  // dentry cache knows of it.
  void ForgetUpperDentry(const OverlayInode& directory, std::string_view name);
  // A name was removed from the upper layer; the last one takes the number along.
  void UpperRemoved(vfs::Inode& upper);

 private:
  friend class OverlayInode;
  struct Saved {
    RefPtr<vfs::Inode> lower, upper;
    uint32_t lower_links, covered;
    uint64_t ino;
  };

  uint64_t MixedIno(uint64_t dev, uint64_t ino);
  RefPtr<OverlayInode> Find(const vfs::Inode& layer_inode);
  std::optional<Saved> TakeSaved(const vfs::Inode* upper, const vfs::Inode* lower);
  void Register(OverlayInode& inode);
  void Unregister(OverlayInode& inode);

  const std::vector<RefPtr<vfs::FileSystem>> layers_;  // goes last: inodes point at theirs
  const Options options_;
  const std::string_view xattr_prefix_;
  const std::string opaque_xattr_;
  std::vector<uint64_t> devices_;
  absl::flat_hash_map<const vfs::Inode*, OverlayInode*> inodes_;  // weak, by each layer's inode
  absl::flat_hash_map<uint64_t, uint64_t> inos_;
  absl::flat_hash_map<const vfs::Inode*, Saved> saved_;                     // by the lower one
  absl::flat_hash_map<const vfs::Inode*, const vfs::Inode*> saved_uppers_;  // upper to lower
  RefPtr<OverlayInode> root_;
};

}  // namespace overlay
