#pragma once

// A regular file of a tmpfs and its open descriptions. memfds are such files too.

#include "vfs/file_description.h"
#include "vfs/fs/tmpfs/file_data.h"
#include "vfs/fs/tmpfs/inode.h"

namespace tmpfs {

class RegularFile final : public TmpInode {
 public:
  RegularFile(TmpFileSystem* fs, const vfs::CreateOptions& options);

  Result<RefPtr<vfs::FileDescription>> Open(const vfs::OpenOptions& options, const Credentials& creds) override;

  const RefPtr<FileData>& data() const { return data_; }

 private:
  friend class RegularDescription;
  void FillStat(vfs::Attributes* attr) override;
  Result<void> SetSize(uint64_t size) override;

  const RefPtr<FileData> data_;
};

class RegularDescription final : public vfs::FileDescription {
 public:
  static inline char kKind;

  explicit RegularDescription(RefPtr<RegularFile> file) : file_(std::move(file)) {}

  RegularFile& file() const { return *file_; }
  const void* kind() const override { return &kKind; }

  Result<size_t> ReadAt(const IoVec& to, uint64_t offset, int rwf_flags) override;
  Result<size_t> WriteAt(const IoVec& from, uint64_t offset, int rwf_flags) override;
  Result<size_t> AppendWrite(const IoVec& from, uint64_t* end) override;
  Result<int64_t> Seek(int64_t offset, int whence) override;
  Result<void> Allocate(int mode, uint64_t offset, uint64_t length) override;
  Result<void> Sync(bool) override { return {}; }
  Result<RefPtr<vfs::Mappable>> Map() override { return RefPtr<vfs::Mappable>(file_->data()); }
  std::string LinkName() override;

 private:
  const RefPtr<RegularFile> file_;
};

}  // namespace tmpfs
