#pragma once

#include "base/ref.h"
#include "vfs/path_walk.h"

namespace kernel {

// Root, working directory and umask of one or more tasks (fs_struct; CLONE_FS).
class FsContext : public RefCounted {
 public:
  FsContext(vfs::Path root_path, vfs::Path cwd_path, uint32_t mask)
      : root(std::move(root_path)), cwd(std::move(cwd_path)), umask(mask) {}
  RefPtr<FsContext> Copy() const { return MakeRef<FsContext>(root, cwd, umask); }

  vfs::Path root, cwd;
  uint32_t umask;
};

}  // namespace kernel
