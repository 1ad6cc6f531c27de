// open(2), openat2(2), creat(2), close(2), close_range(2), umask(2), chdir(2), chroot(2), getcwd(2).

#include <linux/close_range.h>

#include "sentry/kernel/kernel.h"
#include "syscalls/handlers.h"
#include "vfs/operations.h"

namespace syscalls {

namespace {

Result<uint64_t> Open(Task& task, int dirfd, PathArg path, int flags, uint32_t mode, uint64_t resolve) {
  std::string name = TRY(path.Read(task));
  vfs::WalkContext context = TRY(task.WalkFrom(dirfd, name));
  bool creates = (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
  RefPtr<vfs::FileDescription> file =
      TRY(vfs::Open(context, name, flags, creates ? mode & 07777 & ~task.fs()->umask : 0, resolve));
  return static_cast<uint64_t>(TRY(task.InstallFd(std::move(file), (flags & O_CLOEXEC) != 0)));
}

// open(2) ignores flags that it does not know; openat2(2) does not.
constexpr int kOpenFlags = O_ACCMODE | O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_APPEND | O_NONBLOCK | O_SYNC | O_DSYNC | O_ASYNC |
                           O_DIRECT | O_LARGEFILE | O_DIRECTORY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC | O_PATH | O_TMPFILE | 0100000;

}  // namespace

Result<uint64_t> SysOpen(Task& task, PathArg path, FlagsArg flags, ModeArg mode) {
  return Open(task, AT_FDCWD, path, flags & kOpenFlags, mode, 0);
}
Result<uint64_t> SysOpenat(Task& task, DirFdArg dirfd, PathArg path, FlagsArg flags, ModeArg mode) {
  return Open(task, dirfd, path, flags & kOpenFlags, mode, 0);
}
Result<uint64_t> SysCreat(Task& task, PathArg path, ModeArg mode) {
  return Open(task, AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode, 0);
}

Result<uint64_t> SysOpenat2(Task& task, DirFdArg dirfd, PathArg path, UserAddress how_address, size_t size) {
  struct open_how how = {};
  if (size < 24) return Errno::kEINVAL;
  if (size > kPageSize) return Errno::kE2BIG;
  std::vector<uint8_t> bytes(size);
  TRY(task.mm().CopyIn(bytes.data(), how_address, size));
  for (size_t i = sizeof how; i < size; i++) {
    if (bytes[i] != 0) return Errno::kE2BIG;
  }
  memcpy(&how, bytes.data(), std::min(size, sizeof how));
  if ((how.flags & ~static_cast<uint64_t>(kOpenFlags)) != 0 || (how.mode & ~07777ull) != 0) return Errno::kEINVAL;
  bool creates = (how.flags & O_CREAT) != 0 || (how.flags & O_TMPFILE) == O_TMPFILE;
  if (!creates && how.mode != 0) return Errno::kEINVAL;
  if ((how.flags & O_PATH) != 0 && (how.flags & ~static_cast<uint64_t>(O_PATH | O_CLOEXEC | O_DIRECTORY | O_NOFOLLOW)) != 0) return Errno::kEINVAL;
  constexpr uint64_t kKnownResolve = RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH | RESOLVE_IN_ROOT | RESOLVE_CACHED;
  if ((how.resolve & ~kKnownResolve) != 0) return Errno::kEINVAL;
  if ((how.resolve & (RESOLVE_BENEATH | RESOLVE_IN_ROOT)) == (RESOLVE_BENEATH | RESOLVE_IN_ROOT)) return Errno::kEINVAL;
  return Open(task, dirfd, path, static_cast<int>(how.flags), static_cast<uint32_t>(how.mode), how.resolve);
}

Result<uint64_t> SysClose(Task& task, int fd) {
  RefPtr<kernel::FdTable> fds = task.fds();
  TRY(fds->Close(fd));
  return 0;
}

Result<uint64_t> SysCloseRange(Task& task, uint32_t first, uint32_t last, FlagsArg flags) {
  if ((flags.value & ~uint64_t{CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC}) != 0 || first > last) return Errno::kEINVAL;
  if ((flags & CLOSE_RANGE_UNSHARE) != 0 && task.fds()->refs() > 1) task.set_fds(task.fds()->Copy());
  RefPtr<kernel::FdTable> fds = task.fds();
  if ((flags & CLOSE_RANGE_CLOEXEC) != 0) {
    fds->SetCloexecRange(first, last);
  } else {
    fds->CloseRange(first, last);
  }
  return 0;
}

Result<uint64_t> SysUmask(Task& task, ModeArg mask) {
  uint32_t before = task.fs()->umask;
  task.fs()->umask = mask & 0777;
  return before;
}

Result<uint64_t> SysGetcwd(Task& task, UserAddress buffer, size_t size) {
  const RefPtr<kernel::FsContext>& fs = task.fs();
  if (fs->cwd.dentry->unlinked()) return Errno::kENOENT;
  std::string path = vfs::PathName(fs->cwd, fs->root, false);
  if (path.size() + 1 > size) return Errno::kERANGE;
  TRY(task.mm().CopyOut(buffer, path.c_str(), path.size() + 1));
  return path.size() + 1;
}

Result<uint64_t> SysChdir(Task& task, PathArg path) {
  std::string name = TRY(path.Read(task));
  vfs::WalkContext context = task.WalkFromCwd();
  vfs::Path place = TRY(vfs::Walk(context, name, vfs::kWalkFollow | vfs::kWalkDirectory));
  TRY(vfs::Access(context, place, X_OK));
  task.fs()->cwd = std::move(place);
  return 0;
}

Result<uint64_t> SysFchdir(Task& task, FdArg fd) {
  RefPtr<vfs::FileDescription> file = TRY(task.GetFile(fd));
  if (!file->path().valid() || !file->path().dentry->is_directory()) return Errno::kENOTDIR;
  TRY(vfs::Access(task.WalkFromCwd(), file->path(), X_OK));
  task.fs()->cwd = file->path();
  return 0;
}

Result<uint64_t> SysChroot(Task& task, PathArg path) {
  std::string name = TRY(path.Read(task));
  vfs::WalkContext context = task.WalkFromCwd();
  vfs::Path place = TRY(vfs::Walk(context, name, vfs::kWalkFollow | vfs::kWalkDirectory));
  TRY(vfs::Access(context, place, X_OK));
  if (!task.creds()->Has(CAP_SYS_CHROOT)) return Errno::kEPERM;
  task.fs()->root = std::move(place);
  return 0;
}

}  // namespace syscalls
