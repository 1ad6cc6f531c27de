#pragma once

// tmpfs(5): files in memory. Names and attributes live in the Sentry's heap, data in the sandbox's memory file.

#include <string>
#include <string_view>

#include "base/credentials.h"
#include "vfs/fs/tmpfs/space.h"
#include "vfs/inode.h"

namespace tmpfs {

class Directory;

class TmpFileSystem final : public vfs::FileSystem {
 public:
  // `options` as for mount(2): size, nr_blocks, nr_inodes, mode, uid, gid. EINVAL for unknown ones. The root belongs to
  // the caller unless they say otherwise.
  static Result<RefPtr<TmpFileSystem>> Create(std::string source, std::string_view options, const Credentials& creds,
                                              std::string name = "tmpfs");
  ~TmpFileSystem() override;

  RefPtr<vfs::Inode> root() override;
  Result<struct statfs> StatFs() override;
  std::string MountOptions() override;
  Result<void> Remount(unsigned long new_flags, std::string_view options) override;

  const RefPtr<Space>& space() const { return space_; }

 private:
  TmpFileSystem(std::string name, std::string source);

  const RefPtr<Space> space_;
  RefPtr<Directory> root_;
  uint32_t mode_ = 0;
};

// Makes "tmpfs" and "ramfs" known to mount(2).
void Register();

}  // namespace tmpfs
