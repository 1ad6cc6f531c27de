#pragma once

// Attaching and detaching of mounts, and who is in which peer group. Internal to vfs/mount*.cc.

#include <vector>

#include "absl/functional/function_ref.h"
#include "vfs/mount.h"

namespace vfs {

class MountTree {
 public:
  // Puts `mount`, with the tree on it, exactly on `place` (nothing is there), into the namespace of place.mount.
  static void Insert(RefPtr<Mount> mount, const Path& place);
  // Takes it off, with the tree on it; the caller gets the reference that its parent held.
  static RefPtr<Mount> Remove(Mount& mount);
  // Takes a whole tree apart: all its mounts end up attached nowhere.
  static void Dissolve(Mount& mount);
  // The mount and all on it, parents before children, children in order of attachment.
  static void ForEach(Mount& mount, absl::FunctionRef<void(Mount&)> visit);
  static void Changed(MountNamespace* ns);
  // All mounts on a dentry, whatever namespace they are in.
  static std::vector<Mount*> On(const Dentry& dentry);

  // Propagation.
  static void JoinPeers(Mount& mount, int group);
  static void LeavePeers(Mount& mount);
  static void JoinMaster(Mount& mount, int group);
  static void LeaveMaster(Mount& mount);
  static int NewPeerGroup();
  // Whether events on mounts below `mount` go anywhere else.
  static bool Propagates(const Mount& mount) { return mount.peer_group != 0; }
  // The mounts besides `mount` that hear of what is (un)mounted on it: its peers and all slaves below. `as_slave`: in a
  // group that receives only.
  struct Receiver {
    Mount* mount;
    int master;  // peer group whose slave a copy there becomes; 0: a peer of the original
  };
  static std::vector<Receiver> Receivers(const Mount& mount);
};

}  // namespace vfs
