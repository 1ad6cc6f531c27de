// Moving a directory that a lower layer has. Linux refuses (EXDEV) unless a redirect may be left
// behind, and mv(1) then copies the tree; here it is copied up whole and renamed, so that whoever
// has files of it open keeps them.

#include <sys/stat.h>

#include <utility>

#include "vfs/fs/overlay/directory.h"

namespace overlay {

// The directory that is to be gone through next, if the entry is one. Other fibers may use the
// names meanwhile: whatever they do leaves something in the upper layer.
Result<RefPtr<DirectoryInode>> DirectoryInode::CopyUpEntry(const std::string& name) {
  Result<RefPtr<vfs::Inode>> found = Errno::kENOENT;
  {
    vfs::DirectoryLock::Shared lock(directory_lock);
    found = Lookup(name);
  }
  if (!found.ok())
    return found.error() == Errno::kENOENT ? Result<RefPtr<DirectoryInode>>(nullptr)
                                           : found.error();
  auto& child = static_cast<OverlayInode&>(**found);
  Result<void> copied = child.CopyUp();
  if (S_ISDIR(child.type())) {
    auto& directory = static_cast<DirectoryInode&>(child);
    if (directory.removed()) return RefPtr<DirectoryInode>();
    TRY(std::move(copied));
    return RefPtr<DirectoryInode>(directory.has_lowers() ? &directory : nullptr);
  }
  vfs::DirectoryLock::Exclusive lock(directory_lock);
  Result<RefPtr<vfs::Inode>> now = Lookup(name);
  if (!now.ok() || *now != &child) return RefPtr<DirectoryInode>();
  TRY(std::move(copied));
  TRY(EnsureUpperName(name, child));
  return RefPtr<DirectoryInode>();
}

Result<void> DirectoryInode::CopyUpTree() {
  TRY(CopyUp());
  if (!has_lowers()) return {};
  struct Level {
    RefPtr<DirectoryInode> directory;
    RefPtr<Listing> names;
    size_t next = 0;
  };
  std::vector<Level> levels;
  levels.push_back({RefPtr<DirectoryInode>(this), TRY(List())});
  while (!levels.empty()) {
    Level& level = levels.back();
    DirectoryInode& directory = *level.directory;
    if (level.next == level.names->entries.size()) {
      TRY(directory.Seal());
      levels.pop_back();
      continue;
    }
    RefPtr<DirectoryInode> below =
        TRY(directory.CopyUpEntry(level.names->entries[level.next++].name));
    if (below) {
      RefPtr<Listing> names = TRY(below->List());
      levels.push_back({std::move(below), std::move(names)});
    }
  }
  return {};
}

Result<void> DirectoryInode::Seal() {
  if (!has_lowers()) return {};
  vfs::DirectoryLock::Exclusive lock(upper_->directory_lock);
  KeepTimes keep(*upper_);
  TRY(MarkOpaque(*upper_));
  sealed_ = true;
  changes_++;
  Result<std::vector<LayerEntry>> entries = ListLayer(*upper_);
  if (!entries.ok()) return {};
  for (const LayerEntry& entry : *entries) {
    Result<RefPtr<vfs::Inode>> inode = upper_->Lookup(entry.name);
    if (!inode.ok()) continue;
    Result<bool> whiteout = IsWhiteout(**inode);
    if (whiteout.ok() && *whiteout) (void)upper_->Unlink(entry.name, **inode);
  }
  return {};
}

}  // namespace overlay
