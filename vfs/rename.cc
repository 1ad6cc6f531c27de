// rename(2), renameat2(2).

#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>

#include <utility>

#include "vfs/operations.h"
#include "vfs/permission.h"
#include "vfs/watch.h"

namespace vfs {

namespace {

// Held by each rename between two directories, so that the tree's shape stands still while ancestry is looked at (Linux:
// s_vfs_rename_mutex; here one for all file systems).
DirectoryLock& TreeLock() {
  static auto* lock = new DirectoryLock;
  return *lock;
}

// The locks of both directories, and of the tree where they differ. Ancestors come first, as in rmdir, which locks a
// directory and then its child.
class RenameLocks {
 public:
  RenameLocks(Dentry& a, Dentry& b) : first_(a.inode()), second_(b.inode()) {
    if (first_ != second_) {
      TreeLock().Lock();
      bool b_above = a.IsDescendantOf(b);
      bool related = b_above || b.IsDescendantOf(a);
      if (b_above || (!related && second_.get() < first_.get())) std::swap(first_, second_);
    }
    first_->directory_lock.Lock();
    if (first_ != second_) second_->directory_lock.Lock();
  }
  ~RenameLocks() {
    if (first_ != second_) second_->directory_lock.Unlock();
    first_->directory_lock.Unlock();
    if (first_ != second_) TreeLock().Unlock();
  }
  RenameLocks(const RenameLocks&) = delete;
  RenameLocks& operator=(const RenameLocks&) = delete;

