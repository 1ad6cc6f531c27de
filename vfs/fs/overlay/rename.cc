#include <linux/fs.h>
#include <stdio.h>
#include <sys/stat.h>

#include <optional>
#include <utility>

#include "vfs/fs/overlay/directory.h"

namespace overlay {

namespace {

// The names of both upper directories, ancestors first (as vfs/rename.cc).
class UpperLocks {
 public:
  UpperLocks(const OverlayInode& a, const OverlayInode& b) : first_(a.upper()), second_(b.upper()) {
    for (const OverlayInode* above = a.parent().get(); above != nullptr;
         above = above->parent().get()) {
      if (above == &b) std::swap(first_, second_);
    }
    first_->directory_lock.Lock();
    if (first_ != second_) second_->directory_lock.Lock();
  }
  ~UpperLocks() {
    if (first_ != second_) second_->directory_lock.Unlock();
    first_->directory_lock.Unlock();
  }
  UpperLocks(const UpperLocks&) = delete;
  UpperLocks& operator=(const UpperLocks&) = delete;

 private:
  RefPtr<vfs::Inode> first_, second_;
};

}  // namespace

Result<void> DirectoryInode::EnsureUpperName(std::string_view name, OverlayInode& child) {
  vfs::DirectoryLock::Exclusive lock(upper_->directory_lock);
  Result<RefPtr<vfs::Inode>> there = upper_->Lookup(name);
  if (there.ok()) return {};
  if (there.error() != Errno::kENOENT) return there.error();
  KeepTimes keep(*upper_);
  TRY(upper_->Link(name, *child.upper()));
  UpperChanged(name);
  child.CoverName();
  return {};
}

Result<void> DirectoryInode::PrepareToMove(std::string_view name, OverlayInode& child,
                                           const DirectoryInode& target) {
  if (!S_ISDIR(child.type())) {
    TRY(child.CopyUp());
    return EnsureUpperName(name, child);
  }
  auto& directory = static_cast<DirectoryInode&>(child);
  TRY(directory.CopyUpTree());
  // It must not be taken for the upper part of what the lower layers have at its new place.
  if (target.has_lowers()) TRY(MarkOpaque(*directory.upper_));
  return {};
}

Result<void> DirectoryInode::Exchange(std::string_view old_name, OverlayInode& child,
                                      DirectoryInode& target, std::string_view new_name,
                                      OverlayInode& other) {
  TRY(target.PrepareToMove(new_name, other, *this));
  UpperLocks locks(*this, target);
  TRY(upper_->Rename(old_name, *child.upper(), *target.upper_, new_name, other.upper().get(),
                     RENAME_EXCHANGE));
  child.LeaveName(*this, old_name);
  other.LeaveName(target, new_name);
  child.AddName(&target, new_name, Below::kUnknown);
  other.AddName(this, old_name, Below::kUnknown);
  UpperChanged(old_name);
  target.UpperChanged(new_name);
  return {};
}

Result<void> DirectoryInode::Rename(std::string_view old_name, vfs::Inode& child_inode,
                                    vfs::Inode& new_parent, std::string_view new_name,
                                    vfs::Inode* replaced_inode, unsigned flags) {
  if ((flags & ~unsigned{RENAME_NOREPLACE | RENAME_EXCHANGE}) != 0) return Errno::kEINVAL;
  if (&new_parent.fs() != fs_ || !S_ISDIR(new_parent.type())) return Errno::kEXDEV;
  auto& child = static_cast<OverlayInode&>(child_inode);
  auto& target = static_cast<DirectoryInode&>(new_parent);
  auto* replaced = static_cast<OverlayInode*>(replaced_inode);
  const bool replaces_directory =
      replaced != nullptr && S_ISDIR(replaced->type()) && (flags & RENAME_EXCHANGE) == 0;

  if (replaces_directory) TRY(static_cast<DirectoryInode*>(replaced)->CheckEmpty());
  TRY(CopyUp());
  TRY(target.CopyUp());
  const bool old_below = TRY(HasBelow(old_name, child));
  TRY(PrepareToMove(old_name, child, target));
  if ((flags & RENAME_EXCHANGE) != 0) return Exchange(old_name, child, target, new_name, *replaced);

  Below new_below = Below::kNothing;
  if (replaced != nullptr)
    new_below = replaced->IsAt(target, new_name) ? replaced->below() : Below::kUnknown;
  UpperLocks locks(*this, target);
  std::optional<PreparedWhiteout> old_whiteout;
  if (old_below) old_whiteout.emplace(TRY(PreparedWhiteout::Make(*upper_)));
  bool whiteout = false;
  RefPtr<vfs::Inode> upper_replaced;
  Result<RefPtr<vfs::Inode>> there = target.upper_->Lookup(new_name);
  if (there.ok()) {
    if (TRY(IsWhiteout(**there))) {
      TRY(target.upper_->Unlink(new_name, **there));
      whiteout = true;
      new_below = Below::kSomething;
    } else {
      upper_replaced = *std::move(there);
      if (replaces_directory) {
        vfs::DirectoryLock::Exclusive lock(upper_replaced->directory_lock);
        TRY(static_cast<DirectoryInode*>(replaced)->RemoveWhiteouts());
      }
    }
  } else if (there.error() != Errno::kENOENT) {
    return there.error();
  }
  Result<void> renamed = upper_->Rename(old_name, *child.upper(), *target.upper_, new_name,
                                        upper_replaced.get(), flags & RENAME_NOREPLACE);
  if (!renamed.ok()) {
    if (whiteout) (void)MakeWhiteout(*target.upper_, new_name);
    return renamed;
  }
  if (replaced != nullptr) {
    if (upper_replaced) {
      overlay().UpperRemoved(*upper_replaced);
    } else {
      replaced->CoverName();
    }
    if (replaces_directory) static_cast<DirectoryInode*>(replaced)->removed_ = true;
    replaced->LeaveName(target, new_name);
  }
  child.LeaveName(*this, old_name);
  child.AddName(&target, new_name, new_below);
  UpperChanged(old_name);
  target.UpperChanged(new_name);
  if (old_whiteout) return old_whiteout->Put(old_name);
  return {};
}

}  // namespace overlay
