#include <string>
#include <vector>

#include "vfs/anonymous.h"
#include "vfs/mount.h"

namespace vfs {

std::string PathName(const Path& place, const Path& root, bool mark_deleted) {
  if (!place.valid()) return "";
  if (IsAnonymousMount(*place.mount)) return place.dentry->name();

  std::vector<const Dentry*> components;  // innermost first
  const Mount* mount = place.mount.get();
  const Dentry* dentry = place.dentry.get();
  bool reachable = true;
  while (mount != root.mount.get() || dentry != root.dentry.get()) {
    if (dentry == mount->root().get() || !dentry->parent()) {
      if (!mount->mountpoint.valid()) {
        // Above the given root, or in a tree that is attached nowhere. The root of a namespace counts as the root when
        // no better one was given.
        reachable = !root.valid() && mount->ns != nullptr;
        break;
      }
      dentry = mount->mountpoint.dentry.get();
      mount = mount->mountpoint.mount.get();
      continue;
    }
    components.push_back(dentry);
    dentry = dentry->parent().get();
  }

  std::string name;
  if (!reachable) name = "(unreachable)";
  if (components.empty()) {
    name += '/';
  } else {
    for (auto it = components.rbegin(); it != components.rend(); ++it) {
      name += '/';
      name += (*it)->name();
    }
  }
  if (mark_deleted && place.dentry->unlinked()) name += " (deleted)";
  return name;
}

}  // namespace vfs
