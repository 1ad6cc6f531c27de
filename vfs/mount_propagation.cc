// Shared subtrees (mount_namespaces(7)): which mounts hear of what happens on which others.

#include <algorithm>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "vfs/mount_tree.h"

namespace vfs {

namespace {
using Groups = absl::flat_hash_map<int, std::vector<Mount*>>;
Groups& Peers() {
  static auto* groups = new Groups;
  return *groups;
}
Groups& Slaves() {
  static auto* groups = new Groups;
  return *groups;
}
void Leave(Groups& groups, int* group, Mount& mount) {
  if (*group == 0) return;
  auto it = groups.find(*group);
  it->second.erase(std::find(it->second.begin(), it->second.end(), &mount));
  if (it->second.empty()) groups.erase(it);
  *group = 0;
}
}  // namespace

int MountTree::NewPeerGroup() {
  static int next = 1;
  return next++;
}

void MountTree::JoinPeers(Mount& mount, int group) {
  mount.peer_group = group;
  Peers()[group].push_back(&mount);
}

void MountTree::JoinMaster(Mount& mount, int group) {
  mount.master_group = group;
  Slaves()[group].push_back(&mount);
}

// The last peer takes its group's slaves along: they become slaves of its own master, or of nobody.
void MountTree::LeavePeers(Mount& mount) {
  int group = mount.peer_group;
  if (group == 0) return;
  Leave(Peers(), &mount.peer_group, mount);
  if (Peers().contains(group)) return;
  auto it = Slaves().find(group);
  if (it == Slaves().end()) return;
  std::vector<Mount*> orphans = std::move(it->second);
  Slaves().erase(it);
  for (Mount* orphan : orphans) {
    orphan->master_group = 0;
    if (mount.master_group != 0) JoinMaster(*orphan, mount.master_group);
  }
}

void MountTree::LeaveMaster(Mount& mount) { Leave(Slaves(), &mount.master_group, mount); }

std::vector<MountTree::Receiver> MountTree::Receivers(const Mount& mount) {
  std::vector<Receiver> receivers;
  absl::flat_hash_set<const Mount*> seen{&mount};
  std::vector<int> groups;
  if (mount.peer_group != 0) {
    for (Mount* peer : Peers()[mount.peer_group]) {
      if (seen.insert(peer).second) receivers.push_back({peer, 0});
    }
    groups.push_back(mount.peer_group);
  }
  while (!groups.empty()) {
    int group = groups.back();
    groups.pop_back();
    auto it = Slaves().find(group);
    if (it == Slaves().end()) continue;
    for (Mount* slave : it->second) {
      if (!seen.insert(slave).second) continue;
      receivers.push_back({slave, group});
      if (slave->peer_group == 0) continue;
      for (Mount* peer : Peers()[slave->peer_group]) {
        if (seen.insert(peer).second) receivers.push_back({peer, group});
      }
      groups.push_back(slave->peer_group);
    }
  }
  return receivers;
}

void SetPropagation(Mount& mount, unsigned long type, bool recursive) {
  auto change = [type](Mount& m) {
    if (type == MS_SHARED) {
      m.unbindable = false;
      if (m.peer_group == 0) MountTree::JoinPeers(m, MountTree::NewPeerGroup());
      return;
    }
    if (type == MS_SLAVE) {
      // A slave of its former peers; alone in its group, it keeps the master it has.
      int group = m.peer_group;
      if (group == 0) return;
      bool alone = Peers()[group].size() == 1;
      MountTree::LeavePeers(m);
      if (!alone) {
        MountTree::LeaveMaster(m);
        MountTree::JoinMaster(m, group);
      }
      return;
    }
    MountTree::LeavePeers(m);
    MountTree::LeaveMaster(m);
    m.unbindable = type == MS_UNBINDABLE;
  };
  if (recursive) {
    MountTree::ForEach(mount, change);
  } else {
    change(mount);
  }
  MountTree::Changed(mount.ns);
}

}  // namespace vfs
