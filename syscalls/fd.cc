// dup(2), fcntl(2), ioctl(2), flock(2).

#include <linux/fs.h>
#include <sys/file.h>
#include <sys/ioctl.h>

#include <cstdlib>

#include "sentry/kernel/async_io.h"
#include "sentry/kernel/kernel.h"
#include "syscalls/handlers.h"
#include "syscalls/io_util.h"
#include "vfs/file_lock.h"
#include "vfs/fs/devpts/devpts.h"
#include "vfs/fs/pipe/pipe_file.h"
#include "vfs/fs/tmpfs/memfd.h"

namespace syscalls {

Result<void> InstallPair(Task& task, RefPtr<vfs::FileDescription> first, RefPtr<vfs::FileDescription> second, bool cloexec,
                         UserAddress out) {
  int fds[2];
  fds[0] = TRY(task.InstallFd(std::move(first), cloexec));
  Result<int> number = task.InstallFd(std::move(second), cloexec);
  if (!number.ok()) {
    (void)task.fds()->Close(fds[0]).ok();
    return number.error();
  }
  fds[1] = *number;
  Result<void> copied = task.mm().CopyOut(out, fds, sizeof fds);
  if (!copied.ok()) {
    for (int fd : fds) (void)task.fds()->Close(fd).ok();
  }
  return copied;
}

Result<uint64_t> SysDup(Task& task, FdArg fd) {
  return static_cast<uint64_t>(TRY(task.InstallFd(TRY(task.GetFile(fd)), false)));
}

Result<uint64_t> SysDup2(Task& task, FdArg old_fd, FdArg new_fd) {
  RefPtr<vfs::FileDescription> file = TRY(task.GetFile(old_fd));
  if (old_fd == new_fd) return static_cast<uint64_t>(new_fd.value);
  RefPtr<kernel::FdTable> fds = task.fds();
  TRY(fds->InstallAt(new_fd, std::move(file), false, task.thread_group().Limit(RLIMIT_NOFILE)));
  return static_cast<uint64_t>(new_fd.value);
}

Result<uint64_t> SysDup3(Task& task, FdArg old_fd, FdArg new_fd, FlagsArg flags) {
  if ((flags.value & ~uint64_t{O_CLOEXEC}) != 0 || old_fd == new_fd) return Errno::kEINVAL;
  RefPtr<vfs::FileDescription> file = TRY(task.GetFile(old_fd));
  RefPtr<kernel::FdTable> fds = task.fds();
  TRY(fds->InstallAt(new_fd, std::move(file), flags != 0, task.thread_group().Limit(RLIMIT_NOFILE)));
  return static_cast<uint64_t>(new_fd.value);
}

namespace {

Result<uint64_t> RecordLocking(Task& task, vfs::FileDescription& file, int command, UserAddress argument) {
  struct flock request = TRY(task.mm().Read<struct flock>(argument));
  bool ofd = command == F_OFD_GETLK || command == F_OFD_SETLK || command == F_OFD_SETLKW;
  if (ofd && request.l_pid != 0) return Errno::kEINVAL;
  bool get = command == F_GETLK || command == F_OFD_GETLK;
  if (get && request.l_type != F_RDLCK && request.l_type != F_WRLCK) return Errno::kEINVAL;
  vfs::RecordLock lock = TRY(vfs::RecordLockRange(file, request.l_type, request.l_whence, request.l_start, request.l_len));
  lock.ofd = ofd;
  lock.owner = ofd ? static_cast<const void*>(&file) : task.fds().get();
  lock.pid = ofd ? -1 : task.tgid();
  if (!get) {
    if (request.l_type == F_RDLCK && !file.readable()) return Errno::kEBADF;
    if (request.l_type == F_WRLCK && !file.writable()) return Errno::kEBADF;
    TRY(vfs::SetRecordLock(file, lock, command == F_SETLKW || command == F_OFD_SETLKW));
    return 0;
  }
  std::optional<vfs::RecordLock> conflict = vfs::GetRecordLock(file, lock);
  if (!conflict) {
    request.l_type = F_UNLCK;
  } else {
    request.l_type = conflict->type;
    request.l_whence = SEEK_SET;
    request.l_start = static_cast<off_t>(conflict->start);
    request.l_len = conflict->end == vfs::RecordLock::kLockToEof ? 0 : static_cast<off_t>(conflict->end - conflict->start + 1);
    request.l_pid = conflict->pid;
  }
  TRY(task.mm().Write(argument, request));
  return 0;
}

Result<uint64_t> SetStatusFlags(Task& task, vfs::FileDescription& file, int fd, int flags) {
  constexpr int kChangeable = O_APPEND | O_ASYNC | O_DIRECT | O_NOATIME | O_NONBLOCK;
  int before = file.flags();
  if ((flags & O_NOATIME) != 0 && (before & O_NOATIME) == 0) {
    vfs::Attributes attr = TRY(file.Stat());
    if (attr.uid != task.creds()->fsuid && !task.creds()->Has(CAP_FOWNER)) return Errno::kEPERM;
  }
  file.set_flags((before & ~kChangeable) | (flags & kChangeable));
  file.OnSetFlags(before);
  if (((before ^ flags) & O_ASYNC) != 0) kernel::UpdateAsync(file, fd);
  return 0;
}

}  // namespace

Result<uint64_t> SysFcntl(Task& task, FdArg fd, int command, uint64_t argument) {
  RefPtr<vfs::FileDescription> file = TRY(task.GetFile(fd));
  int value = static_cast<int>(argument);
  switch (command) {
    case F_DUPFD:
    case F_DUPFD_CLOEXEC:
      if (value < 0) return Errno::kEINVAL;
      return static_cast<uint64_t>(TRY(task.InstallFd(std::move(file), command == F_DUPFD_CLOEXEC, value)));
    case F_GETFD:
      return TRY(task.fds()->cloexec(fd)) ? uint64_t{FD_CLOEXEC} : 0;
    case F_SETFD:
      TRY(task.fds()->set_cloexec(fd, (value & FD_CLOEXEC) != 0));
      return 0;
    case F_GETFL:
      return static_cast<uint64_t>(file->flags() | ((file->flags() & O_PATH) == 0 ? 0100000 /* O_LARGEFILE */ : 0));
    default:
      break;
  }
  if ((file->flags() & O_PATH) != 0) return Errno::kEBADF;
  switch (command) {
    case F_SETFL:
      return SetStatusFlags(task, *file, fd, value);
    case F_GETLK:
    case F_SETLK:
    case F_SETLKW:
    case F_OFD_GETLK:
    case F_OFD_SETLK:
    case F_OFD_SETLKW:
      return RecordLocking(task, *file, command, argument);
    case F_GETOWN: {
      kernel::AsyncOwner owner = kernel::GetAsyncOwner(task, *file);
      return static_cast<uint64_t>(int64_t{owner.type == F_OWNER_PGRP ? -owner.id : owner.id});
    }
    case F_SETOWN:
      if (value == INT32_MIN) return Errno::kEINVAL;
      TRY(kernel::SetAsyncOwner(task, *file, value < 0 ? F_OWNER_PGRP : F_OWNER_PID, std::abs(value)));
      return 0;
    case F_GETOWN_EX: {
      kernel::AsyncOwner now = kernel::GetAsyncOwner(task, *file);
      f_owner_ex owner{.type = static_cast<decltype(f_owner_ex::type)>(now.type), .pid = now.id};
      TRY(task.mm().Write(argument, owner));
      return 0;
    }
    case F_SETOWN_EX: {
      f_owner_ex owner = TRY(task.mm().Read<f_owner_ex>(argument));
      TRY(kernel::SetAsyncOwner(task, *file, static_cast<int>(owner.type), owner.pid));
      return 0;
    }
    case F_GETSIG:
      return static_cast<uint64_t>(file->async_signal);
    case F_SETSIG:
      if (value < 0 || value > kernel::kMaxSignal) return Errno::kEINVAL;
      file->async_signal = value;
      return 0;
    case F_SETPIPE_SZ:
    case F_GETPIPE_SZ: {
      auto* pipe = vfs::FileAs<pipefs::PipeFile>(file.get());
      if (pipe == nullptr) return Errno::kEBADF;
      if (command == F_GETPIPE_SZ) return pipe->pipe().capacity_bytes();
      if (value < 0) return Errno::kEINVAL;
      return static_cast<uint64_t>(TRY(pipe->pipe().SetCapacity(static_cast<uint64_t>(value), *task.creds())));
    }
    case F_ADD_SEALS:
    case F_GET_SEALS:
      if (command == F_GET_SEALS) return TRY(tmpfs::GetSeals(*file));
      TRY(tmpfs::AddSeals(*file, static_cast<uint32_t>(value)));
      return 0;
    case F_GETLEASE:
      return F_UNLCK;
    case F_SETLEASE:
    case F_NOTIFY:
      return Errno::kEINVAL;
    default:
      return Errno::kEINVAL;
  }
}

Result<uint64_t> SysIoctl(Task& task, FdArg fd, uint32_t request, uint64_t argument) {
  RefPtr<vfs::FileDescription> file = TRY(task.GetIoFile(fd));
  switch (request) {
    case FIOCLEX:
    case FIONCLEX:
      TRY(task.fds()->set_cloexec(fd, request == FIOCLEX));
      return 0;
    case FIONBIO: {
      int on = TRY(task.mm().Read<int>(argument));
      int before = file->flags();
      file->set_flags(on != 0 ? before | O_NONBLOCK : before & ~O_NONBLOCK);
      file->OnSetFlags(before);
      return 0;
    }
    case FIOASYNC: {
      int on = TRY(task.mm().Read<int>(argument));
      int before = file->flags();
      if (file->wait_queue() == nullptr) return Errno::kENOTTY;
      file->set_flags(on != 0 ? before | O_ASYNC : before & ~O_ASYNC);
      file->OnSetFlags(before);
      kernel::UpdateAsync(*file, fd);
      return 0;
    }
    case FIONREAD:
      if (S_ISREG(file->inode().type())) {
        vfs::Attributes attr = TRY(file->Stat());
        TRY(task.mm().Write<int>(argument, static_cast<int>(attr.size - std::min(attr.size, file->offset()))));
        return 0;
      }
      break;
    case FIGETBSZ:
      TRY(task.mm().Write<int>(argument, static_cast<int>(TRY(file->Stat()).blksize)));
      return 0;
    case devpts::kTIOCGPTPEER: {
      auto* master = vfs::FileAs<devpts::MasterFile>(file.get());
      if (master == nullptr) return Errno::kENOTTY;
      const int flags = static_cast<int>(argument);
      return static_cast<uint64_t>(TRY(task.InstallFd(TRY(devpts::OpenPeer(*master, flags, task.creds())), (flags & O_CLOEXEC) != 0)));
    }
    default:
      break;
  }
  return file->Ioctl(request, argument, vfs::IoctlContext{.memory = task.mm(), .creds = *task.creds(), .task = &task});
}

Result<uint64_t> SysFlock(Task& task, FdArg fd, int operation) {
  RefPtr<vfs::FileDescription> file = TRY(task.GetIoFile(fd));
  int what = operation & ~LOCK_NB;
  if (what != LOCK_SH && what != LOCK_EX && what != LOCK_UN) return Errno::kEINVAL;
  TRY(vfs::Flock(*file, operation));
  return 0;
}

}  // namespace syscalls
