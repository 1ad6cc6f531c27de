#pragma once

// Directories. In exclusive mode a directory that was listed whole (up to a bound) remembers all its names, with the attributes that the listing
// brought: lookups of other names then fail, and the first lookup of each of these succeeds, without a call.

#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "vfs/file_description.h"
#include "vfs/fs/gofer/inode.h"

namespace goferfs {

// The entries of a directory at one moment. Immutable once published; descriptions that read it share it.
struct Listing : public RefCounted {
  struct Entry {
    std::string name;
    uint64_t ino;  // as applications see it
    uint8_t type;  // DT_*
  };
  std::vector<Entry> entries;
};

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

 private:
  struct Prefetched {
    explicit Prefetched(const gofer::WireAttributes& from) : attributes(from) { count++; }
    ~Prefetched() { count--; }
    Prefetched(const Prefetched&) = delete;
    Prefetched& operator=(const Prefetched&) = delete;
    const gofer::WireAttributes attributes;
    static inline size_t count = 0;  // in all directories
  };
  // What is known of a name in a directory whose names are all known.
  struct Known {
    uint64_t ino = 0;  // visible
    uint8_t type = 0;
    // From the listing, until an inode was made of it, which knows better then.
    std::unique_ptr<Prefetched> attributes;
  };
  using Names = std::map<std::string, Known, std::less<>>;

  Result<void> WalkAhead(std::span<const std::string_view> names, uint32_t open_flags);
  Result<RefPtr<GoferInode>> CreateCall(gofer::Opcode opcode, std::string_view name, std::string_view target,
                                        const vfs::CreateOptions& options, uint32_t mode);
  Result<void> RemoveCall(std::string_view name, GoferInode& child, uint32_t flags);
  // `name` is now `child` (null: gone), by our own doing.
  void NoteName(std::string_view name, const GoferInode* child);
  void Forget();

  std::unique_ptr<Names> names_;  // null: not all are known
  RefPtr<Listing> listing_;       // the same as a listing; null: to be made of names_
  uint64_t changes_ = 0;          // by us, so that a listing of several calls knows whether it is whole
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
