#pragma once

// Regular files. Data goes through descriptors that the gofer gave away: at most one for reading and one for both an inode, shared by all
// descriptions and mappings and kept after the last close (vfs/fs/gofer/host_file.h bounds how many).

#include <vector>

#include "vfs/file_description.h"
#include "vfs/fs/gofer/host_file.h"
#include "vfs/fs/gofer/inode.h"
#include "vfs/mappable.h"

namespace goferfs {

class RegularInode final : public GoferInode, private HostFileHolder {
 public:
  RegularInode(GoferFileSystem* fs, gofer::Handle handle, const gofer::WireAttributes& attributes) : GoferInode(fs, handle, attributes) {}

  Result<void> SetAttr(const vfs::SetAttributes& changes) override;
  Result<RefPtr<vfs::FileDescription>> Open(const vfs::OpenOptions& options, const Credentials& creds) override;
  bool open_truncates() const override { return true; }
  bool attributes_changed() const override { return dirty_; }

  // The descriptor to use; asks the gofer only where there is none yet.
  enum class Access { kRead, kReadWrite };
  Result<RefPtr<HostFile>> EnsureHostFile(Access access);
  bool opened() const { return read_ || read_write_; }
  // One that came with another reply.
  void AdoptFd(Fd fd, bool writable);
  // A user of a host file is gone.
  void HostFileReleased();

  // The host file changed by something that does not tell the attributes: they are read again (fstat, no gofer) when asked for.
  void NoteWritten() {
    dirty_ = true;
    gofer_fs().NoteWrite();
  }
  Result<uint64_t> Size();
  // Whether `offset` is known to be at or behind the end, without asking.
  bool KnownEnd(uint64_t offset) const { return !dirty_ && !gofer_fs().shared() && offset >= attributes_.size; }
  Result<void> Truncate(HostFile& file, uint64_t size);

  // The same Mappable for as long as one is in use and the host file is the same, so that neighbouring mappings can be merged.
  Result<RefPtr<vfs::Mappable>> Map(RefPtr<HostFile> file);
  void ForgetMappable(const vfs::Mappable& mappable);
  // Mappings of the file, all its Mappables together.
  void AddMapper(vfs::Mappable::Mapper* mapper) { mappers_.push_back(mapper); }
  void RemoveMapper(vfs::Mappable::Mapper* mapper);
  void InvalidateMappings(uint64_t offset, uint64_t length);
  int writable_mappings = 0;

 protected:
  Result<void> Refresh() override;

 private:
  void DropIdleHostFiles() override;
  void RefreshFrom(const HostFile& file);
  Result<Fd> OpenCall(uint32_t flags);

  RefPtr<HostFile> read_, read_write_;
  bool dirty_ = false;
  std::vector<vfs::Mappable::Mapper*> mappers_;
  vfs::Mappable* mappable_ = nullptr;  // weak, the last one made
  const HostFile* mappable_file_ = nullptr;
};

class RegularDescription final : public vfs::FileDescription {
 public:
  RegularDescription(RefPtr<RegularInode> inode, RefPtr<HostFile> file) : inode_(std::move(inode)), file_(std::move(file)) {}
  ~RegularDescription() override;

  Result<size_t> ReadAt(const IoVec& to, uint64_t offset, int rwf_flags) override;
  Result<size_t> WriteAt(const IoVec& from, uint64_t offset, int rwf_flags) override;
  Result<size_t> AppendWrite(const IoVec& from, uint64_t* end) override;
  Result<int64_t> Seek(int64_t offset, int whence) override;
  Result<void> Truncate(uint64_t size) override;
  Result<void> Allocate(int mode, uint64_t offset, uint64_t length) override;
  Result<void> Sync(bool data_only) override;
  Result<RefPtr<vfs::Mappable>> Map() override;

 private:
  // Whatever is in the host's page cache, without blocking and so without dropping the kernel lock.
  Result<size_t> ReadCached(const IoVec& to, uint64_t offset, int rwf_flags);

  const RefPtr<RegularInode> inode_;
  RefPtr<HostFile> file_;
};

}  // namespace goferfs
