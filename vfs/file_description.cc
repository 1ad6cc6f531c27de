#include "vfs/file_description.h"

#include <limits.h>

#include "vfs/anonymous.h"
#include "vfs/file_lock.h"
#include "vfs/operations.h"
#include "vfs/watch.h"

namespace vfs {

void FileDescription::Init(Path path, int flags, RefPtr<const Credentials> creds) {
  path_ = std::move(path);
  flags_ = flags;
  creds_ = std::move(creds);
  if (!path_.dentry || path_.dentry->negative()) return;
  inode().open_count++;
  // A memfd may be executed while the description that made it is open.
  counted_as_writer_ = writable() && S_ISREG(path_.dentry->type()) && path_.mount != AnonymousMount();
  if (counted_as_writer_) inode().write_count++;
}

FileDescription::~FileDescription() = default;

void FileDescription::OnZeroRefs() {
  while (Hook* hook = hooks_) {
    hook->Unlink();
    hook->OnRelease();
  }
  if (path_.dentry && !path_.dentry->negative()) {
    Inode& node = inode();
    if (node.locks) ReleaseDescriptionLocks(*this);
    node.open_count--;
    if (counted_as_writer_) node.write_count--;
    if (denies_writes_) AllowWriteAccess(node);
    if (watch_count != 0 && (flags_ & O_PATH) == 0) {
      ReportObject(*path_.dentry, writable() ? IN_CLOSE_WRITE : IN_CLOSE_NOWRITE);
    }
  }
  // The object goes before its place does: what a derived class points to lives in there. A last reader of a removed file
  // is what inotify waits for.
  Path path = path_;
  delete this;
  if (watch_count != 0 && path.dentry && path.dentry->unlinked()) ReportGoneIfUnused(*path.dentry);
}

Inode& FileDescription::inode() const { return *path_.dentry->inode(); }

Result<size_t> FileDescription::Read(const IoVec& to) {
  size_t done = TRY(ReadAt(to, offset_, 0));
  offset_ += done;
  return done;
}

Result<size_t> FileDescription::Write(const IoVec& from) {
  if ((flags_ & O_APPEND) != 0) {
    uint64_t end = offset_;
    size_t done = TRY(AppendWrite(from, &end));
    offset_ = end;
    return done;
  }
  size_t done = TRY(WriteAt(from, offset_, 0));
  offset_ += done;
  return done;
}

Result<size_t> FileDescription::AppendWrite(const IoVec& from, uint64_t* end) {
  uint64_t size = TRY(Stat()).size;
  size_t done = TRY(WriteAt(from, size, 0));
  *end = size + done;
  return done;
}

Result<int64_t> FileDescription::Seek(int64_t offset, int whence) {
  int64_t base = 0;
  switch (whence) {
    case SEEK_SET:
      break;
    case SEEK_CUR:
      // Asking for the position needs no size.
      base = static_cast<int64_t>(offset_);
      break;
    case SEEK_END:
      base = static_cast<int64_t>(TRY(Stat()).size);
      break;
    case SEEK_DATA:
    case SEEK_HOLE: {
      // One piece of data with the implicit hole at its end.
      uint64_t size = TRY(Stat()).size;
      if (offset < 0 || static_cast<uint64_t>(offset) >= size) return Errno::kENXIO;
      if (whence == SEEK_HOLE) offset = static_cast<int64_t>(size);
      break;
    }
    default:
      return Errno::kEINVAL;
  }
  int64_t target;
  if (__builtin_add_overflow(base, offset, &target) || target < 0) return Errno::kEINVAL;
  offset_ = static_cast<uint64_t>(target);
  return target;
}

Result<void> FileDescription::Truncate(uint64_t size) {
  if (!S_ISREG(inode().type())) return Errno::kEINVAL;
  return vfs::Truncate(path_, size, creds_.get());
}

Result<void> FileDescription::DenyWrites() {
  if (denies_writes_) return {};
  TRY(DenyWriteAccess(inode()));
  denies_writes_ = true;
  return {};
}

Result<Attributes> FileDescription::Stat() { return inode().Stat(); }

}  // namespace vfs
