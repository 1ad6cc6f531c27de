#pragma once

// Mounts and mount namespaces, mount_namespaces(7). A Path is a place: a mount and a dentry in its file system.

#include <sys/mount.h>

#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "base/credentials.h"
#include "base/ref.h"
#include "base/result.h"
#include "base/wait_queue.h"
#include "vfs/dentry.h"

namespace vfs {

class Mount;
class MountNamespace;

struct Path {
  RefPtr<Mount> mount;
  RefPtr<Dentry> dentry;

  bool valid() const { return static_cast<bool>(dentry); }
  Inode& inode() const { return *dentry->inode(); }
  friend bool operator==(const Path& a, const Path& b) { return a.mount == b.mount && a.dentry == b.dentry; }
};

class Mount : public RefCounted {
 public:
  Mount(RefPtr<FileSystem> fs, RefPtr<Dentry> root, unsigned long flags);
  // Of the whole file system.
  Mount(RefPtr<FileSystem> fs, unsigned long flags);
  ~Mount() override;

  const RefPtr<FileSystem>& fs() const { return fs_; }
  const RefPtr<Dentry>& root() const { return root_; }  // a bind mount's may be any dentry of the file system
  unsigned long flags = 0;                              // MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_NOATIME...
  bool read_only() const { return ((flags | fs_->flags) & MS_RDONLY) != 0; }
  int id() const { return id_; }

  // The mount on `dentry` of this mount's file system, or null.
  Mount* ChildAt(const Dentry& dentry) const {
    auto it = child_at_.find(&dentry);
    return it == child_at_.end() ? nullptr : it->second.get();
  }

  // Where it is attached; invalid for the root of a namespace and for detached mounts.
  Path mountpoint;
  MountNamespace* ns = nullptr;    // null while detached
  std::vector<Mount*> children;    // in order of attachment
  // Propagation, mount_namespaces(7): peer group ids, 0 for none. Changed by SetPropagation only.
  int peer_group = 0, master_group = 0;
  bool unbindable = false;
  bool expiring = false;           // marked by umount2(2) MNT_EXPIRE
  int copied_from = 0;             // id of the mount that it is a copy of

 private:
  friend class MountTree;
  absl::flat_hash_map<const Dentry*, RefPtr<Mount>> child_at_;  // a mount owns those on it until they are detached
  RefPtr<FileSystem> fs_;
  RefPtr<Dentry> root_;
  const int id_;
};

class MountNamespace : public RefCounted {
 public:
  explicit MountNamespace(RefPtr<Mount> root);
  ~MountNamespace() override;

  const RefPtr<Mount>& root() const { return root_; }
  Path RootPath() const { return {root_, root_->root()}; }

  // The topmost mount on `place`, or null.
  Mount* MountAt(const Path& place) const;
  // The place itself, or the root of the topmost mount on it.
  static Path TopOf(Path place);
  // Attaches a mount (with the tree of mounts on it) on top of `place`, and copies of it where `place.mount` propagates to.
  // Takes over the reference. ENOTDIR when one is a directory and the other is not; ENOENT for an unlinked place.
  Result<void> Attach(RefPtr<Mount> mount, const Path& place);
  // `flags`: MNT_DETACH, MNT_FORCE. EBUSY while files or child mounts are in use; the caller holds one reference. EINVAL for
  // the root and for mounts of other namespaces.
  Result<void> Detach(Mount& mount, int flags);
  // mount(2) with MS_MOVE.
  Result<void> Move(Mount& mount, const Path& place);
  // A copy of the whole tree (CLONE_NEWNS); paths are moved over by TranslatePath.
  RefPtr<MountNamespace> Clone() const;
  // pivot_root(2) for a process whose root is `root` (by default that of the namespace). The caller then moves the roots
  // and working directories that were the old root.
  Result<void> PivotRoot(const Path& new_root, const Path& put_old);
  Result<void> PivotRoot(const Path& new_root, const Path& put_old, const Path& root);
  // Mounts in tree order, for /proc/PID/mountinfo.
  std::vector<Mount*> List() const;

  WaitQueue changes;            // poll of /proc/self/mounts
  uint64_t generation = 0;      // goes up with each change
  RefPtr<base::UserNamespace> user_ns;  // its owner; null: the root one

 private:
  friend class MountTree;
  void Changed();

  RefPtr<Mount> root_;
};

// A copy of `mount` from `root` on with the mounts below where `recursive`, attached nowhere. Unbindable ones are left out.
// The caller gives it to Attach or to DropMountTree.
RefPtr<Mount> CloneMountTree(const Mount& mount, RefPtr<Dentry> root, bool recursive);

void DropMountTree(RefPtr<Mount> tree);

// MS_SHARED, MS_PRIVATE, MS_SLAVE or MS_UNBINDABLE.
void SetPropagation(Mount& mount, unsigned long type, bool recursive);

// Where `path`, a place in `from`, is in `to`, a Clone of it made just now.
Path TranslatePath(const Path& path, const MountNamespace& from, const MountNamespace& to);

// The absolute path of `place` as seen from `root` ("/a/b"); "(unreachable)..." as getcwd(2) says where it is outside,
// with " (deleted)" appended for an unlinked dentry when `mark_deleted`.
std::string PathName(const Path& place, const Path& root, bool mark_deleted = true);

}  // namespace vfs
