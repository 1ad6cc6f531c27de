#include "vfs/fs/gofer/regular.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/host.h"
#include "base/kernel_lock.h"
#include "base/memory_file.h"
#include "vfs/fs/gofer/directory.h"

namespace goferfs {

using gofer::Opcode;

void RegularInode::AdoptFd(Fd fd, bool writable) {
  RefPtr<HostFile>& place = writable ? read_write_ : read_;
  if (place || (!writable && read_write_)) return;
  // A gofer that was taken over could send anything: a device to map, a socket that never answers.
  struct stat st;
  if (!HOST(fstat(fd.get(), &st)).ok() || !S_ISREG(st.st_mode)) return;
  place = MakeRef<HostFile>(connection().host_files(), std::move(fd), writable);
  // The one for both will do for those who come to read.
  if (writable) read_.reset();
  connection().host_files().Touch(*this);
}

Result<Fd> RegularInode::OpenCall(uint32_t flags) {
  gofer::Handle handle = TRY(EnsureHandle());
  Exchange exchange(connection());
  exchange.Begin(Opcode::kOpen, handle);
  exchange.Put(gofer::OpenRequest{flags});
  TRY(exchange.Run());
  Fd fd = exchange.TakeFd();
  // It was sent, but our table is full.
  if (!fd.valid()) return Errno::kENFILE;
  return fd;
}

Result<RefPtr<HostFile>> RegularInode::EnsureHostFile(Access access) {
  auto found = [&]() -> const RefPtr<HostFile>& { return read_write_ || access == Access::kReadWrite ? read_write_ : read_; };
  if (!found()) {
    uint32_t flags = access == Access::kReadWrite ? O_RDWR : O_RDONLY;
    Fd fd;
    // The walk to it can bring the descriptor along; when it does not, the call that asks for just that says why.
    // One that was opened ahead may be on its way.
    connection().Settle();
    if (!found() && !has_handle() && access == Access::kRead && !gofer_fs().shared() && parent()) {
      RefPtr<DirectoryInode> directory = parent();
      (void)directory->OpenFiles(std::string(name()));
    }
    if (!found()) {
      if (!has_handle()) fd = TRY(FindAgain(gofer::kWalkOpen | flags)).fd;
      if (!fd.valid()) fd = TRY(OpenCall(flags));
      AdoptFd(std::move(fd), access == Access::kReadWrite);
    }
  }
  if (!found()) return Errno::kEIO;
  RefPtr<HostFile> file = found();
  gofer_fs().NoteOpened(*this);
  connection().host_files().Touch(*this);
  return file;
}

void RegularInode::HostFileReleased() { connection().host_files().Touch(*this); }

void RegularInode::DropIdleHostFiles() {
  RefPtr<HostFile>& any = read_write_ ? read_write_ : read_;
  if (dirty_ && any) RefreshFrom(*any);
  if (read_ && read_->refs() == 1) read_.reset();
  if (read_write_ && read_write_->refs() == 1) read_write_.reset();
}

void RegularInode::RefreshFrom(const HostFile& file) {
  struct stat st;
  // Not worth dropping the kernel lock: the inode is in the host's memory.
  if (!HOST(fstat(file.fd(), &st)).ok()) return;
  auto nanoseconds = [](const timespec& t) { return t.tv_sec * 1'000'000'000 + t.tv_nsec; };
  attributes_.mode = (st.st_mode & 07777) | S_IFREG;
  attributes_.nlink = static_cast<uint32_t>(st.st_nlink);
  attributes_.uid = st.st_uid;
  attributes_.gid = st.st_gid;
  attributes_.size = static_cast<uint64_t>(st.st_size);
  attributes_.blocks = static_cast<uint64_t>(st.st_blocks);
  attributes_.atime = nanoseconds(st.st_atim);
  attributes_.mtime = nanoseconds(st.st_mtim);
  attributes_.ctime = nanoseconds(st.st_ctim);
  dirty_ = writable_mappings > 0;
}

Result<void> RegularInode::Refresh() {
  const RefPtr<HostFile>& any = read_write_ ? read_write_ : read_;
  if (any && (dirty_ || gofer_fs().shared())) {
    RefreshFrom(*any);
    return {};
  }
  return GoferInode::Refresh();
}

Result<uint64_t> RegularInode::Size() {
  TRY(Refresh());
  return uint64_t{attributes_.size};
}

Result<void> RegularInode::SetAttr(const vfs::SetAttributes& changes) {
  TRY(Refresh());
  uint64_t old_size = attributes_.size;
  if (changes.valid == vfs::SetAttributes::kSize && read_write_) {
    RefPtr<HostFile> file = read_write_;
    return Truncate(*file, changes.size);
  }
  TRY(GoferInode::SetAttr(changes));
  dirty_ = writable_mappings > 0;
  if ((changes.valid & vfs::SetAttributes::kSize) != 0 && changes.size < old_size) InvalidateMappings(changes.size, old_size - changes.size);
  return {};
}

Result<void> RegularInode::Truncate(HostFile& file, uint64_t size) {
  if (size > INT64_MAX) return Errno::kEINVAL;
  TRY(gofer_fs().CheckWritable());
  TRY(Refresh());
  uint64_t old_size = attributes_.size;
  Result<int> done = Errno::kEIO;
  {
    KernelLock::Unlocked unlocked;
    done = HOST_RETRY(ftruncate(file.fd(), static_cast<off_t>(size)));
  }
  TRY(done);
  NoteWritten();
  if (size < old_size) InvalidateMappings(size, old_size - size);
  return {};
}

Result<RefPtr<vfs::FileDescription>> RegularInode::Open(const vfs::OpenOptions& options, const Credentials& creds) {
  bool write = (options.flags & O_ACCMODE) != O_RDONLY;
  bool truncate = (options.flags & O_TRUNC) != 0;
  if (write || truncate) TRY(gofer_fs().CheckWritable());
  RefPtr<HostFile> file = TRY(EnsureHostFile(write || truncate ? Access::kReadWrite : Access::kRead));
  if (truncate) TRY(Truncate(*file, 0));
  return RefPtr<vfs::FileDescription>(MakeRef<RegularDescription>(RefPtr<RegularInode>(this), std::move(file)));
}

void RegularInode::RemoveMapper(vfs::Mappable::Mapper* mapper) {
  auto it = std::find(mappers_.begin(), mappers_.end(), mapper);
  if (it != mappers_.end()) mappers_.erase(it);
}

void RegularInode::InvalidateMappings(uint64_t offset, uint64_t length) {
  // A mapper may leave the list meanwhile.
  std::vector<vfs::Mappable::Mapper*> mappers = mappers_;
  for (vfs::Mappable::Mapper* mapper : mappers) {
    if (std::find(mappers_.begin(), mappers_.end(), mapper) != mappers_.end()) mapper->InvalidateMappings(offset, length);
  }
}

}  // namespace goferfs
