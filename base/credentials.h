#pragma once

// Who a task acts as: credentials(7), capabilities(7). Immutable once published; a change makes a copy, so a system call
// holds one consistent set for its whole length. User namespaces are nodes with id maps; ids stored in inodes and
// credentials are those of the root user namespace ("kernel ids").

#include <linux/capability.h>
#include <sys/types.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "base/ref.h"
#include "base/result.h"

namespace base {

using CapabilitySet = uint64_t;
inline constexpr CapabilitySet kAllCapabilities = (uint64_t{1} << (CAP_LAST_CAP + 1)) - 1;
inline constexpr CapabilitySet CapabilityBit(int cap) { return uint64_t{1} << cap; }

struct IdMapEntry {
  uint32_t inside, outside, count;  // `outside` is a kernel id
};

class UserNamespace : public RefCounted {
 public:
  UserNamespace(RefPtr<UserNamespace> parent_namespace, uid_t owner_uid)
      : parent(std::move(parent_namespace)), owner(owner_uid) {}

  // Kernel id <-> id as seen in this namespace; (uint32_t)-1 where unmapped. The root namespace maps all to itself.
  static uint32_t ToKernel(const std::vector<IdMapEntry>& map, bool root, uint32_t id) {
    if (root) return id;
    for (const auto& e : map) {
      if (id >= e.inside && id - e.inside < e.count) return e.outside + (id - e.inside);
    }
    return UINT32_MAX;
  }
  static uint32_t FromKernel(const std::vector<IdMapEntry>& map, bool root, uint32_t id) {
    if (root) return id;
    for (const auto& e : map) {
      if (id >= e.outside && id - e.outside < e.count) return e.inside + (id - e.outside);
    }
    return UINT32_MAX;
  }
  bool is_root() const { return !parent; }
  uid_t UidToKernel(uid_t id) const { return ToKernel(uid_map, is_root(), id); }
  gid_t GidToKernel(gid_t id) const { return ToKernel(gid_map, is_root(), id); }
  uid_t UidFromKernel(uid_t id) const { return FromKernel(uid_map, is_root(), id); }
  gid_t GidFromKernel(gid_t id) const { return FromKernel(gid_map, is_root(), id); }

  const RefPtr<UserNamespace> parent;
  const uid_t owner;
  std::vector<IdMapEntry> uid_map, gid_map;
  bool setgroups_allowed = true;
};

class Credentials : public RefCounted {
 public:
  Credentials() = default;
  Credentials(const Credentials& o)
      : RefCounted(), ruid(o.ruid), euid(o.euid), suid(o.suid), fsuid(o.fsuid), rgid(o.rgid), egid(o.egid), sgid(o.sgid),
        fsgid(o.fsgid), groups(o.groups), permitted(o.permitted), effective(o.effective), inheritable(o.inheritable),
        bounding(o.bounding), ambient(o.ambient), securebits(o.securebits), user_ns(o.user_ns) {}

  // Root with all capabilities in `user_ns`.
  static RefPtr<Credentials> Root(RefPtr<UserNamespace> user_ns) {
    auto creds = base::MakeRef<Credentials>();
    creds->permitted = creds->effective = creds->bounding = kAllCapabilities;
    creds->user_ns = std::move(user_ns);
    return creds;
  }

  bool InGroup(gid_t gid) const {
    return gid == fsgid || std::find(groups.begin(), groups.end(), gid) != groups.end();
  }
  // In the credentials' own user namespace.
  bool Has(int cap) const { return (effective & CapabilityBit(cap)) != 0; }
  // In `ns`: held there, or the owner of a descendant namespace created from this one (user_namespaces(7)).
  bool HasIn(int cap, const UserNamespace& ns) const {
    for (const UserNamespace* n = &ns;; n = n->parent.get()) {
      if (n == user_ns.get()) return Has(cap);
      if (n->is_root()) return false;
      if (n->parent == user_ns && n->owner == euid) return true;
    }
  }

  uid_t ruid = 0, euid = 0, suid = 0, fsuid = 0;
  gid_t rgid = 0, egid = 0, sgid = 0, fsgid = 0;
  std::vector<gid_t> groups;
  CapabilitySet permitted = 0, effective = 0, inheritable = 0, bounding = 0, ambient = 0;
  uint32_t securebits = 0;
  RefPtr<UserNamespace> user_ns;
};

}  // namespace base

using base::Credentials;
