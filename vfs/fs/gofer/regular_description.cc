// Reading, writing and mapping: one host call each, straight into application memory.

#include <fcntl.h>
#include <limits.h>
#include <linux/falloc.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>

#include "base/host.h"
#include "base/kernel_lock.h"
#include "base/memory_file.h"
#include "vfs/fs/gofer/regular.h"

namespace goferfs {

namespace {

// Reads up to this size are tried without dropping the kernel lock first: dropping it makes the platform look for somebody else to serve the
// other threads, which costs more than copying what is in the page cache.
constexpr size_t kMaxReadUnderLock = 64 * 1024;

int SyncFlags(int open_flags) {
  if ((open_flags & O_SYNC) == O_SYNC) return RWF_SYNC;
  return (open_flags & O_DSYNC) != 0 ? RWF_DSYNC : 0;
}

class RegularMappable final : public vfs::Mappable {
 public:
  RegularMappable(RefPtr<RegularInode> inode, RefPtr<HostFile> file)
      : fs_(&inode->fs()), inode_(std::move(inode)), file_(std::move(file)) {}
  ~RegularMappable() override {
    inode_->ForgetMappable(*this);
    file_.reset();
    inode_->HostFileReleased();
  }

  Result<Pages> Translate(uint64_t offset, uint64_t length, bool write) override {
    if (write && !file_->writable()) return Errno::kEACCES;
    uint64_t end = base::PageUp(TRY(inode_->Size()));
    if (offset >= end) return Errno::kENXIO;
    return Pages{.in_memory_file = false, .fd = file_->fd(), .offset = offset, .length = std::min(length, end - offset)};
  }

  Result<size_t> Read(void* to, uint64_t offset, size_t length) override {
    size_t done = 0;
    Result<ssize_t> n = ssize_t{0};
    {
      KernelLock::Unlocked unlocked;
      while (done < length) {
        n = HOST_RETRY(pread(file_->fd(), static_cast<char*>(to) + done, length - done, static_cast<off_t>(offset + done)));
        if (!n.ok() || *n == 0) break;
        done += static_cast<size_t>(*n);
      }
    }
    if (!n.ok()) return n.error();
    base::SafeZero(static_cast<char*>(to) + done, length - done);
    return done;
  }

  Result<uint64_t> Size() override { return inode_->Size(); }

  Result<void> Sync(uint64_t offset, uint64_t length) override {
    Result<int> synced = Errno::kEIO;
    KernelLock::Unlocked unlocked;
    synced = HOST_RETRY(fdatasync(file_->fd()));
    TRY(synced);
    return {};
  }

  Result<void> AddWritable() override {
    if (!file_->writable()) return Errno::kEACCES;
    inode_->writable_mappings++;
    inode_->NoteWritten();
    return {};
  }
  void RemoveWritable() override {
    inode_->writable_mappings--;
    inode_->gofer_fs().NoteWrite();
  }

  uint64_t FutexKey() override { return reinterpret_cast<uint64_t>(inode_.get()); }
  void AddMapper(Mapper* mapper) override { inode_->AddMapper(mapper); }
  void RemoveMapper(Mapper* mapper) override { inode_->RemoveMapper(mapper); }

