#include "vfs/fs/overlay/regular.h"

#include <fcntl.h>

#include <utility>

#include "vfs/file_description.h"

namespace overlay {

namespace {

// A file opened for reading before it was copied up. As in Linux, what is written to the copy is
// seen here from then on, while memory that was mapped before stays the lower layer's.
class LowerDescription final : public vfs::FileDescription {
 public:
  LowerDescription(RefPtr<RegularInode> inode, RefPtr<vfs::FileDescription> lower)
      : inode_(std::move(inode)), file_(std::move(lower)) {}

  Result<size_t> ReadAt(const IoVec& to, uint64_t offset, int rwf_flags) override {
    if (Stale()) TRY(Switch());
    return file_->ReadAt(to, offset, rwf_flags);
  }

  Result<int64_t> Seek(int64_t offset, int whence) override {
    if (whence != SEEK_DATA && whence != SEEK_HOLE) return FileDescription::Seek(offset, whence);
    if (Stale()) TRY(Switch());
    int64_t found = TRY(file_->Seek(offset, whence));
    offset_ = static_cast<uint64_t>(found);
    return found;
  }

  Result<void> Sync(bool data_only) override {
    // What the lower layer has is not ours to write.
    if (!inode_->upper()) return {};
    if (Stale()) TRY(Switch());
    return file_->Sync(data_only);
  }

  Result<RefPtr<vfs::Mappable>> Map() override {
    if (Stale()) TRY(Switch());
    return file_->Map();
  }

 private:
  bool Stale() const { return inode_->upper() && !switched_; }

  [[gnu::noinline]] Result<void> Switch() {
    RefPtr<vfs::FileDescription> upper = TRY(OpenLayer(*inode_->upper(), O_RDONLY));
    old_ = std::exchange(file_, std::move(upper));
    switched_ = true;
    return {};
  }

  const RefPtr<RegularInode> inode_;
  RefPtr<vfs::FileDescription> file_;
  RefPtr<vfs::FileDescription> old_;  // somebody may be reading from it just now
  bool switched_ = false;
};

}  // namespace

Result<RefPtr<vfs::FileDescription>> RegularInode::Open(const vfs::OpenOptions& options,
                                                        const Credentials& creds) {
  if ((options.flags & O_ACCMODE) != O_RDONLY) TRY(CopyUp());
  if (upper_) return upper_->Open(options, creds);
  if (!lower_dentry_) lower_dentry_ = DetachedDentry(*lower_);
  RefPtr<vfs::FileDescription> lower = TRY(OpenLayer(lower_dentry_, O_RDONLY));
  return RefPtr<vfs::FileDescription>(
      MakeRef<LowerDescription>(RefPtr<RegularInode>(this), std::move(lower)));
}

}  // namespace overlay
