#pragma once

// Directories. In exclusive mode a directory that was listed whole (up to a bound) remembers all its names, with the attributes that the listing
// brought: lookups of other names then fail, and the first lookup of each of these succeeds, without a call.

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "vfs/file_description.h"
#include "vfs/fs/gofer/contents.h"
#include "vfs/fs/gofer/inode.h"

namespace goferfs {

class DirectoryInode final : public GoferInode {
 public:
  DirectoryInode(GoferFileSystem* fs, gofer::Handle handle, const gofer::WireAttributes& attributes);
  ~DirectoryInode() override;

  Result<RefPtr<vfs::Inode>> Lookup(std::string_view name) override;
  void LookupAhead(std::string_view rest, int access) override;
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
  bool Revalidate(std::string_view name, vfs::Inode* child) override;
  bool revalidates() const override { return gofer_fs().shared(); }
  Result<RefPtr<vfs::FileDescription>> Open(const vfs::OpenOptions& options, const Credentials& creds) override;

  // All entries, "." and ".." left out. May ask the gofer.
  Result<RefPtr<Listing>> List();

  Result<void> Sync();  // fsync(2)

  // Opens a file that has no handle for reading, by its name here. Where files are opened in the order of the listings, those that follow are opened
  // with it, here and in other directories that are known, twice as many each time. RegularInode::AdoptFd is told of each. False when another call
  // does as well, and none was made.
  Result<bool> OpenFiles(std::string_view name);
  // Lists a directory that has no handle, by its name here, and with it what follows when one goes through the tree (ListedAhead).
  Result<void> ListTrees(std::string_view name);
  // An inode stands for this name now, and knows better than a listing;
  void NoteInode(std::string_view name, const InodeKey& key);
  // nobody needs it any longer, but somebody may come back.
  void TakeBack(std::string_view name, const GoferInode& inode);
  bool knows_contents() const { return contents_ != nullptr; }
  void AdoptContents(std::unique_ptr<Contents> contents) { contents_ = std::move(contents); }

 private:
  // The inode that a name of ours stands for; null when there is none.
  GoferInode* InUse(const Contents::Known& known) const;
  // The attributes of a file, and of others with it: who asks for one mostly wants all, in an order of his own (ls -l, tar). None where another call
  // does as well, or something went wrong.
  std::optional<gofer::WireAttributes> StatFiles(std::string_view name);
  Result<std::optional<gofer::WireAttributes>> StatFilesCall(std::span<const std::string_view> names);
  Result<RefPtr<Listing>> ListByHandle();
  // The nearest directory with a handle, and the names from there to here: for calls that need no handle of this one.
  struct Way {
    gofer::Handle handle = 0;
    absl::InlinedVector<std::string, 4> names;
  };
  Result<Way> FindWay();
  class OpenWalk;
  // By index: whether it is a regular file that is not open;
  bool IsClosed(size_t index) const;
  // whether the files before it are open;
  bool OpensInOrder(size_t index);
  // the directory that it is, if we know what that contains, or null.
  RefPtr<DirectoryInode> ListedBelow(size_t index);
  Result<void> WalkAhead(std::span<const std::string_view> names, uint32_t open_flags);
  Result<RefPtr<GoferInode>> CreateCall(gofer::Opcode opcode, std::string_view name, std::string_view target,
                                        const vfs::CreateOptions& options, uint32_t mode);
  Result<void> RemoveCall(std::string_view name, GoferInode& child, uint32_t flags);
  // `name` is now `child` (null: gone), by our own doing.
  void NoteName(std::string_view name, const GoferInode* child);

  std::unique_ptr<Contents> contents_;  // null: not all names are known
  uint64_t changes_ = 0;                // by us, so that a listing of several calls knows whether it is whole
  size_t next_to_open_ = 0;             // where in the listing OpenFiles has come
  size_t stat_run_ = 0;                 // how many the last call of StatFiles was to ask for
};

class DirectoryDescription final : public vfs::FileDescription {
 public:
  explicit DirectoryDescription(RefPtr<DirectoryInode> directory) : directory_(std::move(directory)) {}

  Result<void> ReadDir(absl::FunctionRef<bool(const vfs::DirectoryEntry&)> emit) override;
  Result<int64_t> Seek(int64_t offset, int whence) override;
  Result<void> Sync(bool data_only) override { return directory_->Sync(); }
  Result<size_t> ReadAt(const IoVec&, uint64_t, int) override { return Errno::kEISDIR; }

 private:
  const RefPtr<DirectoryInode> directory_;
  RefPtr<Listing> listing_;  // as of the last rewind
};

}  // namespace goferfs
