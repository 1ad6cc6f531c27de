#pragma once

// The state of one path walk. Internal to vfs/: path_walk.cc wraps it for most calls, open.cc drives it by itself.
//
// Between two steps that may park nothing can be freed, so the walk over cached names goes by raw pointers; before
// something may park (a lookup, a permission check that needs attributes, a link to read), the current place is pinned
// by references.

#include <string_view>

#include "vfs/path_walk.h"

namespace vfs {

class Walker {
 public:
  Walker(const WalkContext& context, uint64_t resolve);

  // The component that a walk stopped before.
  struct Last {
    std::string_view name;        // empty: there is none ("/"); may be "." or ".."
    bool trailing_slash = false;
    bool is_normal() const { return !name.empty() && name != "." && name != ".."; }
  };

  // Begins a walk of `name`: an absolute or relative one. Then WalkPrefix or WalkAll.
  Result<void> Begin(std::string_view name);
  // What the last component of the walk will be opened for (O_RDONLY, O_RDWR), so that remote file systems may fetch that along
  // (Inode::LookupAhead).
  void WillOpen(int access) { open_access_ = access; }
  // Goes along `name` to the directory of its last component, which `name` must outlive; with search permission on it.
  Result<Last> WalkPrefix(std::string_view name);
  // Goes all the way.
  Result<void> WalkAll(std::string_view name, bool follow);
  // One component, with the check that the current place can be searched. ENOENT where it does not exist.
  Result<void> Step(std::string_view name, bool follow);
  // The last step of a walk, after WalkPrefix: with a trailing slash links are followed and a directory must come out.
  Result<void> StepLast(const Last& last, bool follow);

  // Where the walk is now; TakePlace ends it.
  Path Place();
  Path TakePlace();
  Dentry& dentry() const { return *dentry_; }
  Mount& mount() const { return *mount_; }
  const Credentials& creds() const { return creds_; }

  // For open(2) with O_CREAT: where the last component, known to exist at `link`, is a symbolic link. Checks that it may be followed
  // and returns its text, empty after a magic link was jumped through.
  Result<std::string> ReadLink(const Path& link);
  // Goes to the child, crossing mounts.
  Result<void> Enter(const Path& child);
  // As an absolute link says.
  Result<void> ToRoot();

 private:
  Result<void> MaySearch();
  Result<void> StepSearchable(std::string_view name, bool follow);
  Result<void> Descend(std::string_view name);
  Result<void> DotDot();
  Result<void> CrossMounts(Mount** mount, Dentry** dentry);
  Result<void> Follow();
  void Pin();

  const WalkContext& context_;
  const Credentials& creds_;
  const uint64_t resolve_;
  const Path& root_;
  const bool privileged_;  // searches any directory without asking
  int links_ = 0;
  int open_access_ = -1;
  std::string_view rest_;  // what the walk has before it, from the component that Descend is about to look for

  Mount* mount_ = nullptr;
  Dentry* dentry_ = nullptr;
  // Where Descend arrived, with mounts crossed.
  Mount* next_mount_ = nullptr;
  Dentry* next_ = nullptr;
  RefPtr<Mount> mount_pin_;
  RefPtr<Dentry> dentry_pin_, next_pin_;
};

}  // namespace vfs
