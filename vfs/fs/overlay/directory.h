#pragma once

// Directories: names of the upper layer over those of the lower ones. One without lower layers, or
// an opaque one, is just the upper layer's.
//
// The vfs core holds the overlay directory's lock around lookups and changes of names. Copying a
// file up makes names without it, so what the upper directory has may only be relied on under the
// upper directory's own lock.

#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "vfs/file_description.h"
#include "vfs/fs/overlay/inode.h"

namespace overlay {

struct Listing : public RefCounted {
  std::vector<LayerEntry> entries;  // without "." and ".."; numbers as applications see them
};

class DirectoryInode final : public OverlayInode {
 public:
  DirectoryInode(OverlayFileSystem* fs, RefPtr<vfs::Inode> upper, const Layers& lowers);

  Result<vfs::Attributes> Stat() override;
  Result<RefPtr<vfs::Inode>> Lookup(std::string_view name) override;
  void LookupAhead(std::string_view rest, int access) override;
  Result<RefPtr<vfs::Inode>> Create(std::string_view name,
                                    const vfs::CreateOptions& options) override;
  Result<RefPtr<vfs::Inode>> Mkdir(std::string_view name,
                                   const vfs::CreateOptions& options) override;
  Result<RefPtr<vfs::Inode>> Mknod(std::string_view name,
                                   const vfs::CreateOptions& options) override;
  Result<RefPtr<vfs::Inode>> Symlink(std::string_view name, std::string_view target,
                                     const vfs::CreateOptions& options) override;
  Result<void> Link(std::string_view name, vfs::Inode& target) override;
  Result<void> Unlink(std::string_view name, vfs::Inode& child) override;
  Result<void> Rmdir(std::string_view name, vfs::Inode& child) override;
  Result<void> Rename(std::string_view old_name, vfs::Inode& child, vfs::Inode& new_parent,
                      std::string_view new_name, vfs::Inode* replaced, unsigned flags) override;
  Result<RefPtr<vfs::Inode>> CreateUnnamed(const vfs::CreateOptions& options) override;
  bool Revalidate(std::string_view name, vfs::Inode* child) override;
  bool revalidates() const override { return revalidates_; }
  Result<RefPtr<vfs::FileDescription>> Open(const vfs::OpenOptions& options,
                                            const Credentials& creds) override;

  // Whether lower layers count.
  bool has_lowers() const { return !lowers_.empty() && !sealed_; }
  bool merged() const { return upper_ && has_lowers(); }
  bool removed() const { return removed_; }
  size_t lower_count() const { return lowers_.size(); }

  // What all layers together have. May park.
  Result<RefPtr<Listing>> List();
  // The number to show for an entry of a layer.
  uint64_t EntryIno(const vfs::Inode& layer, uint64_t ino) const;

 private:
  struct Found {
    RefPtr<vfs::Inode> upper;
    Layers lowers;
    Below below = Below::kUnknown;
  };
  using Maker = absl::FunctionRef<Result<RefPtr<vfs::Inode>>(vfs::Inode& upper)>;

  Result<void> Find(std::string_view name, Found* found);
  Result<RefPtr<OverlayInode>> Make(std::string_view name, Maker make);
  Result<bool> HasBelow(std::string_view name, const OverlayInode& child);
  Result<void> CheckEmpty();
  void UpperChanged(std::string_view name) override {
    changes_++;
    overlay().ForgetUpperDentry(*this, name);
  }

  // These want the upper directory's lock held.
  Result<bool> RemoveWhiteout(std::string_view name);
  Result<void> RemoveWhiteouts();  // all; ENOTEMPTY where there is something else
  Result<void> MarkOpaque(vfs::Inode& directory);
  // Removes a name, with a whiteout in its place where lower layers have it.
  Result<void> Remove(std::string_view name, OverlayInode& child, bool below);
  Result<void> RemoveUpper(vfs::Inode& entry, std::string_view name, OverlayInode& child);

  // Copies everything below up; the directory is then the upper layer's alone.
  Result<void> CopyUpTree();
  Result<RefPtr<DirectoryInode>> CopyUpEntry(const std::string& name);
  Result<void> Seal();
  // Gives a copied-up file this name in the upper layer, which may have got it by another name.
  Result<void> EnsureUpperName(std::string_view name, OverlayInode& child);
  Result<void> PrepareToMove(std::string_view name, OverlayInode& child,
                             const DirectoryInode& target);
  Result<void> Exchange(std::string_view old_name, OverlayInode& child, DirectoryInode& target,
                        std::string_view new_name, OverlayInode& other);

  const Layers lowers_;
  bool sealed_ =
      false;  // an opaque directory whose lower layers are kept for those who are reading them
  bool removed_ = false;  // by rmdir(2) or by being replaced
  bool revalidates_ = false;
  uint64_t changes_ = 0;  // of the upper directory's names by copying up, and of has_lowers()
};

}  // namespace overlay
