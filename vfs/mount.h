#pragma once

// Mounts and mount namespaces, mount_namespaces(7). A Path is a place: a mount and a dentry in its file system.

#include <map>
#include <string>
#include <vector>

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

  const RefPtr<FileSystem>& fs() const { return fs_; }
  const RefPtr<Dentry>& root() const { return root_; }  // a bind mount's may be any dentry of the file system
  unsigned long flags = 0;                              // MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_NOATIME...
  bool read_only() const;
  int id() const { return id_; }

  // Where it is attached; invalid for the root of a namespace and for detached mounts.
  Path mountpoint;
  MountNamespace* ns = nullptr;
  std::vector<Mount*> children;
  // Propagation, mount_namespaces(7): peer group ids, 0 for none.
  int peer_group = 0, master_group = 0;
  bool unbindable = false;

 private:
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
  // Attaches on top of `place`. Takes over the reference.
  Result<void> Attach(RefPtr<Mount> mount, const Path& place);
  // `flags`: MNT_DETACH, MNT_FORCE. EBUSY while files or child mounts are in use.
  Result<void> Detach(Mount& mount, int flags);
  // A private copy of the whole tree (CLONE_NEWNS); paths are moved over by Translate.
  RefPtr<MountNamespace> Clone() const;
  // pivot_root(2).
  Result<void> PivotRoot(const Path& new_root, const Path& put_old);
  // Mounts in tree order, for /proc/PID/mountinfo.
  std::vector<Mount*> List() const;

  WaitQueue changes;  // poll of /proc/self/mounts

 private:
  RefPtr<Mount> root_;
  absl::flat_hash_map<std::pair<const Mount*, const Dentry*>, RefPtr<Mount>> mounted_;
};

// `place` in `from`, as the same place in its clone `to` (unshare of a mount namespace).
Path TranslatePath(const Path& place, const MountNamespace& from, const MountNamespace& to);

// The absolute path of `place` as seen from `root` ("/a/b"); "(unreachable)..." as getcwd(2) says where it is outside,
// with " (deleted)" appended for an unlinked dentry when `mark_deleted`.
std::string PathName(const Path& place, const Path& root, bool mark_deleted = true);

}  // namespace vfs
