#include "vfs/fs/tmpfs/regular.h"

#include <linux/falloc.h>
#include <linux/fs.h>

#include "base/event_loop.h"
#include "vfs/anonymous.h"
#include "vfs/operations.h"

namespace tmpfs {

RegularFile::RegularFile(TmpFileSystem* fs, const vfs::CreateOptions& options)
    : TmpInode(fs, options), data_(MakeRef<FileData>(fs->space())) {
  data_->seals = F_SEAL_SEAL;
}

void RegularFile::FillStat(vfs::Attributes* attr) {
  attr->size = data_->size();
  attr->blocks = data_->data_pages() * (kPageSize / 512);
}

Result<void> RegularFile::SetSize(uint64_t size) {
  TRY(data_->SetSize(size));
  mtime_ = base::RealtimeNow();
  return {};
}

Result<RefPtr<vfs::FileDescription>> RegularFile::Open(const vfs::OpenOptions& options, const Credentials& creds) {
  return RefPtr<vfs::FileDescription>(MakeRef<RegularDescription>(RefPtr<RegularFile>(this)));
}

Result<size_t> RegularDescription::ReadAt(const IoVec& to, uint64_t offset, int rwf_flags) {
  RegularFile& file = *file_;
  size_t done = TRY(file.data_->ReadAt(to, offset));
  // A time stamp is wanted for few reads: the clock is only asked when one may be due.
  if (done > 0 && (flags() & O_NOATIME) == 0) {
    int64_t now = base::RealtimeNow();
    if (vfs::AtimeNeedsUpdate(path(), flags(), file.atime_, file.mtime_, file.ctime_, now)) file.atime_ = now;
  }
  return done;
}

Result<size_t> RegularDescription::WriteAt(const IoVec& from, uint64_t offset, int rwf_flags) {
  if ((rwf_flags & RWF_APPEND) != 0) offset = file_->data_->size();
  size_t done = TRY(file_->data_->WriteAt(from, offset));
  if (done > 0) file_->Modified();
  return done;
}

Result<size_t> RegularDescription::AppendWrite(const IoVec& from, uint64_t* end) {
  uint64_t size = file_->data_->size();
  size_t done = TRY(file_->data_->WriteAt(from, size));
  if (done > 0) file_->Modified();
  *end = size + done;
  return done;
}

Result<int64_t> RegularDescription::Seek(int64_t offset, int whence) {
  if (whence != SEEK_DATA && whence != SEEK_HOLE) return FileDescription::Seek(offset, whence);
  if (offset < 0) return Errno::kENXIO;
  auto from = static_cast<uint64_t>(offset);
  offset_ = TRY(whence == SEEK_DATA ? file_->data_->SeekData(from) : file_->data_->SeekHole(from));
  return static_cast<int64_t>(offset_);
}

Result<void> RegularDescription::Allocate(int mode, uint64_t offset, uint64_t length) {
  const bool keep_size = (mode & FALLOC_FL_KEEP_SIZE) != 0;
  FileData& data = *file_->data_;
  switch (mode & ~FALLOC_FL_KEEP_SIZE) {
    case 0:
      TRY(data.Allocate(offset, length, keep_size));
      break;
    case FALLOC_FL_PUNCH_HOLE:
      if (!keep_size) return Errno::kEOPNOTSUPP;
      TRY(data.PunchHole(offset, length));
      break;
    case FALLOC_FL_ZERO_RANGE:
      TRY(data.ZeroRange(offset, length, keep_size));
      break;
    default:
      return Errno::kEOPNOTSUPP;
  }
  file_->Modified();
  return {};
}

// memfds have no place in any tree.
std::string RegularDescription::LinkName() {
  if (!path().mount || !vfs::IsAnonymousMount(*path().mount)) return "";
  return "/" + path().dentry->name() + " (deleted)";
}

}  // namespace tmpfs
