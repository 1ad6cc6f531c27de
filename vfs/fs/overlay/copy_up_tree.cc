// Moving a directory that a lower layer has. Linux refuses (EXDEV) unless a redirect may be left behind, and mv(1) then copies
// the tree; here it is copied up whole and renamed, so that whoever has files of it open keeps them.

#include <sys/stat.h>

#include <utility>

#include "vfs/fs/overlay/directory.h"

namespace overlay {

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
    const std::string& name = level.names->entries[level.next++].name;
    RefPtr<DirectoryInode> below;
    {
      // Against those who remove names there meanwhile.
      vfs::DirectoryLock::Exclusive lock(directory.directory_lock);
      Result<RefPtr<vfs::Inode>> found = directory.Lookup(name);
      if (!found.ok()) {
        if (found.error() == Errno::kENOENT) continue;
        return found.error();
      }
      auto& child = static_cast<OverlayInode&>(**found);
      TRY(child.CopyUp());
      if (!S_ISDIR(child.type())) {
        TRY(directory.EnsureUpperName(name, child));
      } else if (static_cast<DirectoryInode&>(child).has_lowers()) {
        below = RefPtr<DirectoryInode>(static_cast<DirectoryInode*>(&child));
      }
    }
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
