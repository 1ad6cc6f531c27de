#include "vfs/fs/overlay/directory.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <optional>
#include <utility>

namespace overlay {

DirectoryInode::DirectoryInode(OverlayFileSystem* fs, RefPtr<vfs::Inode> upper,
                               const Layers& lowers)
    : OverlayInode(fs, std::move(upper), lowers.empty() ? nullptr : lowers.front()),
      lowers_(lowers) {
  for (const RefPtr<vfs::Inode>& lower : lowers_) revalidates_ |= lower->revalidates();
}

Result<vfs::Attributes> DirectoryInode::Stat() {
  Result<vfs::Attributes> attr = OverlayInode::Stat();
  if (!attr.ok()) return attr;
  // As Linux: nobody counts the subdirectories of all layers, and 1 keeps find(1) from relying on
  // it.
  if (merged()) attr->nlink = 1;
  if (removed_) attr->nlink = 0;
  return attr;
}

// --- lookups -----------------------------------------------------------------

Result<void> DirectoryInode::Find(std::string_view name, Found* result) {
  Found& found = *result;
  const bool lowers = has_lowers();
  if (upper_) {
    Result<RefPtr<vfs::Inode>> inode = LookupIn(*upper_, name);
    if (inode.ok()) {
      if (TRY(IsWhiteout(**inode))) return {};
      found.upper = *std::move(inode);
      if (!lowers) found.below = Below::kNothing;
      if (!lowers || !S_ISDIR(found.upper->type())) return {};
      if (TRY(IsOpaque(*found.upper, overlay().opaque_xattr()))) return {};
    } else if (inode.error() != Errno::kENOENT) {
      return inode.error();
    }
  }
  found.below = Below::kNothing;
  if (!lowers) return {};
  for (const RefPtr<vfs::Inode>& lower : lowers_) {
    Result<RefPtr<vfs::Inode>> inode = LookupIn(*lower, name);
    if (!inode.ok()) {
      if (inode.error() == Errno::kENOENT) continue;
      return inode.error();
    }
    if (TRY(IsWhiteout(**inode))) break;
    found.below = Below::kSomething;
    if (!S_ISDIR((*inode)->type())) {
      // Below a directory it is hidden, and hides what is further down.
      if (!found.upper && found.lowers.empty()) found.lowers.push_back(*std::move(inode));
      break;
    }
    found.lowers.push_back(*std::move(inode));
    if (&lower != &lowers_.back() && TRY(IsOpaque(*found.lowers.back(), overlay().opaque_xattr())))
      break;
  }
  return {};
}

Result<RefPtr<vfs::Inode>> DirectoryInode::Lookup(std::string_view name) {
  if (removed_) return Errno::kENOENT;
  for (;;) {
    uint64_t changes = changes_;
    Found found;
    Result<void> looked = Find(name, &found);
    // A file that was copied up while a lower layer was asked would be taken for the lower one.
    if (changes != changes_) continue;
    TRY(std::move(looked));
    if (!found.upper && found.lowers.empty()) return Errno::kENOENT;
    RefPtr<OverlayInode> inode = overlay().InodeFor(std::move(found.upper), found.lowers);
    if (inode != overlay().overlay_root()) inode->AddName(this, name, found.below);
    return RefPtr<vfs::Inode>(std::move(inode));
  }
}

void DirectoryInode::LookupAhead(std::string_view rest, int access) {
  if (!has_lowers()) {
    if (upper_) upper_->LookupAhead(rest, access);
    return;
  }
  if (upper_) {
    Result<RefPtr<vfs::Inode>> first = LookupIn(*upper_, rest.substr(0, rest.find('/')));
    if (first.ok() && !S_ISDIR((*first)->type())) return;
  }
  // A file to be written is read from there first.
  lower_->LookupAhead(rest, access < 0 ? access : O_RDONLY);
}

bool DirectoryInode::Revalidate(std::string_view name, vfs::Inode* child) {
  if (!has_lowers()) return true;
  auto* inode = static_cast<OverlayInode*>(child);
  if (inode != nullptr && inode->upper()) return true;
  if (upper_) {
    Result<RefPtr<vfs::Inode>> entry = LookupIn(*upper_, name);
    if (entry.ok()) return false;
  }
  if (lowers_.size() == 1)
    return lower_->Revalidate(name, inode == nullptr ? nullptr : inode->lower().get());
  return false;
}

// --- making names ------------------------------------------------------------

Result<bool> DirectoryInode::RemoveWhiteout(std::string_view name) {
  Result<RefPtr<vfs::Inode>> there = upper_->Lookup(name);
  if (!there.ok()) return there.error() == Errno::kENOENT ? Result<bool>(false) : there.error();
  if (!TRY(IsWhiteout(**there))) return Errno::kEEXIST;
  TRY(upper_->Unlink(name, **there));
  return true;
}

Result<void> DirectoryInode::MarkOpaque(vfs::Inode& directory) {
  return directory.SetXattr(overlay().opaque_xattr(), "y", 0);
}

Result<RefPtr<OverlayInode>> DirectoryInode::Make(std::string_view name, Maker make) {
  TRY(CopyUp());
  vfs::DirectoryLock::Exclusive lock(upper_->directory_lock);
  const bool whiteout = TRY(RemoveWhiteout(name));
  Result<RefPtr<vfs::Inode>> made = make(*upper_);
  if (made.ok() && has_lowers() && S_ISDIR((*made)->type())) {
    // Needed over a whiteout; elsewhere it saves asking the lower layers.
    Result<void> marked = MarkOpaque(**made);
    if (!marked.ok() && whiteout) {
      (void)upper_->Rmdir(name, **made);
      made = marked.error();
    }
  }
  if (!made.ok()) {
    if (whiteout) (void)MakeWhiteout(*upper_, name);
    return made.error();
  }
  RefPtr<OverlayInode> inode = overlay().InodeFor(*std::move(made), {});
  inode->SetName(this, name, whiteout ? Below::kSomething : Below::kNothing);
  UpperChanged(name);
  return inode;
}

Result<RefPtr<vfs::Inode>> DirectoryInode::Create(std::string_view name,
                                                  const vfs::CreateOptions& options) {
  return RefPtr<vfs::Inode>(
      TRY(Make(name, [&](vfs::Inode& upper) { return upper.Create(name, options); })));
}

Result<RefPtr<vfs::Inode>> DirectoryInode::Mkdir(std::string_view name,
                                                 const vfs::CreateOptions& options) {
  return RefPtr<vfs::Inode>(
      TRY(Make(name, [&](vfs::Inode& upper) { return upper.Mkdir(name, options); })));
}

Result<RefPtr<vfs::Inode>> DirectoryInode::Mknod(std::string_view name,
                                                 const vfs::CreateOptions& options) {
  if (S_ISCHR(options.mode) && options.rdev == 0) return Errno::kEPERM;  // it would be a whiteout
  return RefPtr<vfs::Inode>(
      TRY(Make(name, [&](vfs::Inode& upper) { return upper.Mknod(name, options); })));
}

Result<RefPtr<vfs::Inode>> DirectoryInode::Symlink(std::string_view name, std::string_view target,
                                                   const vfs::CreateOptions& options) {
  return RefPtr<vfs::Inode>(
      TRY(Make(name, [&](vfs::Inode& upper) { return upper.Symlink(name, target, options); })));
}

Result<RefPtr<vfs::Inode>> DirectoryInode::CreateUnnamed(const vfs::CreateOptions& options) {
  TRY(CopyUp());
  RefPtr<vfs::Inode> made = TRY(upper_->CreateUnnamed(options));
  return RefPtr<vfs::Inode>(overlay().InodeFor(std::move(made), {}));
}

Result<void> DirectoryInode::Link(std::string_view name, vfs::Inode& target) {
  if (&target.fs() != fs_) return Errno::kEXDEV;
  auto& inode = static_cast<OverlayInode&>(target);
  TRY(CopyUp());
  TRY(inode.CopyUp());
  vfs::DirectoryLock::Exclusive lock(upper_->directory_lock);
  const bool whiteout = TRY(RemoveWhiteout(name));
  Result<void> linked = upper_->Link(name, *inode.upper());
  if (!linked.ok()) {
    if (whiteout) (void)MakeWhiteout(*upper_, name);
    return linked;
  }
  inode.AddName(this, name, whiteout ? Below::kSomething : Below::kNothing);
  UpperChanged(name);
  return {};
}

// --- removing names ----------------------------------------------------------

Result<bool> DirectoryInode::HasBelow(std::string_view name, const OverlayInode& child) {
  if (!has_lowers()) return false;
  if (child.IsAt(*this, name) && child.below() != Below::kUnknown)
    return child.below() == Below::kSomething;
  for (const RefPtr<vfs::Inode>& lower : lowers_) {
    Result<RefPtr<vfs::Inode>> inode = LookupIn(*lower, name);
    if (inode.ok()) return !TRY(IsWhiteout(**inode));
    if (inode.error() != Errno::kENOENT) return inode.error();
  }
  return false;
}

Result<void> DirectoryInode::RemoveUpper(vfs::Inode& entry, std::string_view name,
                                         OverlayInode& child) {
  if (!S_ISDIR(entry.type())) return upper_->Unlink(name, entry);
  Result<void> removed = upper_->Rmdir(name, entry);
  if (removed.ok() || removed.error() != Errno::kENOTEMPTY) return removed;
  {
    // Whiteouts do not count.
    vfs::DirectoryLock::Exclusive lock(entry.directory_lock);
    TRY(static_cast<DirectoryInode&>(child).RemoveWhiteouts());
  }
  return upper_->Rmdir(name, entry);
}

Result<void> DirectoryInode::Remove(std::string_view name, OverlayInode& child, bool below) {
  vfs::DirectoryLock::Exclusive lock(upper_->directory_lock);
  Result<RefPtr<vfs::Inode>> entry = upper_->Lookup(name);
  if (entry.ok()) {
    std::optional<PreparedWhiteout> whiteout;
    if (below) whiteout.emplace(TRY(PreparedWhiteout::Make(*upper_)));
    TRY(RemoveUpper(**entry, name, child));
    child.LeaveName(*this, name);
    overlay().UpperRemoved(**entry);
    if (whiteout) TRY(whiteout->Put(name));
  } else {
    if (entry.error() != Errno::kENOENT) return entry.error();
    if (below) TRY(MakeWhiteout(*upper_, name));
    child.LeaveName(*this, name);
    child.CoverName();
  }
  UpperChanged(name);
  return {};
}

Result<void> DirectoryInode::Unlink(std::string_view name, vfs::Inode& child_inode) {
  auto& child = static_cast<OverlayInode&>(child_inode);
  TRY(CopyUp());
  return Remove(name, child, TRY(HasBelow(name, child)));
}

Result<void> DirectoryInode::CheckEmpty() {
  if (!has_lowers()) return {};  // the upper layer will say
  return TRY(List())->entries.empty() ? Result<void>() : Errno::kENOTEMPTY;
}

Result<void> DirectoryInode::RemoveWhiteouts() {
  for (const LayerEntry& entry : TRY(ListLayer(*upper_))) {
    RefPtr<vfs::Inode> inode = TRY(upper_->Lookup(entry.name));
    if (!TRY(IsWhiteout(*inode))) return Errno::kENOTEMPTY;
    TRY(upper_->Unlink(entry.name, *inode));
  }
  return {};
}

Result<void> DirectoryInode::Rmdir(std::string_view name, vfs::Inode& child_inode) {
  auto& child = static_cast<DirectoryInode&>(child_inode);
  TRY(child.CheckEmpty());
  TRY(CopyUp());
  TRY(Remove(name, child, TRY(HasBelow(name, child))));
  child.removed_ = true;
  return {};
}

}  // namespace overlay
