#pragma once

// A directory: its names by hash for lookups, and by an ever rising position, which is what readdir(3) offsets are: a
// reader neither misses nor repeats what was there all the time, whatever else comes and goes.

#include <memory>
#include <string>

#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"
#include "vfs/file_description.h"
#include "vfs/fs/tmpfs/inode.h"

namespace tmpfs {

class Directory final : public TmpInode {
 public:
  Directory(TmpFileSystem* fs, const vfs::CreateOptions& options);
  ~Directory() override;

  Result<RefPtr<vfs::Inode>> Lookup(std::string_view name) override;
  Result<RefPtr<vfs::Inode>> Create(std::string_view name, const vfs::CreateOptions& options) override;
  Result<RefPtr<vfs::Inode>> Mkdir(std::string_view name, const vfs::CreateOptions& options) override;
  Result<RefPtr<vfs::Inode>> Mknod(std::string_view name, const vfs::CreateOptions& options) override;
  Result<RefPtr<vfs::Inode>> Symlink(std::string_view name, std::string_view target, const vfs::CreateOptions& options) override;
  Result<void> Link(std::string_view name, vfs::Inode& target) override;
  Result<void> Unlink(std::string_view name, vfs::Inode& child) override;
  Result<void> Rmdir(std::string_view name, vfs::Inode& child) override;
  Result<void> Rename(std::string_view old_name, vfs::Inode& child, vfs::Inode& new_parent, std::string_view new_name,
                      vfs::Inode* replaced, unsigned flags) override;
  Result<RefPtr<vfs::Inode>> CreateUnnamed(const vfs::CreateOptions& options) override;
  Result<RefPtr<vfs::FileDescription>> Open(const vfs::OpenOptions& options, const Credentials& creds) override;

  bool empty() const { return by_name_.empty(); }

 private:
  friend class DirectoryDescription;
  struct Entry {
    std::string name;
    RefPtr<TmpInode> inode;
    int64_t position;
  };

  void FillStat(vfs::Attributes* attr) override;
  Result<RefPtr<vfs::Inode>> Add(std::string_view name, RefPtr<TmpInode> inode);
  void Insert(std::string_view name, RefPtr<TmpInode> inode);
  RefPtr<TmpInode> Erase(std::string_view name);

  absl::btree_map<int64_t, std::unique_ptr<Entry>> by_position_;
  absl::flat_hash_map<std::string_view, Entry*> by_name_;
  int64_t next_position_ = 2;  // behind "." and ".."
};

}  // namespace tmpfs
