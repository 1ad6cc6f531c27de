#include "vfs/fs/tmpfs/inode.h"

#include <sys/xattr.h>

#include "base/event_loop.h"
#include "vfs/file_description.h"

namespace tmpfs {

using Valid = vfs::SetAttributes::Valid;

TmpInode::TmpInode(TmpFileSystem* fs, const vfs::CreateOptions& options)
    : Inode(fs), ino_(fs->NextIno()), mode_(options.mode), uid_(options.uid), gid_(options.gid), btime_(base::RealtimeNow()) {
  atime_ = mtime_ = ctime_ = btime_;
}

TmpInode::~TmpInode() { tmp_fs().space()->inodes--; }

void TmpInode::Modified() { mtime_ = ctime_ = base::RealtimeNow(); }

void TmpInode::Changed() { ctime_ = base::RealtimeNow(); }

Result<vfs::Attributes> TmpInode::Stat() {
  vfs::Attributes attr;
  attr.dev = fs_->dev();
  attr.ino = ino_;
  attr.mode = mode_;
  attr.nlink = nlink_;
  attr.uid = uid_;
  attr.gid = gid_;
  attr.atime = atime_;
  attr.mtime = mtime_;
  attr.ctime = ctime_;
  attr.btime = btime_;
  FillStat(&attr);
  return attr;
}

Result<void> TmpInode::SetAttr(const vfs::SetAttributes& changes) {
  if ((changes.valid & Valid::kSize) != 0) TRY(SetSize(changes.size));
  if ((changes.valid & Valid::kMode) != 0) mode_ = (mode_ & S_IFMT) | (changes.mode & 07777);
  if ((changes.valid & Valid::kUid) != 0) uid_ = changes.uid;
  if ((changes.valid & Valid::kGid) != 0) gid_ = changes.gid;
  ctime_ = base::RealtimeNow();
  if ((changes.valid & Valid::kAtime) != 0) atime_ = changes.atime;
  if ((changes.valid & Valid::kMtime) != 0) mtime_ = changes.mtime;
  if ((changes.valid & Valid::kAtimeNow) != 0) atime_ = ctime_;
  if ((changes.valid & Valid::kMtimeNow) != 0) mtime_ = ctime_;
  return {};
}

namespace {
bool Supported(std::string_view name) {
  return name.starts_with("user.") || name.starts_with("trusted.") || name.starts_with("security.");
}
// They take the Sentry's own memory, which no size= bounds.
constexpr size_t kMaxXattrBytes = 256 * 1024;
}  // namespace

Result<std::string> TmpInode::GetXattr(std::string_view name) {
  if (!Supported(name)) return Errno::kEOPNOTSUPP;
  if (!xattrs_) return Errno::kENODATA;
  auto it = xattrs_->find(name);
  if (it == xattrs_->end()) return Errno::kENODATA;
  return it->second;
}

Result<void> TmpInode::SetXattr(std::string_view name, std::string_view value, int flags) {
  if (!Supported(name)) return Errno::kEOPNOTSUPP;
  if (!xattrs_) xattrs_ = std::make_unique<Xattrs>();
  auto it = xattrs_->find(name);
  if (it != xattrs_->end() && (flags & XATTR_CREATE) != 0) return Errno::kEEXIST;
  if (it == xattrs_->end() && (flags & XATTR_REPLACE) != 0) return Errno::kENODATA;
  size_t freed = it != xattrs_->end() ? it->first.size() + it->second.size() : 0;
  size_t bytes = xattr_bytes_ - freed + name.size() + value.size();
  if (bytes > kMaxXattrBytes) return Errno::kENOSPC;
  xattr_bytes_ = bytes;
  if (it != xattrs_->end()) {
    it->second = value;
  } else {
    xattrs_->emplace(name, value);
  }
  Changed();
  return {};
}

Result<void> TmpInode::RemoveXattr(std::string_view name) {
  if (!Supported(name)) return Errno::kEOPNOTSUPP;
  if (!xattrs_) return Errno::kENODATA;
  auto it = xattrs_->find(name);
  if (it == xattrs_->end()) return Errno::kENODATA;
  xattr_bytes_ -= it->first.size() + it->second.size();
  xattrs_->erase(it);
  Changed();
  return {};
}

Result<std::vector<std::string>> TmpInode::ListXattr() {
  std::vector<std::string> names;
  if (xattrs_) {
    for (const auto& [name, value] : *xattrs_) names.push_back(name);
  }
  return names;
}

namespace {

class Symlink final : public TmpInode {
 public:
  Symlink(TmpFileSystem* fs, const vfs::CreateOptions& options, std::string_view target)
      : TmpInode(fs, options), target_(target) {}
  Result<std::string> ReadLink(const Credentials&) override { return target_; }
  Result<RefPtr<vfs::FileDescription>> Open(const vfs::OpenOptions&, const Credentials&) override { return Errno::kELOOP; }

 private:
  void FillStat(vfs::Attributes* attr) override { attr->size = target_.size(); }

  const std::string target_;
};

class Special final : public TmpInode {
 public:
  Special(TmpFileSystem* fs, const vfs::CreateOptions& options) : TmpInode(fs, options), rdev_(options.rdev) {}
  // Of what nobody registered an opener for.
  Result<RefPtr<vfs::FileDescription>> Open(const vfs::OpenOptions&, const Credentials&) override { return Errno::kENXIO; }

 private:
  void FillStat(vfs::Attributes* attr) override { attr->rdev = rdev_; }

  const uint64_t rdev_;
};

}  // namespace

RefPtr<TmpInode> MakeSymlink(TmpFileSystem* fs, const vfs::CreateOptions& options, std::string_view target) {
  return MakeRef<Symlink>(fs, options, target);
}

RefPtr<TmpInode> MakeSpecial(TmpFileSystem* fs, const vfs::CreateOptions& options) { return MakeRef<Special>(fs, options); }

}  // namespace tmpfs
