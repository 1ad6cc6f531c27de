#pragma once

// Dentry: a name in the tree of one file system, and the cache of what a lookup said: an inode, or none (negative).
// A child holds a reference to its parent; a parent finds its cached children by raw pointer. The cache holds one
// reference to each cached dentry and drops those that nobody else uses, oldest first, beyond a bound; it looks at
// "used since" bits rather than keeping the list in order, so that a hit writes one byte. Renames move dentries, so a path
// printed from them is always current.
//
// What parks (a lookup in a remote directory) holds references; DirectoryLock keeps the answers of a file system and the
// cache in step, as Linux's i_rwsem does.

#include <string>
#include <string_view>

#include "absl/container/flat_hash_map.h"
#include "base/ref.h"
#include "vfs/inode.h"

namespace vfs {

class Dentry : public RefCounted {
 public:
  // A detached dentry: the root of a file system (no parent), or one that is in no cache.
  Dentry(RefPtr<Dentry> parent, std::string name, RefPtr<Inode> inode);
  ~Dentry() override;

  const RefPtr<Dentry>& parent() const { return parent_; }  // null at the root of a file system
  const std::string& name() const { return name_; }
  const RefPtr<Inode>& inode() const { return inode_; }      // null: negative
  bool negative() const { return !inode_; }
  bool unlinked() const { return unlinked_; }                // " (deleted)" in /proc
  uint32_t type() const { return type_; }                    // S_IFMT bits; 0: negative
  bool is_directory() const { return S_ISDIR(type_); }
  bool must_revalidate() const { return must_revalidate_; }
  bool is_symlink() const { return S_ISLNK(type_); }

  // The child as cached or looked up now (a negative dentry when there is none). The name was checked. May park.
  Result<RefPtr<Dentry>> Child(std::string_view name);
  // The same by a caller that holds inode()->directory_lock exclusively.
  Result<RefPtr<Dentry>> ChildLocked(std::string_view name);
  // What the cache says, without asking anybody; null when it says nothing.
  RefPtr<Dentry> CachedChild(std::string_view name) const { return RefPtr<Dentry>(FindChild(name)); }
  Dentry* FindChild(std::string_view name) const {
    auto it = children_.find(name);
    if (it == children_.end()) return nullptr;
    it->second->used_ = true;
    return it->second;
  }

  // Bookkeeping by vfs/operations.h after an inode operation succeeded.
  void Instantiate(RefPtr<Inode> inode);          // negative -> positive
  void MarkUnlinked();                            // after unlink, rmdir or being replaced
  void Move(RefPtr<Dentry> new_parent, std::string new_name);  // drops what had the new name from the cache
  static void Exchange(Dentry& a, Dentry& b);     // RENAME_EXCHANGE: they swap their places
  void DropChildren();                            // forget the cache below, as far as nobody uses it
  // Forgets this name: the next walk asks the file system again. Whoever holds the dentry keeps it.
  void Forget();

  bool IsDescendantOf(const Dentry& ancestor) const;  // or the same

  // The bound on cached dentries of all file systems together, and how many there are.
  static void SetCacheLimit(size_t limit);
  static size_t CacheSize();
  // Drops up to `count` cached dentries that nobody uses, for somebody who is short of what their inodes hold. Returns how many those were.
  static size_t ShrinkCache(size_t count);

  int mounts = 0;  // how many mounts (in any namespace) sit on it

 protected:
  void OnZeroRefs() override;

 private:
  friend class DentryCache;
  void Hash();       // into the parent's children
  void Unhash();
  RefPtr<Dentry> Insert(std::string_view name, RefPtr<Inode> inode);
  void SetInode(RefPtr<Inode> inode);

  RefPtr<Dentry> parent_;
  std::string name_;
  RefPtr<Inode> inode_;
  uint32_t type_ = 0;
  bool unlinked_ = false;
  bool must_revalidate_ = false;  // children found in the cache are to be asked about
  bool hashed_ = false;         // found by the parent
  bool cached_ = false;         // the cache holds a reference; in its list
  mutable bool used_ = false;   // found since the cache last looked
  Dentry* older_ = nullptr;     // cache list
  Dentry* newer_ = nullptr;
  absl::flat_hash_map<std::string_view, Dentry*> children_;  // keys are the children's name_
};

}  // namespace vfs
