// open(2). The order of checks is that of Linux's path_openat: where two errors apply, which one is seen is part of the
// interface.

#include <limits.h>
#include <sys/mount.h>

#include "vfs/operations.h"
#include "vfs/permission.h"
#include "vfs/special_file.h"
#include "vfs/walker.h"
#include "vfs/watch.h"

namespace vfs {

namespace {

constexpr int kLargeFile = 0100000;  // what x86-64 Linux sets in every open's flags
constexpr int kTmpFileBit = O_TMPFILE & ~O_DIRECTORY;
// What O_PATH leaves of the other flags, and what no description keeps.
constexpr int kPathFlags = O_PATH | O_DIRECTORY | O_NOFOLLOW;
constexpr int kTransientFlags = O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_CLOEXEC;

// A description that only names a place.
class PathFile final : public FileDescription {
 public:
  static inline char kKind;
  const void* kind() const override { return &kKind; }
  Result<size_t> ReadAt(const IoVec&, uint64_t, int) override { return Errno::kEBADF; }
  Result<size_t> WriteAt(const IoVec&, uint64_t, int) override { return Errno::kEBADF; }
  Result<int64_t> Seek(int64_t, int) override { return Errno::kEBADF; }
  Result<void> Truncate(uint64_t) override { return Errno::kEBADF; }
  Result<void> Sync(bool) override { return Errno::kEBADF; }
  Result<void> ReadDir(absl::FunctionRef<bool(const DirectoryEntry&)>) override { return Errno::kEBADF; }
};

int AccessMask(int flags) {
  static constexpr int kMask[] = {kMayRead, kMayWrite, kMayRead | kMayWrite, kMayRead | kMayWrite};
  int mask = kMask[flags & O_ACCMODE];
  if ((flags & O_TRUNC) != 0) mask |= kMayWrite;
  return mask;
}

RefPtr<FileDescription> MakePathFile(Path place, int flags, RefPtr<const Credentials> creds) {
  auto file = MakeRef<PathFile>();
  file->Init(std::move(place), flags & kPathFlags, std::move(creds));
  return file;
}

Result<void> CheckOpenFlags(int flags) {
  if ((flags & O_PATH) != 0) return {};
  if ((flags & kTmpFileBit) != 0) {
    if ((flags & O_DIRECTORY) == 0 || (flags & O_CREAT) != 0) return Errno::kEINVAL;
    if ((flags & O_ACCMODE) == O_RDONLY) return Errno::kEINVAL;
  } else if ((flags & (O_DIRECTORY | O_CREAT)) == (O_DIRECTORY | O_CREAT)) {
    return Errno::kEINVAL;
  }
  return {};
}

// may_open and do_dentry_open. `mask` is 0 for a file that this call has made.
Result<RefPtr<FileDescription>> Finish(const WalkContext& context, const Path& place, int flags, int mask, bool created) {
  Dentry& dentry = *place.dentry;
  Inode& inode = *dentry.inode();
  const uint32_t type = dentry.type();
  bool truncate = false;
  if (!created) {
    if ((flags & O_DIRECTORY) != 0 && (flags & kTmpFileBit) == 0 && !S_ISDIR(type)) return Errno::kENOTDIR;
    if (S_ISREG(type) && (flags & O_TRUNC) != 0) {
      if (place.mount->read_only()) return Errno::kEROFS;
      truncate = true;
    }
    if (S_ISLNK(type)) return Errno::kELOOP;
    if (S_ISDIR(type) && (mask & kMayWrite) != 0) return Errno::kEISDIR;
    if ((S_ISCHR(type) || S_ISBLK(type)) && (place.mount->flags & MS_NODEV) != 0) return Errno::kEACCES;
    TRY(InodePermission(inode, *context.creds, mask));
    if ((flags & O_NOATIME) != 0 && !IsOwnerOr(*context.creds, CAP_FOWNER, TRY(inode.Stat()))) return Errno::kEPERM;
  }

  const bool writes = (flags & O_ACCMODE) != O_RDONLY;
  if (writes && (S_ISREG(type) || S_ISDIR(type))) {
    if (inode.write_count < 0) return Errno::kETXTBSY;
    if (place.mount->read_only()) return Errno::kEROFS;
  }
  if (S_ISSOCK(type)) return Errno::kENXIO;

  RefPtr<FileDescription> file;
  SpecialOpener* special = nullptr;
  if (S_ISFIFO(type)) {
    special = FindSpecialOpener(S_IFIFO, 0);
  } else if (S_ISCHR(type) || S_ISBLK(type)) {
    special = FindSpecialOpener(type, TRY(inode.Stat()).rdev);
  }
  if (special != nullptr) {
    file = TRY((*special)(SpecialOpen{context, place, flags}));
  } else {
    if (truncate && !inode.open_truncates()) {
      if (inode.write_count < 0) return Errno::kETXTBSY;
      TRY(Truncate(place, 0, context.creds.get()));
    }
    file = TRY(inode.Open(OpenOptions{.flags = flags}, *context.creds));
  }
  file->Init(place, (flags & ~kTransientFlags) | kLargeFile, context.creds);
  if (watch_count != 0) {
    if (truncate && inode.open_truncates()) ReportObject(dentry, IN_MODIFY);
    ReportObject(dentry, IN_OPEN);
  }
  return file;
}

Result<RefPtr<FileDescription>> OpenUnnamed(const WalkContext& context, const Path& directory, int flags, uint32_t mode) {
  if (directory.mount->read_only()) return Errno::kEROFS;
  Inode& inode = directory.inode();
  TRY(InodePermission(inode, *context.creds, kMayWrite | kMayExec));
  CreateOptions options = TRY(NewInodeOptions(inode, *context.creds, S_IFREG | (mode & 07777)));
  RefPtr<Inode> unnamed = TRY(inode.CreateUnnamed(options));
  unnamed->linkable = (flags & O_EXCL) == 0;
  std::string name = "#" + std::to_string(TRY(unnamed->Stat()).ino);
  auto dentry = MakeRef<Dentry>(directory.dentry, std::move(name), std::move(unnamed));
  dentry->MarkUnlinked();
  return Finish(context, Path{directory.mount, std::move(dentry)}, flags & ~O_TRUNC, 0, true);
}

// As Inode::LookupAhead wants it.
int AheadAccess(int flags) { return (flags & O_ACCMODE) == O_RDONLY ? O_RDONLY : O_RDWR; }

struct Created {
  RefPtr<Dentry> dentry;
  bool created = false;
};

// The child `name`, made where there is none. Several openers agree by the directory's lock.
Result<Created> LookupOrCreate(const WalkContext& context, const Path& directory, std::string_view name, int flags,
                               uint32_t mode) {
  Dentry& parent = *directory.dentry;
  Inode& inode = *parent.inode();
  if (!parent.must_revalidate()) {
    // What exists needs neither the lock nor write access.
    if (Dentry* hit = parent.FindChild(name); hit != nullptr && !hit->negative()) return Created{RefPtr<Dentry>(hit)};
  }
  if (name.size() > NAME_MAX) return Errno::kENAMETOOLONG;
  if ((flags & O_EXCL) == 0 && parent.FindChild(name) == nullptr) inode.LookupAhead(name, AheadAccess(flags));
  DirectoryLock::Exclusive lock(inode.directory_lock);
  if (parent.unlinked()) return Errno::kENOENT;
  RefPtr<Dentry> child = TRY(parent.ChildLocked(name));
  if (!child->negative()) return Created{std::move(child)};
  if (directory.mount->read_only()) return Errno::kEROFS;
  TRY(MayCreate(parent, *context.creds));
  CreateOptions options = TRY(NewInodeOptions(inode, *context.creds, S_IFREG | (mode & 07777)));
  child->Instantiate(TRY(inode.Create(name, options)));
  if (watch_count != 0) ReportName(inode, name, IN_CREATE);
  return Created{std::move(child), true};
}

// O_CREAT of what somebody else put into a sticky directory that anybody can write to. Regular files and FIFOs are exempt while the
// protected_regular and protected_fifos settings are 0, as they are here.
Result<void> MayOpenInSticky(const Path& directory, const Path& place, const Credentials& creds) {
  uint32_t type = place.dentry->type();
  if (S_ISREG(type) || S_ISFIFO(type)) return {};
  Attributes dir = TRY(directory.inode().Stat());
  if ((dir.mode & (S_ISVTX | S_IWOTH)) != (S_ISVTX | S_IWOTH)) return {};
  Attributes attr = TRY(place.inode().Stat());
  return attr.uid == dir.uid || attr.uid == creds.fsuid ? Result<void>() : Errno::kEACCES;
}

Result<RefPtr<FileDescription>> OpenCreating(const WalkContext& context, Walker& walker, std::string_view name, int flags,
                                             uint32_t mode) {
  const bool exclusive = (flags & O_EXCL) != 0;
  std::string link_text;
  for (;;) {
    Walker::Last last = TRY(walker.WalkPrefix(name));
    if (!last.is_normal()) {
      TRY(walker.StepLast(last, true));
      return exclusive ? Errno::kEEXIST : Errno::kEISDIR;
    }
    if (last.trailing_slash) return Errno::kEISDIR;
    Path directory = walker.Place();
    Created found = TRY(LookupOrCreate(context, directory, last.name, flags, mode));
    Path child{directory.mount, std::move(found.dentry)};
    if (found.created) return Finish(context, child, flags & ~O_TRUNC, 0, true);
    if (child.dentry->is_symlink() && !exclusive && (flags & O_NOFOLLOW) == 0) {
      Result<std::string> text = walker.ReadLink(child);
      if (!text.ok()) return text.error();
      if (!text->empty()) {
        link_text = *std::move(text);
        if (link_text.starts_with('/')) TRY(walker.ToRoot());
        name = link_text;
        continue;
      }
    } else {
      TRY(walker.Enter(child));
    }
    if (exclusive) return Errno::kEEXIST;
    Path place = walker.TakePlace();
    if (place.dentry->is_directory()) return Errno::kEISDIR;
    TRY(MayOpenInSticky(directory, place, *context.creds));
    return Finish(context, place, flags, AccessMask(flags), false);
  }
}

}  // namespace

Result<RefPtr<FileDescription>> Open(const WalkContext& context, std::string_view name, int flags, uint32_t mode,
                                     uint64_t resolve) {
  TRY(CheckOpenFlags(flags));
  if (name.empty()) return Errno::kENOENT;
  Walker walker(context, resolve);
  TRY(walker.Begin(name));
  if ((flags & (O_CREAT | O_PATH)) == O_CREAT) return OpenCreating(context, walker, name, flags, mode);

  if ((flags & (O_PATH | O_DIRECTORY)) == 0) walker.WillOpen(AheadAccess(flags));
  TRY(walker.WalkAll(name, (flags & O_NOFOLLOW) == 0));
  Path place = walker.TakePlace();
  if ((flags & O_DIRECTORY) != 0 && !place.dentry->is_directory()) return Errno::kENOTDIR;
  if ((flags & O_PATH) != 0) return MakePathFile(std::move(place), flags, context.creds);
  if ((flags & kTmpFileBit) != 0) return OpenUnnamed(context, place, flags, mode);
  return Finish(context, place, flags, AccessMask(flags), false);
}

Result<RefPtr<FileDescription>> OpenPath(const WalkContext& context, const Path& place, int flags) {
  flags &= ~(O_CREAT | O_EXCL);
  if ((flags & O_DIRECTORY) != 0 && !place.dentry->is_directory()) return Errno::kENOTDIR;
  if ((flags & O_PATH) != 0) return MakePathFile(place, flags, context.creds);
  return Finish(context, place, flags, AccessMask(flags), false);
}

}  // namespace vfs
