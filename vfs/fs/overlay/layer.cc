#include "vfs/fs/overlay/layer.h"

#include <fcntl.h>
#include <sys/stat.h>

namespace overlay {

const RefPtr<const Credentials>& LayerCredentials() {
  static auto* creds = new RefPtr<const Credentials>(Credentials::Root(nullptr));
  return *creds;
}

Result<RefPtr<vfs::Inode>> LookupIn(vfs::Inode& directory, std::string_view name) {
  vfs::DirectoryLock::Shared lock(directory.directory_lock);
  return directory.Lookup(name);
}

Result<bool> IsWhiteout(vfs::Inode& inode) {
  if (!S_ISCHR(inode.type())) return false;
  return TRY(inode.Stat()).rdev == 0;
}

Result<void> MakeWhiteout(vfs::Inode& directory, std::string_view name) {
  TRY(directory.Mknod(name, vfs::CreateOptions{.mode = S_IFCHR}));
  return {};
}

Result<PreparedWhiteout> PreparedWhiteout::Make(vfs::Inode& directory) {
  // There for the length of one operation, under the locks of both directories.
  std::string name;
  for (int i = 0;; i++) {
    name = "#whiteout" + std::to_string(i);
    Result<RefPtr<vfs::Inode>> taken = directory.Lookup(name);
    if (taken.ok()) continue;
    if (taken.error() != Errno::kENOENT) return taken.error();
    break;
  }
  RefPtr<vfs::Inode> whiteout = TRY(directory.Mknod(name, vfs::CreateOptions{.mode = S_IFCHR}));
  return PreparedWhiteout(directory, std::move(name), std::move(whiteout));
}

PreparedWhiteout::~PreparedWhiteout() {
  if (whiteout_) (void)directory_.Unlink(name_, *whiteout_);
}

Result<void> PreparedWhiteout::Put(std::string_view name) {
  TRY(directory_.Rename(name_, *whiteout_, directory_, name, nullptr, 0));
  whiteout_.reset();
  return {};
}

Result<bool> IsOpaque(vfs::Inode& directory, const std::string& xattr) {
  Result<std::string> value = directory.GetXattr(xattr);
  if (value.ok()) return *value == "y";
  if (value.error() == Errno::kENODATA || value.error() == Errno::kEOPNOTSUPP) return false;
  return value.error();
}

RefPtr<vfs::Dentry> DetachedDentry(vfs::Inode& inode) {
  return MakeRef<vfs::Dentry>(nullptr, "", RefPtr<vfs::Inode>(&inode));
}

Result<RefPtr<vfs::FileDescription>> OpenLayer(RefPtr<vfs::Dentry> detached, int flags) {
  RefPtr<vfs::FileDescription> file =
      TRY(detached->inode()->Open(vfs::OpenOptions{.flags = flags}, *LayerCredentials()));
  file->Init(vfs::Path{nullptr, std::move(detached)}, flags | O_NOATIME, LayerCredentials());
  return file;
}

Result<std::vector<LayerEntry>> ListLayer(vfs::Inode& directory) {
  RefPtr<vfs::FileDescription> file = TRY(OpenLayer(directory, O_RDONLY | O_DIRECTORY));
  std::vector<LayerEntry> entries;
  TRY(file->ReadDir([&entries](const vfs::DirectoryEntry& entry) {
    if (entry.name != "." && entry.name != "..") {
      entries.push_back({std::string(entry.name), entry.ino, entry.type});
    }
    return true;
  }));
  return entries;
}

KeepTimes::KeepTimes(vfs::Inode& inode) : inode_(inode), before_(inode.Stat()) {}

KeepTimes::~KeepTimes() {
  if (!before_.ok()) return;
  vfs::SetAttributes times;
  times.valid = vfs::SetAttributes::kAtime | vfs::SetAttributes::kMtime;
  times.atime = before_->atime;
  times.mtime = before_->mtime;
  (void)inode_.SetAttr(times);
}

}  // namespace overlay
