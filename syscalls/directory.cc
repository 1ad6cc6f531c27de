// mkdir(2), rmdir(2), rename(2), link(2), unlink(2), symlink(2), mknod(2), getdents(2).

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "syscalls/handlers.h"
#include "vfs/operations.h"

namespace syscalls {

namespace {

Result<uint64_t> MkdirAt(Task& task, int dirfd, PathArg path, uint32_t mode) {
  std::string name = TRY(path.Read(task));
  TRY(vfs::Mkdir(TRY(task.WalkFrom(dirfd, name)), name, mode & 01777 & ~task.fs()->umask));
  return 0;
}

// The device number of mknod(2) has 12 bits of major and 20 of minor.
uint64_t DecodeDevice(uint32_t dev) { return makedev((dev >> 8) & 0xfff, (dev & 0xff) | ((dev >> 12) & 0xfff00)); }

Result<uint64_t> MknodAt(Task& task, int dirfd, PathArg path, uint32_t mode, uint32_t dev) {
  std::string name = TRY(path.Read(task));
  switch (mode & S_IFMT) {
    case 0:
      mode |= S_IFREG;
      break;
    case S_IFREG:
    case S_IFIFO:
    case S_IFSOCK:
      break;
    case S_IFCHR:
    case S_IFBLK:
      // An overlay whiteout (0, 0) is open to all.
      if (!task.creds()->Has(CAP_MKNOD) && !((mode & S_IFMT) == S_IFCHR && dev == 0)) return Errno::kEPERM;
      break;
    case S_IFDIR:
      return Errno::kEPERM;
    default:
      return Errno::kEINVAL;
  }
  TRY(vfs::Mknod(TRY(task.WalkFrom(dirfd, name)), name, mode & ~task.fs()->umask, DecodeDevice(dev)));
  return 0;
}

Result<uint64_t> UnlinkAt(Task& task, int dirfd, PathArg path, bool directory) {
  std::string name = TRY(path.Read(task));
  vfs::WalkContext context = TRY(task.WalkFrom(dirfd, name));
  TRY(directory ? vfs::Rmdir(context, name) : vfs::Unlink(context, name));
  return 0;
}

Result<uint64_t> RenameAt(Task& task, int old_dirfd, PathArg old_path, int new_dirfd, PathArg new_path, unsigned flags) {
  if ((flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT)) != 0) return Errno::kEINVAL;
  if ((flags & RENAME_EXCHANGE) != 0 && (flags & (RENAME_NOREPLACE | RENAME_WHITEOUT)) != 0) return Errno::kEINVAL;
  if ((flags & RENAME_WHITEOUT) != 0 && !task.creds()->Has(CAP_MKNOD)) return Errno::kEPERM;
  std::string old_name = TRY(old_path.Read(task)), new_name = TRY(new_path.Read(task));
  TRY(vfs::Rename(TRY(task.WalkFrom(old_dirfd, old_name)), old_name, TRY(task.WalkFrom(new_dirfd, new_name)), new_name, flags));
  return 0;
}

Result<uint64_t> SymlinkAt(Task& task, PathArg target, int dirfd, PathArg path) {
  std::string text = TRY(target.Read(task)), name = TRY(path.Read(task));
  TRY(vfs::Symlink(TRY(task.WalkFrom(dirfd, name)), text, name));
  return 0;
}

Result<uint64_t> LinkAt(Task& task, int old_dirfd, PathArg old_path, int new_dirfd, PathArg new_path, int flags) {
  if ((flags & ~(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH)) != 0) return Errno::kEINVAL;
  bool empty = (flags & AT_EMPTY_PATH) != 0;
  if (empty && !task.creds()->Has(CAP_DAC_READ_SEARCH)) return Errno::kENOENT;
  std::string old_name = TRY(old_path.Read(task)), new_name = TRY(new_path.Read(task));
  vfs::WalkContext old_context = TRY(task.WalkFrom(old_dirfd, old_name, empty));
  unsigned walk = ((flags & AT_SYMLINK_FOLLOW) != 0 ? unsigned{vfs::kWalkFollow} : 0u) | (empty ? unsigned{vfs::kWalkEmptyPath} : 0u);
  vfs::Path place = TRY(vfs::Walk(old_context, old_name, walk));
  TRY(vfs::Link(old_context, place, TRY(task.WalkFrom(new_dirfd, new_name)), new_name));
  return 0;
}

}  // namespace

