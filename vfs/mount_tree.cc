#include "vfs/mount_tree.h"

#include <algorithm>

#include "base/log.h"
#include "vfs/permission.h"
#include "vfs/watch.h"

namespace vfs {

namespace {
auto& MountsByDentry() {
  static auto* mounts = new absl::flat_hash_map<const Dentry*, std::vector<Mount*>>;
  return *mounts;
}
}  // namespace

std::vector<Mount*> MountTree::On(const Dentry& dentry) {
  if (dentry.mounts == 0) return {};
  auto it = MountsByDentry().find(&dentry);
  return it == MountsByDentry().end() ? std::vector<Mount*>() : it->second;
}

void MountTree::Changed(MountNamespace* ns) {
  if (ns != nullptr) ns->Changed();
}

void MountTree::ForEach(Mount& mount, absl::FunctionRef<void(Mount&)> visit) {
  // Mounts may be stacked as deep as the guest likes.
  std::vector<Mount*> pending{&mount};
  while (!pending.empty()) {
    Mount* next = pending.back();
    pending.pop_back();
    pending.insert(pending.end(), next->children.rbegin(), next->children.rend());
    visit(*next);
  }
}

void MountTree::Insert(RefPtr<Mount> mount, const Path& place) {
  Mount& parent = *place.mount;
  Mount& child = *mount;
  child.mountpoint = place;
  place.dentry->mounts++;
  MountsByDentry()[place.dentry.get()].push_back(&child);
  parent.children.push_back(&child);
  bool inserted = parent.child_at_.emplace(place.dentry.get(), std::move(mount)).second;
  CHECK(inserted);
  if (child.ns != parent.ns) ForEach(child, [&parent](Mount& m) { m.ns = parent.ns; });
}

RefPtr<Mount> MountTree::Remove(Mount& mount) {
  Path place = std::move(mount.mountpoint);
  mount.mountpoint = Path{};
  auto on_dentry = MountsByDentry().find(place.dentry.get());
  on_dentry->second.erase(std::find(on_dentry->second.begin(), on_dentry->second.end(), &mount));
  if (--place.dentry->mounts == 0) MountsByDentry().erase(on_dentry);
  Mount& parent = *place.mount;
  parent.children.erase(std::find(parent.children.begin(), parent.children.end(), &mount));
  auto it = parent.child_at_.find(place.dentry.get());
  RefPtr<Mount> owned = std::move(it->second);
  parent.child_at_.erase(it);
  ForEach(mount, [](Mount& m) { m.ns = nullptr; });
  return owned;
}

void MountTree::Dissolve(Mount& mount) {
  std::vector<Mount*> order;
  ForEach(mount, [&order](Mount& m) { order.push_back(&m); });
  for (auto it = order.rbegin(); it != order.rend(); ++it) {
    (*it)->ns = nullptr;
    if (*it != &mount) (void)Remove(**it);
  }
}

Mount::Mount(RefPtr<FileSystem> fs, RefPtr<Dentry> root, unsigned long mount_flags)
    : flags(mount_flags), fs_(std::move(fs)), root_(std::move(root)), id_([] {
        static int next = 1;
        return next++;
      }()) {
  fs_->mount_count++;
}

Mount::Mount(RefPtr<FileSystem> fs, unsigned long mount_flags) : Mount(fs, fs->root_dentry(), mount_flags) {}

Mount::~Mount() {
  MountTree::LeavePeers(*this);
  MountTree::LeaveMaster(*this);
  if (--fs_->mount_count == 0) ReportUnmount(*fs_);
}

RefPtr<Mount> CloneMountTree(const Mount& mount, RefPtr<Dentry> root, bool recursive) {
  auto clone_one = [](const Mount& from, RefPtr<Dentry> from_root) {
    auto copy = MakeRef<Mount>(from.fs(), std::move(from_root), from.flags);
    copy->copied_from = from.id();
    if (from.peer_group != 0) MountTree::JoinPeers(*copy, from.peer_group);
    if (from.master_group != 0) MountTree::JoinMaster(*copy, from.master_group);
    return copy;
  };
  RefPtr<Mount> copy = clone_one(mount, std::move(root));
  if (!recursive) return copy;
  std::vector<std::pair<const Mount*, Mount*>> pending{{&mount, copy.get()}};
  while (!pending.empty()) {
    auto [from, to] = pending.back();
    pending.pop_back();
    for (const Mount* child : from->children) {
      if (child->unbindable || !child->mountpoint.dentry->IsDescendantOf(*to->root())) continue;
      RefPtr<Mount> child_copy = clone_one(*child, child->root());
      pending.emplace_back(child, child_copy.get());
      MountTree::Insert(std::move(child_copy), Path{RefPtr<Mount>(to), child->mountpoint.dentry});
    }
  }
  return copy;
}

bool IsMountpointIn(const MountNamespace* ns, const Dentry& dentry) {
  for (const Mount* mount : MountTree::On(dentry)) {
    if (mount->ns == ns) return true;
  }
  return false;
}

void DetachMountsOn(const Dentry& dentry) {
  while (dentry.mounts > 0) {
    Mount& mount = *MountTree::On(dentry).front();
    MountNamespace* ns = mount.ns;
    RefPtr<Mount> owned = MountTree::Remove(mount);
    MountTree::Dissolve(mount);
    MountTree::Changed(ns);
  }
}

void DropMountTree(RefPtr<Mount> tree) { MountTree::Dissolve(*tree); }

}  // namespace vfs