 private:
  RefPtr<Inode> first_, second_;
};

bool IsNormal(const ParentAndName& name) { return !name.name.empty() && name.name != "." && name.name != ".."; }

// The ancestor of `below` (or itself) whose parent is `directory`; null when it is not below it.
const Dentry* ChildOnTheWay(const Dentry& directory, const Dentry& below) {
  for (const Dentry* d = &below; d != nullptr; d = d->parent().get()) {
    if (d->parent().get() == &directory) return d;
  }
  return nullptr;
}

struct Names {
  ParentAndName from, to;
  RefPtr<Dentry> old_child, new_child;
};

// What must hold of the names before anything is asked about permissions.
Result<void> CheckNames(const Names& names, unsigned flags) {
  const bool exchange = (flags & RENAME_EXCHANGE) != 0;
  const Dentry& from = *names.from.parent.dentry;
  const Dentry& to = *names.to.parent.dentry;
  if ((flags & RENAME_NOREPLACE) != 0 && !names.new_child->negative()) return Errno::kEEXIST;
  if (exchange) {
    if (names.new_child->negative()) return Errno::kENOENT;
    if (!names.new_child->is_directory() && names.to.trailing_slash) return Errno::kENOTDIR;
  }
  if (!names.old_child->is_directory()) {
    if (names.from.trailing_slash) return Errno::kENOTDIR;
    if (!exchange && names.to.trailing_slash) return Errno::kENOTDIR;
  }
  if (&from != &to) {
    // A directory cannot move below itself, nor can the target be an ancestor of the source.
    if (ChildOnTheWay(from, to) == names.old_child.get()) return Errno::kEINVAL;
    if (ChildOnTheWay(to, from) == names.new_child.get()) return exchange ? Errno::kEINVAL : Errno::kENOTEMPTY;
  }
  return {};
}

Result<void> CheckRenamePermissions(const Names& names, const Credentials& creds, unsigned flags) {
  const Dentry& from = *names.from.parent.dentry;
  const Dentry& to = *names.to.parent.dentry;
  const bool is_directory = names.old_child->is_directory();
  const bool replaces = !names.new_child->negative();
  const bool exchange = (flags & RENAME_EXCHANGE) != 0;
  const bool new_is_directory = replaces && names.new_child->is_directory();
  TRY(MayDelete(from, *names.old_child, creds, is_directory));
  if (!replaces) {
    TRY(MayCreate(to, creds));
  } else {
    TRY(MayDelete(to, *names.new_child, creds, exchange ? new_is_directory : is_directory));
  }
  // A directory that changes its parent has its ".." rewritten.
  if (&from != &to) {
    if (is_directory) TRY(InodePermission(*names.old_child->inode(), creds, kMayWrite));
    if (exchange && new_is_directory) TRY(InodePermission(*names.new_child->inode(), creds, kMayWrite));
  }
  return {};
}

void ReportRename(const Names& names, const Inode& old_directory, const Inode& new_directory, unsigned flags) {
  static uint32_t next_cookie = 0;
  auto report = [](const Inode& from, std::string_view old_name, const Inode& to, std::string_view new_name,
                   const Dentry& moved) {
    uint32_t cookie = ++next_cookie;
    uint32_t directory = moved.is_directory() ? IN_ISDIR : 0;
    ReportName(from, old_name, IN_MOVED_FROM | directory, cookie);
    ReportName(to, new_name, IN_MOVED_TO | directory, cookie);
    ReportSelf(*moved.inode(), IN_MOVE_SELF);
  };
  report(old_directory, names.from.name, new_directory, names.to.name, *names.old_child);
  if ((flags & RENAME_EXCHANGE) != 0) {
    report(new_directory, names.to.name, old_directory, names.from.name, *names.new_child);
  }
}

}  // namespace

Result<void> Rename(const WalkContext& old_context, std::string_view old_name, const WalkContext& new_context,
                    std::string_view new_name, unsigned flags) {
  constexpr unsigned kKnown = RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT;
  if ((flags & ~kKnown) != 0) return Errno::kEINVAL;
  const bool exchange = (flags & RENAME_EXCHANGE) != 0;
  if (exchange && (flags & (RENAME_NOREPLACE | RENAME_WHITEOUT)) != 0) return Errno::kEINVAL;
  const Credentials& creds = *new_context.creds;

  Names names;
  names.from = TRY(WalkParent(old_context, old_name));
  names.to = TRY(WalkParent(new_context, new_name));
  if (names.from.parent.mount != names.to.parent.mount) return Errno::kEXDEV;
  if (!IsNormal(names.from)) return Errno::kEBUSY;
  if (!IsNormal(names.to)) return (flags & RENAME_NOREPLACE) != 0 ? Errno::kEEXIST : Errno::kEBUSY;
  if (names.from.parent.mount->read_only()) return Errno::kEROFS;
  if (names.from.name.size() > NAME_MAX) return Errno::kENAMETOOLONG;

  Dentry& from = *names.from.parent.dentry;
  Dentry& to = *names.to.parent.dentry;
  {
    RenameLocks locks(from, to);
    names.old_child = TRY(from.ChildLocked(names.from.name));
    if (names.old_child->negative()) return Errno::kENOENT;
    if (names.to.name.size() > NAME_MAX) return Errno::kENAMETOOLONG;
    names.new_child = TRY(to.ChildLocked(names.to.name));
    TRY(CheckNames(names, flags));
    Inode& old_inode = *names.old_child->inode();
    RefPtr<Inode> replaced = names.new_child->inode();
    if (replaced.get() == &old_inode) return {};  // two links to one file: both stay
    TRY(CheckRenamePermissions(names, creds, flags));
    MountNamespace* ns = old_context.root.mount->ns;
    if (IsMountpointIn(ns, *names.old_child) || IsMountpointIn(ns, *names.new_child)) return Errno::kEBUSY;

    {
      // Nothing may be made in a directory that is about to be replaced.
      const bool kills_directory = replaced && !exchange && names.new_child->is_directory();
      if (kills_directory) replaced->directory_lock.Lock();
      Result<void> renamed =
          from.inode()->Rename(names.from.name, old_inode, *to.inode(), names.to.name, replaced.get(), flags);
      if (kills_directory) replaced->directory_lock.Unlock();
      TRY(std::move(renamed));
    }
    if (exchange) {
      Dentry::Exchange(*names.old_child, *names.new_child);
    } else {
      if (replaced) names.new_child->MarkUnlinked();
      names.old_child->Move(names.to.parent.dentry, names.to.name);
      // What is now at the old name is the file system's to say.
      if ((flags & RENAME_WHITEOUT) != 0) {
        if (RefPtr<Dentry> old = from.CachedChild(names.from.name)) old->Forget();
      }
    }
  }
  if (!exchange && !names.new_child->negative()) DetachMountsOn(*names.new_child);
  if (watch_count != 0) {
    ReportRename(names, *from.inode(), *to.inode(), flags);
    if (!exchange && !names.new_child->negative()) {
      ReportSelf(*names.new_child->inode(), IN_ATTRIB);
      ReportGoneIfUnused(*names.new_child);
    }
  }
  return {};
}

}  // namespace vfs
