// Extended attributes: the rules of xattr(7) for each name space.

#include <algorithm>

#include "vfs/operations.h"
#include "vfs/permission.h"
#include "vfs/watch.h"

namespace vfs {

namespace {

bool Initial(const Credentials& creds) { return !creds.user_ns || creds.user_ns->is_root(); }

Result<void> Check(const Credentials& creds, Inode& inode, std::string_view name, int mask) {
  const bool writes = (mask & kMayWrite) != 0;
  if (name.starts_with("security.") || name.starts_with("system.")) {
    return {};  // whoever gives them a meaning decides
  }
  if (name.starts_with("trusted.")) {
    if (creds.Has(CAP_SYS_ADMIN) && Initial(creds)) return {};
    return writes ? Errno::kEPERM : Errno::kENODATA;
  }
  if (name.starts_with("user.")) {
    uint32_t type = inode.type();
    if (!S_ISREG(type) && !S_ISDIR(type)) return writes ? Errno::kEPERM : Errno::kENODATA;
    if (writes && S_ISDIR(type)) {
      Attributes attr = TRY(inode.Stat());
      if ((attr.mode & S_ISVTX) != 0 && !IsOwnerOr(creds, CAP_FOWNER, attr)) return Errno::kEPERM;
    }
  }
  return InodePermission(inode, creds, mask);
}

// Setting or removing a security attribute without a security module: capabilities(7).
Result<void> CheckSecurity(const Credentials& creds, Inode& inode, std::string_view name) {
  if (!name.starts_with("security.")) return {};
  if (name == "security.capability") {
    if (!HasCapabilityFor(creds, CAP_SETFCAP, TRY(inode.Stat()))) return Errno::kEPERM;
    return {};
  }
  return creds.Has(CAP_SYS_ADMIN) && Initial(creds) ? Result<void>() : Result<void>(Errno::kEPERM);
}

}  // namespace

Result<std::string> GetXattr(const WalkContext& context, const Path& place, std::string_view name) {
  TRY(Check(*context.creds, place.inode(), name, kMayRead));
  return place.inode().GetXattr(name);
}

Result<void> SetXattr(const WalkContext& context, const Path& place, std::string_view name, std::string_view value, int flags) {
  if (place.mount->read_only()) return Errno::kEROFS;
  Inode& inode = place.inode();
  TRY(Check(*context.creds, inode, name, kMayWrite));
  TRY(CheckSecurity(*context.creds, inode, name));
  TRY(inode.SetXattr(name, value, flags));
  inode.no_privileges = false;
  if (watch_count != 0) ReportObject(*place.dentry, IN_ATTRIB);
  return {};
}

Result<void> RemoveXattr(const WalkContext& context, const Path& place, std::string_view name) {
  if (place.mount->read_only()) return Errno::kEROFS;
  Inode& inode = place.inode();
  TRY(Check(*context.creds, inode, name, kMayWrite));
  TRY(CheckSecurity(*context.creds, inode, name));
  TRY(inode.RemoveXattr(name));
  if (watch_count != 0) ReportObject(*place.dentry, IN_ATTRIB);
  return {};
}

Result<std::vector<std::string>> ListXattr(const WalkContext& context, const Path& place) {
  std::vector<std::string> names = TRY(place.inode().ListXattr());
  if (!context.creds->Has(CAP_SYS_ADMIN) || !Initial(*context.creds)) {
    std::erase_if(names, [](const std::string& name) { return name.starts_with("trusted."); });
  }
  return names;
}

}  // namespace vfs
