#pragma once

// The file systems that mount(2) and /proc/filesystems know by name. Registration happens once, at start-up.

#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "vfs/path_walk.h"

namespace vfs {

struct MountRequest {
  const WalkContext& context;  // the caller of mount(2); context.task is its task
  std::string source;
  unsigned long flags;         // MS_*
  std::string options;         // the "data" of mount(2): comma-separated
};

struct FileSystemType {
  std::string name;
  bool needs_device = false;     // without "nodev" in /proc/filesystems
  bool user_mountable = false;   // FS_USERNS_MOUNT: CAP_SYS_ADMIN in a user namespace is enough
  absl::AnyInvocable<Result<RefPtr<FileSystem>>(const MountRequest&)> create;
};

void RegisterFileSystemType(FileSystemType type);
// Null: ENODEV.
FileSystemType* FindFileSystemType(std::string_view name);
const std::vector<FileSystemType*>& FileSystemTypes();

// "a,b=1,c" as pairs ("a", ""), ("b", "1"), ("c", ""); empty ones are skipped.
struct MountOption {
  std::string_view name, value;
};
std::vector<MountOption> ParseMountOptions(std::string_view options);

}  // namespace vfs
