// read(2), write(2), readv(2), pread(2), preadv2(2), lseek(2), truncate(2), fallocate(2), fsync(2), readahead(2),
// posix_fadvise(2).

#include <sys/stat.h>

#include "sentry/kernel/kernel.h"
#include "syscalls/handlers.h"
#include "syscalls/io_util.h"
#include "vfs/operations.h"

namespace syscalls {

Result<UserRanges> ReadIovecs(Task& task, UserAddress iov, uint64_t count) {
  if (count > IOV_MAX) return Errno::kEINVAL;
  std::vector<iovec> entries(count);
  TRY(task.mm().CopyIn(entries.data(), iov, count * sizeof(iovec)));
  UserRanges ranges;
  size_t total = 0;
  for (const iovec& entry : entries) {
    if (static_cast<ssize_t>(entry.iov_len) < 0) return Errno::kEINVAL;
    size_t length = std::min(entry.iov_len, kMaxTransfer - total);
    total += length;
    ranges.emplace_back(reinterpret_cast<UserAddress>(entry.iov_base), length);
  }
  return ranges;
}

size_t TotalSize(const UserRanges& ranges) {
  size_t total = 0;
  for (const auto& range : ranges) total += range.second;
  return total;
}

UserRanges Skip(const UserRanges& ranges, size_t done) {
  UserRanges rest;
  for (const auto& [address, length] : ranges) {
    if (done >= length) {
      done -= length;
      continue;
    }
    rest.emplace_back(address + done, length - done);
    done = 0;
  }
  return rest;
}

namespace {

Result<mm::Pinned> PinRanges(Task& task, const UserRanges& ranges, bool write) {
  if (ranges.size() == 1) return task.mm().Pin(ranges[0].first, ranges[0].second, write);
  return task.mm().PinVector(ranges, write);
}

constexpr int kKnownRwf = RWF_HIPRI | RWF_DSYNC | RWF_SYNC | RWF_NOWAIT | RWF_APPEND;

}  // namespace

Result<uint64_t> ReadFile(Task& task, vfs::FileDescription& file, const UserRanges& ranges, int64_t offset, int rwf_flags) {
  if (!file.readable()) return Errno::kEBADF;
  if ((rwf_flags & ~kKnownRwf) != 0 || (rwf_flags & RWF_APPEND) != 0) return Errno::kEOPNOTSUPP;
  if (TotalSize(ranges) == 0) {
    // Errors that do not depend on the buffer still show.
    IoVec nothing;
    if (file.stream() || file.wait_queue() != nullptr) return 0;
    return static_cast<uint64_t>(TRY(offset < 0 ? file.Read(nothing) : file.ReadAt(nothing, static_cast<uint64_t>(offset), 0)));
  }
  // The buffer is looked up anew for each attempt: mappings may change while the call blocks.
  size_t got = TRY(WhileNotReady(file, EPOLLIN, [&]() -> Result<size_t> {
    mm::Pinned buffer = TRY(PinRanges(task, ranges, true));
    if (offset < 0) return file.Read(buffer.io());
    return file.ReadAt(buffer.io(), static_cast<uint64_t>(offset), rwf_flags);
  }));
  vfs::NotifyAccessed(file);
  return got;
}

namespace {

// RLIMIT_FSIZE: how much of `size` at the position may be written; EFBIG and SIGXFSZ when nothing.
Result<size_t> LimitFileSize(Task& task, vfs::FileDescription& file, int64_t offset, size_t size) {
  uint64_t limit = task.thread_group().Limit(RLIMIT_FSIZE);
  if (limit == RLIM_INFINITY || !S_ISREG(file.inode().type())) return size;
  uint64_t at = offset >= 0 ? static_cast<uint64_t>(offset) : file.offset();
  if ((file.flags() & O_APPEND) != 0) at = TRY(file.Stat()).size;
  if (at >= limit) {
    task.SendSignal(kernel::MakeSignalInfo(SIGXFSZ, SI_KERNEL));
    return Errno::kEFBIG;
  }
  return std::min<uint64_t>(size, limit - at);
}

}  // namespace

Result<uint64_t> WriteFile(Task& task, vfs::FileDescription& file, const UserRanges& all, int64_t offset, int rwf_flags) {
  if (!file.writable()) return Errno::kEBADF;
  if ((rwf_flags & ~kKnownRwf) != 0) return Errno::kEOPNOTSUPP;
  size_t size = TotalSize(all);
  if (size == 0) {
    IoVec nothing;
    if (file.stream() || file.wait_queue() != nullptr) return 0;
    return static_cast<uint64_t>(TRY(offset < 0 ? file.Write(nothing) : file.WriteAt(nothing, static_cast<uint64_t>(offset), 0)));
  }
  const UserRanges* ranges = &all;
  UserRanges cut;
  size_t allowed = TRY(LimitFileSize(task, file, offset, size));
  if (allowed < size) {
    for (size_t left = allowed; const auto& [address, length] : all) {
      if (left == 0) break;
      cut.emplace_back(address, std::min(left, length));
      left -= cut.back().second;
    }
    ranges = &cut;
    size = allowed;
  }
  TRY(vfs::PrepareWrite(file, *task.creds()));
  size_t done = 0;
  UserRanges rest;
  for (;;) {
    Result<size_t> written = WhileNotReady(file, EPOLLOUT, [&]() -> Result<size_t> {
      mm::Pinned buffer = TRY(PinRanges(task, *ranges, false));
      if (offset < 0 && (rwf_flags & RWF_APPEND) == 0) return file.Write(buffer.io());
      if (offset < 0 || (rwf_flags & RWF_APPEND) != 0) {
        uint64_t end;
        return file.AppendWrite(buffer.io(), &end);
      }
      // pwrite(2), BUGS: on an O_APPEND file Linux appends whatever the offset.
      if ((file.flags() & O_APPEND) != 0 && !file.stream()) {
        uint64_t end;
        return file.AppendWrite(buffer.io(), &end);
      }
      return file.WriteAt(buffer.io(), static_cast<uint64_t>(offset), rwf_flags);
    });
    if (!written.ok()) {
      if (done > 0) return done;
      if (written.error() == Errno::kEPIPE && file.stream()) task.SendSignal(kernel::MakeSignalInfo(SIGPIPE, SI_USER, task.tgid(), task.creds()->ruid));
      return written.error();
    }
    done += *written;
    if (done >= size || !file.stream() || file.nonblocking() || *written == 0) break;
    rest = Skip(all, done);
    ranges = &rest;
  }
  vfs::NotifyModified(file);
  if ((rwf_flags & (RWF_SYNC | RWF_DSYNC)) != 0 || (file.flags() & (O_SYNC | O_DSYNC)) != 0) {
    if (S_ISREG(file.inode().type())) TRY(file.Sync((rwf_flags & RWF_SYNC) == 0 && (file.flags() & O_SYNC) != O_SYNC));
  }
  return done;
}

Result<uint64_t> SysRead(Task& task, FdArg fd, UserAddress buffer, size_t size) {
  RefPtr<vfs::FileDescription> file = TRY(task.GetIoFile(fd));
  if (static_cast<ssize_t>(size) < 0) return Errno::kEINVAL;
  return ReadFile(task, *file, {{buffer, std::min(size, kMaxTransfer)}}, -1, 0);
}
Result<uint64_t> SysWrite(Task& task, FdArg fd, UserAddress buffer, size_t size) {
  RefPtr<vfs::FileDescription> file = TRY(task.GetIoFile(fd));
  if (static_cast<ssize_t>(size) < 0) return Errno::kEINVAL;
  return WriteFile(task, *file, {{buffer, std::min(size, kMaxTransfer)}}, -1, 0);
}
Result<uint64_t> SysPread64(Task& task, FdArg fd, UserAddress buffer, size_t size, int64_t offset) {
  if (offset < 0) return Errno::kEINVAL;
  RefPtr<vfs::FileDescription> file = TRY(task.GetIoFile(fd));
  if (static_cast<ssize_t>(size) < 0) return Errno::kEINVAL;
  return ReadFile(task, *file, {{buffer, std::min(size, kMaxTransfer)}}, offset, 0);
}
Result<uint64_t> SysPwrite64(Task& task, FdArg fd, UserAddress buffer, size_t size, int64_t offset) {
  if (offset < 0) return Errno::kEINVAL;
  RefPtr<vfs::FileDescription> file = TRY(task.GetIoFile(fd));
  if (static_cast<ssize_t>(size) < 0) return Errno::kEINVAL;
  return WriteFile(task, *file, {{buffer, std::min(size, kMaxTransfer)}}, offset, 0);
}

Result<uint64_t> SysReadv(Task& task, FdArg fd, UserAddress iov, uint64_t count) {
  RefPtr<vfs::FileDescription> file = TRY(task.GetIoFile(fd));
  return ReadFile(task, *file, TRY(ReadIovecs(task, iov, count)), -1, 0);
}
Result<uint64_t> SysWritev(Task& task, FdArg fd, UserAddress iov, uint64_t count) {
  RefPtr<vfs::FileDescription> file = TRY(task.GetIoFile(fd));
  return WriteFile(task, *file, TRY(ReadIovecs(task, iov, count)), -1, 0);
}
Result<uint64_t> SysPreadv(Task& task, FdArg fd, UserAddress iov, uint64_t count, int64_t offset) {
  if (offset < 0) return Errno::kEINVAL;
  RefPtr<vfs::FileDescription> file = TRY(task.GetIoFile(fd));
  return ReadFile(task, *file, TRY(ReadIovecs(task, iov, count)), offset, 0);
}
Result<uint64_t> SysPwritev(Task& task, FdArg fd, UserAddress iov, uint64_t count, int64_t offset) {
  if (offset < 0) return Errno::kEINVAL;
  RefPtr<vfs::FileDescription> file = TRY(task.GetIoFile(fd));
  return WriteFile(task, *file, TRY(ReadIovecs(task, iov, count)), offset, 0);
}
// The high half of the offset is an argument of its own, unused on 64-bit machines.
Result<uint64_t> SysPreadv2(Task& task, FdArg fd, UserAddress iov, uint64_t count, int64_t offset, uint64_t, int flags) {
  if (offset < -1) return Errno::kEINVAL;
  RefPtr<vfs::FileDescription> file = TRY(task.GetIoFile(fd));
  return ReadFile(task, *file, TRY(ReadIovecs(task, iov, count)), offset, flags);
}
Result<uint64_t> SysPwritev2(Task& task, FdArg fd, UserAddress iov, uint64_t count, int64_t offset, uint64_t, int flags) {
  if (offset < -1) return Errno::kEINVAL;
  RefPtr<vfs::FileDescription> file = TRY(task.GetIoFile(fd));
  return WriteFile(task, *file, TRY(ReadIovecs(task, iov, count)), offset, flags);
}

Result<uint64_t> SysLseek(Task& task, FdArg fd, int64_t offset, int whence) {
  RefPtr<vfs::FileDescription> file = TRY(task.GetIoFile(fd));
  return static_cast<uint64_t>(TRY(file->Seek(offset, whence)));
}

Result<uint64_t> SysTruncate(Task& task, PathArg path, int64_t length) {
  std::string name = TRY(path.Read(task));
  if (length < 0) return Errno::kEINVAL;
  vfs::WalkContext context = task.WalkFromCwd();
  vfs::Path place = TRY(vfs::Walk(context, name, vfs::kWalkFollow));
  if (S_ISDIR(place.inode().type())) return Errno::kEISDIR;
  if (!S_ISREG(place.inode().type())) return Errno::kEINVAL;
  TRY(vfs::Access(context, place, W_OK));
  TRY(vfs::SetAttr(context, place, {.valid = vfs::SetAttributes::kSize, .size = static_cast<uint64_t>(length)}));
  return 0;
}

Result<uint64_t> SysFtruncate(Task& task, FdArg fd, int64_t length) {
  RefPtr<vfs::FileDescription> file = TRY(task.GetIoFile(fd));
  if (length < 0 || !S_ISREG(file->inode().type()) || !file->writable()) return Errno::kEINVAL;
  uint64_t limit = task.thread_group().Limit(RLIMIT_FSIZE);
  if (static_cast<uint64_t>(length) > limit) {
    task.SendSignal(kernel::MakeSignalInfo(SIGXFSZ, SI_KERNEL));
    return Errno::kEFBIG;
  }
  TRY(file->Truncate(static_cast<uint64_t>(length)));
  return 0;
}

Result<uint64_t> SysFallocate(Task& task, FdArg fd, int mode, int64_t offset, int64_t length) {
  RefPtr<vfs::FileDescription> file = TRY(task.GetIoFile(fd));
  if (offset < 0 || length <= 0) return Errno::kEINVAL;
  if (!file->writable()) return Errno::kEBADF;
  uint32_t type = file->inode().type();
  if (S_ISFIFO(type)) return Errno::kESPIPE;
  if (!S_ISREG(type)) return Errno::kENODEV;
  if (offset > INT64_MAX - length) return Errno::kEFBIG;
  TRY(file->Allocate(mode, static_cast<uint64_t>(offset), static_cast<uint64_t>(length)));
  return 0;
}

Result<uint64_t> SysFsync(Task& task, FdArg fd) {
  RefPtr<vfs::FileDescription> file = TRY(task.GetIoFile(fd));
  TRY(file->Sync(false));
  return 0;
}
Result<uint64_t> SysFdatasync(Task& task, FdArg fd) {
  RefPtr<vfs::FileDescription> file = TRY(task.GetIoFile(fd));
  TRY(file->Sync(true));
  return 0;
}
Result<uint64_t> SysSyncFileRange(Task& task, FdArg fd, int64_t offset, int64_t length, FlagsArg flags) {
  RefPtr<vfs::FileDescription> file = TRY(task.GetIoFile(fd));
  if ((flags.value & ~7ull) != 0 || offset < 0 || length < 0) return Errno::kEINVAL;
  if (S_ISFIFO(file->inode().type()) || S_ISSOCK(file->inode().type())) return Errno::kESPIPE;
  TRY(file->Sync(true));
  return 0;
}
Result<uint64_t> SysSync(Task& task) {
  for (vfs::Mount* mount : task.namespaces.mount->List()) {
    RefPtr<vfs::FileSystem> fs = mount->fs();
    (void)fs->Sync().ok();  // sync(2) cannot fail
  }
  return 0;
}
Result<uint64_t> SysSyncfs(Task& task, FdArg fd) {
  RefPtr<vfs::FileDescription> file = TRY(task.GetIoFile(fd));
  TRY(file->inode().fs().Sync());
  return 0;
}

// Advice that nothing here depends on; the host's page cache reads ahead by itself.
Result<uint64_t> SysReadahead(Task& task, FdArg fd, int64_t offset, size_t count) {
  RefPtr<vfs::FileDescription> file = TRY(task.GetIoFile(fd));
  if (!file->readable()) return Errno::kEBADF;
  if (!S_ISREG(file->inode().type())) return Errno::kEINVAL;
  return 0;
}
Result<uint64_t> SysFadvise64(Task& task, FdArg fd, int64_t offset, int64_t length, int advice) {
  RefPtr<vfs::FileDescription> file = TRY(task.GetIoFile(fd));
  if (S_ISFIFO(file->inode().type())) return Errno::kESPIPE;
  if (length < 0 || advice < 0 || advice > 5) return Errno::kEINVAL;
  return 0;
}

}  // namespace syscalls
