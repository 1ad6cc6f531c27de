#pragma once

// What all inodes of a tmpfs have: attributes and extended attributes in memory.

#include <map>
#include <memory>
#include <string>

#include "vfs/fs/tmpfs/tmpfs.h"

namespace tmpfs {

class TmpInode : public vfs::Inode {
 public:
  Result<vfs::Attributes> Stat() override;
  uint32_t type() const override { return mode_ & S_IFMT; }
  Result<void> SetAttr(const vfs::SetAttributes& changes) override;

  Result<std::string> GetXattr(std::string_view name) override;
  Result<void> SetXattr(std::string_view name, std::string_view value, int flags) override;
  Result<void> RemoveXattr(std::string_view name) override;
  Result<std::vector<std::string>> ListXattr() override;

  uint64_t ino() const { return ino_; }
  uint32_t nlink() const { return nlink_; }

 protected:
  friend class Directory;
  // The inode was charged to the file system's space.
  TmpInode(TmpFileSystem* fs, const vfs::CreateOptions& options);
  ~TmpInode() override;

  TmpFileSystem& tmp_fs() const { return static_cast<TmpFileSystem&>(*fs_); }
  // Size, blocks, rdev: what derived classes add to Stat.
  virtual void FillStat(vfs::Attributes* attr) {}
  virtual Result<void> SetSize(uint64_t size) { return Errno::kEINVAL; }
  void Modified();  // data: mtime and ctime
  void Changed();   // attributes: ctime

  const uint64_t ino_;
  uint32_t mode_;
  uint32_t nlink_ = 1;
  uid_t uid_;
  gid_t gid_;
  int64_t atime_, mtime_, ctime_;
  const int64_t btime_;

 private:
  using Xattrs = std::map<std::string, std::string, std::less<>>;
  std::unique_ptr<Xattrs> xattrs_;
  size_t xattr_bytes_ = 0;
};

// A symbolic link, a device, a FIFO or a socket.
RefPtr<TmpInode> MakeSymlink(TmpFileSystem* fs, const vfs::CreateOptions& options, std::string_view target);
RefPtr<TmpInode> MakeSpecial(TmpFileSystem* fs, const vfs::CreateOptions& options);

}  // namespace tmpfs
