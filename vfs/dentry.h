#pragma once

// Dentry: a name in the tree of one file system, and the cache of what a lookup said: an inode, or none (negative).
// A child holds a reference to its parent; a parent knows its cached children by raw pointer, and an LRU keeps unused
// dentries alive up to a bound. Renames move dentries, so a path printed from them is always current.

#include <string>
#include <string_view>

#include "absl/container/flat_hash_map.h"
#include "base/ref.h"
#include "vfs/inode.h"

namespace vfs {

class Dentry : public RefCounted {
 public:
  Dentry(RefPtr<Dentry> parent, std::string name, RefPtr<Inode> inode);
  ~Dentry() override;

  const RefPtr<Dentry>& parent() const { return parent_; }  // null at the root of a file system
  const std::string& name() const { return name_; }
  const RefPtr<Inode>& inode() const { return inode_; }      // null: negative
  bool negative() const { return !inode_; }
  bool unlinked() const { return unlinked_; }                // " (deleted)" in /proc
  bool is_directory() const { return inode_ && S_ISDIR(inode_->type()); }

  // The child as cached or looked up now (a negative dentry when there is none). The name was checked.
  Result<RefPtr<Dentry>> Child(std::string_view name);
  RefPtr<Dentry> CachedChild(std::string_view name) const;

  // Bookkeeping by vfs/operations.cc after an inode operation succeeded.
  void Instantiate(RefPtr<Inode> inode);          // negative -> positive
  void MarkUnlinked();                            // after unlink, rmdir or being replaced
  void Move(RefPtr<Dentry> new_parent, std::string new_name);
  void DropChildren();                            // forget the cache below

  bool IsDescendantOf(const Dentry& ancestor) const;

  int mounts = 0;  // how many mounts (in any namespace) sit on it

 private:
  RefPtr<Dentry> parent_;
  std::string name_;
  RefPtr<Inode> inode_;
  bool unlinked_ = false;
  absl::flat_hash_map<std::string, Dentry*> children_;
};

}  // namespace vfs
