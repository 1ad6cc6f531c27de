#pragma once

// Symbolic links; and fifos, sockets and device nodes, of which only name and attributes are the host's: vfs/operations opens
// the Sentry's own pipe or device instead (vfs/special_file.h), never the host's.

#include "vfs/fs/gofer/inode.h"

namespace goferfs {

class SymlinkInode final : public GoferInode {
 public:
  SymlinkInode(GoferFileSystem* fs, gofer::Handle handle, const gofer::WireAttributes& attributes) : GoferInode(fs, handle, attributes) {}

  Result<std::string> ReadLink(const Credentials& creds) override;
  Result<RefPtr<vfs::FileDescription>> Open(const vfs::OpenOptions& options, const Credentials& creds) override;

  // As told by a walk; a link's target never changes.
  void set_target(std::string target) { target_ = std::move(target); }

 private:
  std::string target_;  // empty: not known yet
};

class SpecialInode final : public GoferInode {
 public:
  SpecialInode(GoferFileSystem* fs, gofer::Handle handle, const gofer::WireAttributes& attributes) : GoferInode(fs, handle, attributes) {}

  Result<RefPtr<vfs::FileDescription>> Open(const vfs::OpenOptions& options, const Credentials& creds) override;
};

}  // namespace goferfs
