#pragma once

// The one path walk (path_resolution(7)), used by every file system and every system call.

#include <linux/openat2.h>

#include <string>
#include <string_view>

#include "vfs/mount.h"

namespace vfs {

// Where a walk starts and who walks.
struct WalkContext {
  Path root;   // of the process, for absolute names and ".."
  Path start;  // of dirfd or the working directory, for relative names
  RefPtr<const Credentials> creds;
  // The calling task, opaque: proc's magic links get at it.
  void* task = nullptr;
};

enum WalkFlags : unsigned {
  kWalkFollow = 1,          // follow a symbolic link in the last component
  kWalkDirectory = 2,       // the result must be a directory: ENOTDIR
  kWalkEmptyPath = 4,       // "" means `start` (AT_EMPTY_PATH); otherwise ENOENT
  kWalkNoAutomount = 8,
};

// The place that `name` leads to. Errors as path_resolution(7): ENOENT, ENOTDIR, EACCES, ELOOP, ENAMETOOLONG; and those of
// openat2(2) for `resolve` (RESOLVE_NO_XDEV, NO_MAGICLINKS, NO_SYMLINKS, BENEATH, IN_ROOT, CACHED).
Result<Path> Walk(const WalkContext& context, std::string_view name, unsigned flags, uint64_t resolve = 0);

// The parent directory and the last component, unresolved: for calls that make, remove or rename names.
struct ParentAndName {
  Path parent;
  std::string name;             // may be "." or ".." (callers answer EEXIST, EINVAL, ENOTEMPTY, EBUSY as their page says); empty for "/"
  bool trailing_slash = false;  // "name/": must be a directory
};
Result<ParentAndName> WalkParent(const WalkContext& context, std::string_view name, uint64_t resolve = 0);

// One step: `child` of `parent` with mounts crossed; the dentry may be negative. Checks search permission.
Result<Path> Step(const WalkContext& context, const Path& parent, std::string_view child);

inline constexpr int kMaxSymlinks = 40;

}  // namespace vfs
