// Copying a file to the upper layer, before its first change. A regular file is copied without a
// name, so that nobody sees half of it, and is then linked in; changes of names in the meantime are
// noticed under the lock of the upper directory.

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "vfs/fs/overlay/inode.h"

namespace overlay {

namespace {

constexpr size_t kChunk = 256 * 1024;

bool AllZero(const char* bytes, size_t size) {
  return size == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0);
}

Result<void> WriteAll(vfs::FileDescription& to, char* bytes, size_t size, uint64_t offset) {
  for (size_t done = 0; done < size;) {
    size_t n = TRY(to.WriteAt(IoVec(bytes + done, size - done), offset + done, 0));
    if (n == 0) return Errno::kEIO;
    done += n;
  }
  return {};
}

Result<void> CopyData(vfs::Inode& from, vfs::Inode& to, uint64_t size) {
  if (size == 0) return {};
  RefPtr<vfs::FileDescription> source = TRY(OpenLayer(from, O_RDONLY));
  RefPtr<vfs::FileDescription> sink = TRY(OpenLayer(to, O_WRONLY));
  std::unique_ptr<char[]> buffer(new char[std::min<uint64_t>(size, kChunk)]);
  bool hole = false;
  for (uint64_t offset = 0; offset < size;) {
    size_t want = std::min<uint64_t>(size - offset, kChunk);
    size_t n = TRY(source->ReadAt(IoVec(buffer.get(), want), offset, 0));
    if (n == 0) break;
    hole = AllZero(buffer.get(), n);
    if (!hole) TRY(WriteAll(*sink, buffer.get(), n, offset));
    offset += n;
  }
  if (!hole) return {};
  vfs::SetAttributes end;
  end.valid = vfs::SetAttributes::kSize;
  end.size = size;
  return to.SetAttr(end);
}

Result<void> CopyXattrs(const OverlayFileSystem& overlay, vfs::Inode& from, vfs::Inode& to) {
  Result<std::vector<std::string>> names = from.ListXattr();
  if (!names.ok()) return names.error() == Errno::kEOPNOTSUPP ? Result<void>() : names.error();
  for (const std::string& name : *names) {
    if (overlay.IsPrivateXattr(name)) continue;
    Result<std::string> value = from.GetXattr(name);
    if (!value.ok()) continue;  // one that may be listed but not read
    Result<void> set = to.SetXattr(name, *value, 0);
    if (!set.ok() && set.error() != Errno::kEOPNOTSUPP) return set.error();
  }
  return {};
}

// Last, since writing clears set-user-ID bits and moves times.
Result<void> CopyAttributes(const vfs::Attributes& from, vfs::Inode& to) {
  using Valid = vfs::SetAttributes;
  vfs::SetAttributes all;
  all.valid = Valid::kUid | Valid::kGid | Valid::kAtime | Valid::kMtime;
  if (!S_ISLNK(from.mode)) all.valid |= Valid::kMode;
  all.mode = from.mode & 07777;
  all.uid = from.uid;
  all.gid = from.gid;
  all.atime = from.atime;
  all.mtime = from.mtime;
  return to.SetAttr(all);
}

vfs::CreateOptions OptionsOf(const vfs::Attributes& attr) {
  return {.mode = attr.mode, .uid = attr.uid, .gid = attr.gid, .rdev = attr.rdev};
}

}  // namespace

Result<void> OverlayInode::CopyUp(uint64_t max_size) {
  if (upper_) return {};
  if (!overlay().writable()) return Errno::kEROFS;
  for (;;) {
    RefPtr<OverlayInode> top(this);
    while (top->parent_ && !top->parent_->upper_) top = top->parent_;
    if (top == this) return CopyUpHere(max_size);
    TRY(top->CopyUpHere(UINT64_MAX));
  }
}

Result<void> OverlayInode::CopyUpHere(uint64_t max_size) {
  vfs::DirectoryLock::Exclusive lock(copy_lock_);
  if (upper_) return {};  // by somebody else meanwhile
  vfs::Attributes attr = TRY(lower_->Stat());
  TRY(ResolveIno(attr));
  lower_links_ = attr.nlink;
  if (S_ISREG(type_)) {
    TRY(CopyUpRegular(max_size, attr));
  } else {
    TRY(CopyUpOther(attr));
  }
  vfs::Attributes copy = TRY(upper_->Stat());
  overlay().RememberIno(overlay().NaturalIno(copy.dev, copy.ino), ino_);
  return {};
}

// Names may change whenever something parks, so the directory may be another than that which CopyUp
// has made sure of.
Result<RefPtr<OverlayInode>> OverlayInode::UpperParent() {
  for (;;) {
    RefPtr<OverlayInode> parent = parent_;
    if (!parent || parent->upper_) return parent;
    TRY(parent->CopyUp());
  }
}

Result<void> OverlayInode::CopyUpRegular(uint64_t max_size, const vfs::Attributes& attr) {
  RefPtr<OverlayInode> directory = TRY(UpperParent());
  if (!directory) directory = overlay().overlay_root();
  RefPtr<vfs::Inode> copy = TRY(directory->upper_->CreateUnnamed(OptionsOf(attr)));
  TRY(CopyData(*lower_, *copy, std::min(attr.size, max_size)));
  TRY(CopyXattrs(overlay(), *lower_, *copy));
  TRY(CopyAttributes(attr, *copy));
  vfs::Inode& names = *directory->upper_;
  vfs::DirectoryLock::Exclusive lock(names.directory_lock);
  // Where the name was removed meanwhile, the file goes on without one.
  if (parent_ == directory) {
    KeepTimes keep(names);
    TRY(names.Link(name_, *copy));
    directory->UpperChanged(name_);
    covered_++;
  }
  SetUpper(std::move(copy));
  return {};
}

Result<RefPtr<vfs::Inode>> OverlayInode::MakeCopy(vfs::Inode& directory,
                                                  const vfs::Attributes& attr) {
  if (S_ISDIR(type_)) return directory.Mkdir(name_, OptionsOf(attr));
  if (!S_ISLNK(type_)) return directory.Mknod(name_, OptionsOf(attr));
  return directory.Symlink(name_, TRY(lower_->ReadLink(*LayerCredentials())), OptionsOf(attr));
}

Result<void> OverlayInode::CopyUpOther(const vfs::Attributes& attr) {
  for (;;) {
    RefPtr<OverlayInode> directory = TRY(UpperParent());
    if (!directory) return Errno::kENOENT;
    vfs::DirectoryLock::Exclusive lock(directory->upper_->directory_lock);
    if (parent_ == directory) return CopyUpNamed(*directory, attr);
  }
}

Result<void> OverlayInode::CopyUpNamed(OverlayInode& directory, const vfs::Attributes& attr) {
  vfs::Inode& names = *directory.upper_;
  KeepTimes keep(names);
  RefPtr<vfs::Inode> copy = TRY(MakeCopy(names, attr));
  Result<void> filled = CopyXattrs(overlay(), *lower_, *copy);
  if (filled.ok()) filled = CopyAttributes(attr, *copy);
  if (!filled.ok()) {
    (void)(S_ISDIR(type_) ? names.Rmdir(name_, *copy) : names.Unlink(name_, *copy));
    return filled;
  }
  directory.UpperChanged(name_);
  if (!S_ISDIR(type_)) covered_++;
  SetUpper(std::move(copy));
  return {};
}

}  // namespace overlay