Result<uint64_t> SysMkdir(Task& task, PathArg path, ModeArg mode) { return MkdirAt(task, AT_FDCWD, path, mode); }
Result<uint64_t> SysMkdirat(Task& task, DirFdArg dirfd, PathArg path, ModeArg mode) { return MkdirAt(task, dirfd, path, mode); }
Result<uint64_t> SysMknod(Task& task, PathArg path, ModeArg mode, uint32_t dev) { return MknodAt(task, AT_FDCWD, path, mode, dev); }
Result<uint64_t> SysMknodat(Task& task, DirFdArg dirfd, PathArg path, ModeArg mode, uint32_t dev) {
  return MknodAt(task, dirfd, path, mode, dev);
}
Result<uint64_t> SysRmdir(Task& task, PathArg path) { return UnlinkAt(task, AT_FDCWD, path, true); }
Result<uint64_t> SysUnlink(Task& task, PathArg path) { return UnlinkAt(task, AT_FDCWD, path, false); }
Result<uint64_t> SysUnlinkat(Task& task, DirFdArg dirfd, PathArg path, FlagsArg flags) {
  if ((flags.value & ~uint64_t{AT_REMOVEDIR}) != 0) return Errno::kEINVAL;
  return UnlinkAt(task, dirfd, path, (flags & AT_REMOVEDIR) != 0);
}
Result<uint64_t> SysRename(Task& task, PathArg from, PathArg to) { return RenameAt(task, AT_FDCWD, from, AT_FDCWD, to, 0); }
Result<uint64_t> SysRenameat(Task& task, DirFdArg from_dirfd, PathArg from, DirFdArg to_dirfd, PathArg to) {
  return RenameAt(task, from_dirfd, from, to_dirfd, to, 0);
}
Result<uint64_t> SysRenameat2(Task& task, DirFdArg from_dirfd, PathArg from, DirFdArg to_dirfd, PathArg to, uint32_t flags) {
  return RenameAt(task, from_dirfd, from, to_dirfd, to, flags);
}
Result<uint64_t> SysSymlink(Task& task, PathArg target, PathArg path) { return SymlinkAt(task, target, AT_FDCWD, path); }
Result<uint64_t> SysSymlinkat(Task& task, PathArg target, DirFdArg dirfd, PathArg path) { return SymlinkAt(task, target, dirfd, path); }
Result<uint64_t> SysLink(Task& task, PathArg from, PathArg to) { return LinkAt(task, AT_FDCWD, from, AT_FDCWD, to, 0); }
Result<uint64_t> SysLinkat(Task& task, DirFdArg from_dirfd, PathArg from, DirFdArg to_dirfd, PathArg to, FlagsArg flags) {
  return LinkAt(task, from_dirfd, from, to_dirfd, to, flags);
}

namespace {

// Packs entries as `layout` writes them into one buffer of `size` bytes. EINVAL when not even the first fits.
template <class Layout>
Result<uint64_t> ReadDirectory(Task& task, int fd, UserAddress buffer, uint32_t size, Layout layout) {
  RefPtr<vfs::FileDescription> file = TRY(task.GetIoFile(fd));
  std::vector<char> packed;
  size_t limit = std::min<size_t>(size, 1 << 20);
  bool full = false;
  TRY(file->ReadDir([&](const vfs::DirectoryEntry& entry) {
    size_t at = packed.size();
    size_t record = layout.RecordSize(entry);
    if (at + record > limit) {
      full = true;
      return false;
    }
    packed.resize(at + record);
    layout.Write(packed.data() + at, record, entry);
    return true;
  }));
  if (packed.empty() && full) return Errno::kEINVAL;
  TRY(task.mm().CopyOut(buffer, packed.data(), packed.size()));
  return packed.size();
}

void PutHeader(char* at, const vfs::DirectoryEntry& entry, size_t record) {
  uint64_t ino = entry.ino;
  int64_t next = entry.next_offset;
  uint16_t length = static_cast<uint16_t>(record);
  memcpy(at, &ino, 8);
  memcpy(at + 8, &next, 8);
  memcpy(at + 16, &length, 2);
}

// struct linux_dirent64: the type before the name.
struct Dirent64 {
  size_t RecordSize(const vfs::DirectoryEntry& entry) const { return (19 + entry.name.size() + 1 + 7) & ~size_t{7}; }
  void Write(char* at, size_t record, const vfs::DirectoryEntry& entry) const {
    PutHeader(at, entry, record);
    at[18] = static_cast<char>(entry.type);
    memcpy(at + 19, entry.name.data(), entry.name.size());
  }
};
// struct linux_dirent: the type in the last byte of the record.
struct Dirent {
  size_t RecordSize(const vfs::DirectoryEntry& entry) const { return (18 + entry.name.size() + 2 + 7) & ~size_t{7}; }
  void Write(char* at, size_t record, const vfs::DirectoryEntry& entry) const {
    PutHeader(at, entry, record);
    memcpy(at + 18, entry.name.data(), entry.name.size());
    at[record - 1] = static_cast<char>(entry.type);
  }
};

}  // namespace

Result<uint64_t> SysGetdents64(Task& task, FdArg fd, UserAddress buffer, uint32_t size) {
  return ReadDirectory(task, fd, buffer, size, Dirent64{});
}
Result<uint64_t> SysGetdents(Task& task, FdArg fd, UserAddress buffer, uint32_t size) {
  return ReadDirectory(task, fd, buffer, size, Dirent{});
}

}  // namespace syscalls
