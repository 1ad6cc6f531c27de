// pipe(2), splice(2), tee(2), vmsplice(2), sendfile(2), copy_file_range(2).

#include <sys/stat.h>

#include <memory>

#include "sentry/kernel/kernel.h"
#include "syscalls/handlers.h"
#include "syscalls/io_util.h"
#include "vfs/fs/pipe/pipe_file.h"
#include "vfs/fs/pipe/splice.h"

namespace syscalls {

Result<uint64_t> SysPipe2(Task& task, UserAddress out, FlagsArg flags) {
  if ((flags.value & ~uint64_t{O_CLOEXEC | O_DIRECT | O_NONBLOCK}) != 0) return Errno::kEINVAL;
  pipefs::PipeEnds ends = TRY(pipefs::CreatePipe(flags, task.creds()));
  TRY(InstallPair(task, std::move(ends.read), std::move(ends.write), (flags & O_CLOEXEC) != 0, out));
  return 0;
}
Result<uint64_t> SysPipe(Task& task, UserAddress out) { return SysPipe2(task, out, {0}); }

namespace {

// An optional in-out file offset: null means the description's own position.
struct Offset {
  UserAddress address;
  int64_t value = 0;
  int64_t* pointer() { return address != 0 ? &value : nullptr; }
  Result<void> Read(Task& task) {
    if (address == 0) return {};
    value = TRY(task.mm().Read<int64_t>(address));
    if (value < 0) return Errno::kEINVAL;
    return {};
  }
  Result<void> Write(Task& task) {
    if (address == 0) return {};
    return task.mm().Write<int64_t>(address, value);
  }
};

Result<uint64_t> WithSigpipe(Task& task, Result<size_t> result) {
  if (!result.ok() && result.error() == Errno::kEPIPE) task.SendSignal(kernel::MakeSignalInfo(SIGPIPE, SI_USER, task.tgid(), task.creds()->ruid));
  if (!result.ok()) return result.error();
  return static_cast<uint64_t>(*result);
}

// Moves up to `length` bytes through a buffer of the Sentry; positions as read(2) and write(2) have them.
Result<uint64_t> CopyBetween(Task& task, vfs::FileDescription& in, int64_t* in_offset, vfs::FileDescription& out, int64_t* out_offset, size_t length) {
  // Not so much that malloc asks the host for it each time.
  constexpr size_t kChunk = 64 * 1024;
  length = std::min(length, kMaxTransfer);
  const size_t size = std::min(length, kChunk);
  const auto buffer = std::make_unique_for_overwrite<char[]>(size);
  uint64_t done = 0;
  while (done < length) {
    size_t want = std::min(length - done, size);
    IoVec span(buffer.get(), want);
    Result<size_t> got = WhileNotReady(in, EPOLLIN, [&]() -> Result<size_t> {
      return in_offset != nullptr ? in.ReadAt(span, static_cast<uint64_t>(*in_offset), 0) : in.Read(span);
    });
    if (!got.ok() || *got == 0) {
      if (done > 0 || got.ok()) return done;
      return got.error();
    }
    size_t put = 0;
    while (put < *got) {
      IoVec rest = span.Slice(put, *got - put);
      Result<size_t> written = WhileNotReady(out, EPOLLOUT, [&]() -> Result<size_t> {
        return out_offset != nullptr ? out.WriteAt(rest, static_cast<uint64_t>(*out_offset), 0) : out.Write(rest);
      });
      if (!written.ok()) {
        // What was read and not written goes back: the position is set to what was passed on.
        if (in_offset != nullptr) {
          *in_offset += static_cast<int64_t>(put);
        } else if (!in.stream()) {
          in.set_offset(in.offset() - (*got - put));
        }
        if (done + put > 0) return done + put;
        return WithSigpipe(task, written.error());
      }
      put += *written;
      if (out_offset != nullptr) *out_offset += static_cast<int64_t>(*written);
    }
    if (in_offset != nullptr) *in_offset += static_cast<int64_t>(*got);
    done += *got;
  }
  return done;
}

}  // namespace

Result<uint64_t> SysSplice(Task& task, FdArg in_fd, UserAddress in_offset, FdArg out_fd, UserAddress out_offset, size_t length, uint32_t flags) {
  if ((flags & ~0xfu) != 0) return Errno::kEINVAL;
  if (length == 0) return 0;
  RefPtr<vfs::FileDescription> in = TRY(task.GetIoFile(in_fd)), out = TRY(task.GetIoFile(out_fd));
  Offset in_at{in_offset}, out_at{out_offset};
  TRY(in_at.Read(task));
  TRY(out_at.Read(task));
  uint64_t moved = TRY(WithSigpipe(task, pipefs::Splice(*in, in_at.pointer(), *out, out_at.pointer(), length, flags)));
  TRY(in_at.Write(task));
  TRY(out_at.Write(task));
  return moved;
}

Result<uint64_t> SysTee(Task& task, FdArg in_fd, FdArg out_fd, size_t length, uint32_t flags) {
  if ((flags & ~0xfu) != 0) return Errno::kEINVAL;
  RefPtr<vfs::FileDescription> in = TRY(task.GetIoFile(in_fd)), out = TRY(task.GetIoFile(out_fd));
  return WithSigpipe(task, pipefs::Tee(*in, *out, length, flags));
}

Result<uint64_t> SysVmsplice(Task& task, FdArg fd, UserAddress iov, uint64_t count, uint32_t flags) {
  if ((flags & ~0xfu) != 0) return Errno::kEINVAL;
  RefPtr<vfs::FileDescription> file = TRY(task.GetIoFile(fd));
  UserRanges ranges = TRY(ReadIovecs(task, iov, count));
  if (TotalSize(ranges) == 0) return 0;
  mm::Pinned memory = TRY(task.mm().PinVector(ranges, !file->writable()));
  return WithSigpipe(task, pipefs::Vmsplice(*file, memory.io(), flags));
}

Result<uint64_t> SysSendfile(Task& task, FdArg out_fd, FdArg in_fd, UserAddress offset, size_t count) {
  Offset at{offset};
  if (offset != 0) TRY(at.Read(task));
  RefPtr<vfs::FileDescription> in = TRY(task.GetIoFile(in_fd)), out = TRY(task.GetIoFile(out_fd));
  if (!in->readable() || !out->writable()) return Errno::kEBADF;
  if (in->stream() && offset != 0) return Errno::kESPIPE;
  if (!S_ISREG(in->inode().type()) && !S_ISBLK(in->inode().type()) && !S_ISFIFO(in->inode().type())) return Errno::kEINVAL;
  if ((out->flags() & O_APPEND) != 0) return Errno::kEINVAL;
  Result<uint64_t> copied = CopyBetween(task, *in, at.pointer(), *out, nullptr, count);
  if (copied.ok()) TRY(at.Write(task));
  return copied;
}

Result<uint64_t> SysCopyFileRange(Task& task, FdArg in_fd, UserAddress in_offset, FdArg out_fd, UserAddress out_offset, size_t length, FlagsArg flags) {
  RefPtr<vfs::FileDescription> in = TRY(task.GetIoFile(in_fd)), out = TRY(task.GetIoFile(out_fd));
  if (flags.value != 0) return Errno::kEINVAL;
  Offset in_at{in_offset}, out_at{out_offset};
  TRY(in_at.Read(task));
  TRY(out_at.Read(task));
  if (S_ISDIR(in->inode().type()) || S_ISDIR(out->inode().type())) return Errno::kEISDIR;
  if (!S_ISREG(in->inode().type()) || !S_ISREG(out->inode().type())) return Errno::kEINVAL;
  if (!in->readable() || !out->writable() || (out->flags() & O_APPEND) != 0) return Errno::kEBADF;
  if (&in->inode() == &out->inode()) {
    uint64_t from = in_offset != 0 ? static_cast<uint64_t>(in_at.value) : in->offset();
    uint64_t to = out_offset != 0 ? static_cast<uint64_t>(out_at.value) : out->offset();
    if (from < to + length && to < from + length) return Errno::kEINVAL;
  }
  uint64_t copied = TRY(CopyBetween(task, *in, in_at.pointer(), *out, out_at.pointer(), length));
  TRY(in_at.Write(task));
  TRY(out_at.Write(task));
  return copied;
}

}  // namespace syscalls