 private:
  // A mapping may outlive the mount that the file was opened on.
  const RefPtr<vfs::FileSystem> fs_;
  const RefPtr<RegularInode> inode_;
  RefPtr<HostFile> file_;
};

}  // namespace

RegularDescription::~RegularDescription() {
  file_.reset();
  if (KernelLock::HeldByCurrentThread()) inode_->HostFileReleased();
}

Result<size_t> RegularDescription::ReadCached(const IoVec& to, uint64_t offset, int rwf_flags) {
  if (!file_->try_nowait || to.size() > kMaxReadUnderLock) return size_t{0};
  Result<ssize_t> n = HOST(preadv2(file_->fd(), to.data(), std::min(to.count(), IOV_MAX), static_cast<off_t>(offset), rwf_flags | RWF_NOWAIT));
  if (n.ok()) return static_cast<size_t>(*n);
  if (n.error() == Errno::kEOPNOTSUPP) file_->try_nowait = false;
  if (n.error() == Errno::kEAGAIN || n.error() == Errno::kEOPNOTSUPP || n.error() == Errno::kEINTR) return size_t{0};
  return n.error();
}

Result<size_t> RegularDescription::ReadAt(const IoVec& to, uint64_t offset, int rwf_flags) {
  if (to.empty() || inode_->KnownEnd(offset)) return size_t{0};
  size_t done = TRY(ReadCached(to, offset, rwf_flags));
  if (done == to.size() || inode_->KnownEnd(offset + done)) return done;
  if ((rwf_flags & RWF_NOWAIT) != 0 && done > 0) return done;
  IoVec tail;
  if (done > 0) tail = to.Slice(done, to.size() - done);
  const IoVec& rest = done > 0 ? tail : to;
  Result<ssize_t> n = ssize_t{0};
  {
    KernelLock::Unlocked unlocked;
    n = HOST_RETRY(preadv2(file_->fd(), rest.data(), std::min(rest.count(), IOV_MAX), static_cast<off_t>(offset + done), rwf_flags));
  }
  if (!n.ok()) return done > 0 ? Result<size_t>(done) : n.error();
  return done + static_cast<size_t>(*n);
}

Result<size_t> RegularDescription::WriteAt(const IoVec& from, uint64_t offset, int rwf_flags) {
  Result<ssize_t> n = ssize_t{0};
  rwf_flags |= SyncFlags(flags());
  {
    KernelLock::Unlocked unlocked;
    n = HOST_RETRY(pwritev2(file_->fd(), from.data(), std::min(from.count(), IOV_MAX), static_cast<off_t>(offset), rwf_flags));
  }
  inode_->NoteWritten();
  return static_cast<size_t>(TRY(n));
}

Result<size_t> RegularDescription::AppendWrite(const IoVec& from, uint64_t* end) {
  size_t n = TRY(WriteAt(from, 0, RWF_APPEND));
  *end = TRY(inode_->Size());
  return n;
}

Result<int64_t> RegularDescription::Seek(int64_t offset, int whence) {
  if (whence != SEEK_DATA && whence != SEEK_HOLE) return FileDescription::Seek(offset, whence);
  // Moves the host's position, which nothing else uses.
  int64_t found = TRY(HOST(lseek(file_->fd(), offset, whence)));
  offset_ = static_cast<uint64_t>(found);
  return found;
}

Result<void> RegularDescription::Truncate(uint64_t size) {
  if (!file_->writable()) return Errno::kEINVAL;
  return inode_->Truncate(*file_, size);
}

Result<void> RegularDescription::Allocate(int mode, uint64_t offset, uint64_t length) {
  constexpr int kModes = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE | FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_INSERT_RANGE | FALLOC_FL_UNSHARE_RANGE;
  if ((mode & ~kModes) != 0) return Errno::kEOPNOTSUPP;
  Result<int> done = Errno::kEIO;
  {
    KernelLock::Unlocked unlocked;
    done = HOST_RETRY(fallocate(file_->fd(), mode, static_cast<off_t>(offset), static_cast<off_t>(length)));
  }
  inode_->NoteWritten();
  TRY(done);
  if ((mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_UNSHARE_RANGE)) != 0) {
    bool moves = (mode & (FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_INSERT_RANGE)) != 0;
    inode_->InvalidateMappings(offset, moves ? INT64_MAX - offset : length);
  }
  return {};
}

Result<void> RegularDescription::Sync(bool data_only) {
  Result<int> done = Errno::kEIO;
  {
    KernelLock::Unlocked unlocked;
    done = HOST_RETRY(data_only ? fdatasync(file_->fd()) : fsync(file_->fd()));
  }
  TRY(done);
  return {};
}

Result<RefPtr<vfs::Mappable>> RegularDescription::Map() { return inode_->Map(file_); }

Result<RefPtr<vfs::Mappable>> RegularInode::Map(RefPtr<HostFile> file) {
  if (mappable_ != nullptr && mappable_file_ == file.get() && mappable_->TryIncRef()) return RefPtr<vfs::Mappable>::Adopt(mappable_);
  mappable_file_ = file.get();
  auto mappable = MakeRef<RegularMappable>(RefPtr<RegularInode>(this), std::move(file));
  mappable_ = mappable.get();
  return RefPtr<vfs::Mappable>(std::move(mappable));
}

void RegularInode::ForgetMappable(const vfs::Mappable& mappable) {
  if (mappable_ == &mappable) mappable_ = nullptr;
}

}  // namespace goferfs
