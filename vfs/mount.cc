#include "vfs/mount.h"

#include <algorithm>

#include "base/log.h"
#include "vfs/mount_tree.h"
#include "vfs/watch.h"

namespace vfs {

MountNamespace::MountNamespace(RefPtr<Mount> root) : root_(std::move(root)) {
  MountTree::ForEach(*root_, [this](Mount& m) { m.ns = this; });
}

MountNamespace::~MountNamespace() { MountTree::Dissolve(*root_); }

void MountNamespace::Changed() {
  generation++;
  changes.Notify(EPOLLPRI | EPOLLERR);
}

Path MountNamespace::TopOf(Path place) {
  while (place.dentry->mounts > 0) {
    Mount* on_top = place.mount->ChildAt(*place.dentry);
    if (on_top == nullptr) break;
    place = Path{RefPtr<Mount>(on_top), on_top->root()};
  }
  return place;
}

Mount* MountNamespace::MountAt(const Path& place) const {
  Mount* top = nullptr;
  const Mount* mount = place.mount.get();
  const Dentry* dentry = place.dentry.get();
  while (dentry->mounts > 0) {
    Mount* next = mount->ChildAt(*dentry);
    if (next == nullptr) break;
    top = next;
    mount = next;
    dentry = next->root().get();
  }
  return top;
}

namespace {

// Gives a copy of a mounted tree the relation to the original that its receiver has to the original's parent.
void Relate(Mount& copy, int master) {
  MountTree::ForEach(copy, [master](Mount& m) {
    if (master == 0) return;  // a peer, as cloned
    int group = m.peer_group;
    MountTree::LeavePeers(m);
    MountTree::LeaveMaster(m);
    if (group != 0) MountTree::JoinMaster(m, group);
  });
}

}  // namespace

Result<void> MountNamespace::Attach(RefPtr<Mount> mount, const Path& place) {
  Path target = TopOf(place);
  if (target.mount->ns != this) return Errno::kEINVAL;
  if (target.dentry->unlinked()) return Errno::kENOENT;
  if (target.dentry->is_directory() != mount->root()->is_directory()) return Errno::kENOTDIR;
  if (MountTree::Propagates(*target.mount)) {
    MountTree::ForEach(*mount, [](Mount& m) {
      if (m.peer_group == 0) MountTree::JoinPeers(m, MountTree::NewPeerGroup());
    });
    for (const MountTree::Receiver& receiver : MountTree::Receivers(*target.mount)) {
      Mount& parent = *receiver.mount;
      if (parent.ns == nullptr || !target.dentry->IsDescendantOf(*parent.root())) continue;
      RefPtr<Mount> copy = CloneMountTree(*mount, mount->root(), true);
      Relate(*copy, receiver.master);
      // A slave that is itself shared passes mounts on: the copy is shared too.
      if (receiver.master != 0 && parent.peer_group != 0) {
        MountTree::ForEach(*copy, [](Mount& m) { MountTree::JoinPeers(m, MountTree::NewPeerGroup()); });
      }
      MountTree::Insert(std::move(copy), TopOf(Path{RefPtr<Mount>(&parent), target.dentry}));
      MountTree::Changed(parent.ns);
    }
  }
  MountTree::Insert(std::move(mount), target);
  Changed();
  return {};
}

Result<void> MountNamespace::Detach(Mount& mount, int flags) {
  if (mount.ns != this || !mount.mountpoint.valid()) return Errno::kEINVAL;
  if ((flags & MNT_EXPIRE) != 0 && !mount.expiring) {
    mount.expiring = true;
    return Errno::kEAGAIN;
  }
  // The parent's reference and the caller's are no use of it.
  constexpr int64_t kIdleRefs = 2;
  if ((flags & MNT_DETACH) == 0 && (!mount.children.empty() || mount.refs() > kIdleRefs)) return Errno::kEBUSY;

  std::vector<RefPtr<Mount>> gone;
  Path place = mount.mountpoint;
  if (MountTree::Propagates(*place.mount)) {
    for (const MountTree::Receiver& receiver : MountTree::Receivers(*place.mount)) {
      Mount* copy = receiver.mount->ChildAt(*place.dentry);
      if (copy == nullptr || copy->root() != mount.root()) continue;
      if ((flags & MNT_DETACH) == 0 && !copy->children.empty()) continue;
      MountNamespace* ns = copy->ns;
      gone.push_back(MountTree::Remove(*copy));
      MountTree::Dissolve(*copy);
      MountTree::Changed(ns);
    }
  }
  gone.push_back(MountTree::Remove(mount));
  MountTree::Dissolve(mount);
  MountTree::LeavePeers(mount);
  Changed();
  return {};
}

Result<void> MountNamespace::Move(Mount& mount, const Path& place) {
  Path target = TopOf(place);
  if (mount.ns != this || target.mount->ns != this || !mount.mountpoint.valid()) return Errno::kEINVAL;
  if (mount.mountpoint.mount->peer_group != 0) return Errno::kEINVAL;
  if (target.dentry->is_directory() != mount.root()->is_directory()) return Errno::kEINVAL;
  for (const Mount* m = target.mount.get(); m != nullptr; m = m->mountpoint.mount.get()) {
    if (m == &mount) return Errno::kELOOP;
  }
  RefPtr<Mount> owned = MountTree::Remove(mount);
  return Attach(std::move(owned), target);
}

RefPtr<MountNamespace> MountNamespace::Clone() const {
  RefPtr<Mount> copy = CloneMountTree(*root_, root_->root(), true);
  auto ns = MakeRef<MountNamespace>(std::move(copy));
  ns->user_ns = user_ns;
  return ns;
}

Path TranslatePath(const Path& path, const MountNamespace& from, const MountNamespace& to) {
  if (!path.valid() || path.mount->ns != &from) return path;
  for (Mount* mount : to.List()) {
    if (mount->copied_from == path.mount->id()) return Path{RefPtr<Mount>(mount), path.dentry};
  }
  return path;
}

std::vector<Mount*> MountNamespace::List() const {
  std::vector<Mount*> list;
  MountTree::ForEach(*root_, [&list](Mount& m) { list.push_back(&m); });
  return list;
}

Result<void> MountNamespace::PivotRoot(const Path& new_root, const Path& put_old) {
  return PivotRoot(new_root, put_old, RootPath());
}

namespace {
// Whether `place` lies in the tree below `top`, across mounts.
bool ReachableFrom(const Path& place, const Path& top) {
  const Mount* mount = place.mount.get();
  const Dentry* dentry = place.dentry.get();
  while (mount != top.mount.get()) {
    if (!mount->mountpoint.valid()) return false;
    dentry = mount->mountpoint.dentry.get();
    mount = mount->mountpoint.mount.get();
  }
  return dentry->IsDescendantOf(*top.dentry);
}
}  // namespace

Result<void> MountNamespace::PivotRoot(const Path& new_root, const Path& put_old, const Path& root) {
  Mount& new_mount = *new_root.mount;
  Mount& old_mount = *root.mount;
  auto shared = [](const Path& place) { return place.valid() && place.mount->peer_group != 0; };
  if (put_old.mount->peer_group != 0 || shared(new_mount.mountpoint) || shared(old_mount.mountpoint)) return Errno::kEINVAL;
  if (old_mount.ns != this || new_mount.ns != this || put_old.mount->ns != this) return Errno::kEINVAL;
  if (new_root.dentry->unlinked()) return Errno::kENOENT;
  if (new_root.mount == root.mount || put_old.mount == root.mount) return Errno::kEBUSY;
  if (root.dentry != old_mount.root() || new_root.dentry != new_mount.root()) return Errno::kEINVAL;
  if (!new_mount.mountpoint.valid()) return Errno::kEINVAL;
  if (!ReachableFrom(put_old, new_root) || !ReachableFrom(new_root, root)) return Errno::kEINVAL;

  RefPtr<Mount> new_owned = MountTree::Remove(new_mount);
  if (old_mount.mountpoint.valid()) {
    Path place = old_mount.mountpoint;
    RefPtr<Mount> old_owned = MountTree::Remove(old_mount);
    MountTree::Insert(std::move(new_owned), place);
    MountTree::Insert(std::move(old_owned), TopOf(put_old));
  } else {
    // The root of the namespace.
    RefPtr<Mount> old_owned = std::exchange(root_, std::move(new_owned));
    MountTree::ForEach(*root_, [this](Mount& m) { m.ns = this; });
    MountTree::Insert(std::move(old_owned), TopOf(put_old));
  }
  Changed();
  return {};
}

}  // namespace vfs
