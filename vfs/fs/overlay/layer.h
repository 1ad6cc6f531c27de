#pragma once

// What an overlay asks of the file systems that are its layers: lookups, and the marks that say
// "removed" (whiteouts, character devices 0/0) and "nothing of the layers below" (opaque
// directories). Layers are used below path walks and permission checks; only their directory locks
// are respected, so that they may be in use elsewhere too.

#include <string>
#include <string_view>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "vfs/dentry.h"
#include "vfs/file_description.h"
#include "vfs/inode.h"

namespace overlay {

using Layers = absl::InlinedVector<RefPtr<vfs::Inode>, 1>;

// Whom layers see: somebody who may do everything.
const RefPtr<const Credentials>& LayerCredentials();

// Lookup under the directory's lock. ENOENT.
Result<RefPtr<vfs::Inode>> LookupIn(vfs::Inode& directory, std::string_view name);

Result<bool> IsWhiteout(vfs::Inode& inode);
// The caller holds the directory's lock exclusively; nothing has the name.
Result<void> MakeWhiteout(vfs::Inode& directory, std::string_view name);

// A whiteout for a name that something else still has, made before that goes, so that no lack of
// space can leave the name to a lower layer. Removed again if it was not put in place. The caller
// holds the directory's lock exclusively.
class PreparedWhiteout {
 public:
  static Result<PreparedWhiteout> Make(vfs::Inode& directory);
  PreparedWhiteout(PreparedWhiteout&& other) noexcept = default;
  ~PreparedWhiteout();
  // `name` is free now.
  Result<void> Put(std::string_view name);

 private:
  PreparedWhiteout(vfs::Inode& directory, std::string name, RefPtr<vfs::Inode> whiteout)
      : directory_(directory), name_(std::move(name)), whiteout_(std::move(whiteout)) {}
  vfs::Inode& directory_;
  std::string name_;
  RefPtr<vfs::Inode> whiteout_;  // null: in place
};

Result<bool> IsOpaque(vfs::Inode& directory, const std::string& xattr);

// A dentry for a layer's file outside of all trees, for descriptions that are nobody's but the
// overlay's.
RefPtr<vfs::Dentry> DetachedDentry(vfs::Inode& inode);
Result<RefPtr<vfs::FileDescription>> OpenLayer(RefPtr<vfs::Dentry> detached, int flags);
inline Result<RefPtr<vfs::FileDescription>> OpenLayer(vfs::Inode& inode, int flags) {
  return OpenLayer(DetachedDentry(inode), flags);
}

struct LayerEntry {
  std::string name;
  uint64_t ino;
  uint8_t type;
};
// All names of a directory but "." and "..".
Result<std::vector<LayerEntry>> ListLayer(vfs::Inode& directory);

// Puts a directory's times back to what they were: for changes that applications must not see.
class KeepTimes {
 public:
  explicit KeepTimes(vfs::Inode& inode);
  ~KeepTimes();
  KeepTimes(const KeepTimes&) = delete;
  KeepTimes& operator=(const KeepTimes&) = delete;

 private:
  vfs::Inode& inode_;
  Result<vfs::Attributes> before_;
};

}  // namespace overlay
