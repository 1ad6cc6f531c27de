#include "vfs/fs/overlay/file_system.h"

#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <algorithm>
#include <utility>

#include "vfs/fs/overlay/directory.h"
#include "vfs/fs/overlay/inode.h"
#include "vfs/fs/overlay/regular.h"

namespace overlay {

namespace {

// Links, devices, fifos and sockets.
class SpecialInode final : public OverlayInode {
 public:
  SpecialInode(OverlayFileSystem* fs, RefPtr<vfs::Inode> upper, RefPtr<vfs::Inode> lower)
      : OverlayInode(fs, std::move(upper), std::move(lower)) {}
};

}  // namespace

Result<RefPtr<vfs::FileSystem>> CreateOverlay(Options options) {
  if (options.lowers.empty()) return Errno::kEINVAL;
  if (options.upper && !S_ISDIR(options.upper->type())) return Errno::kENOTDIR;
  // It would take whiteouts for its own.
  if (options.upper && options.upper->fs().name() == "overlay") return Errno::kEINVAL;
  for (const RefPtr<vfs::Inode>& lower : options.lowers) {
    if (!S_ISDIR(lower->type())) return Errno::kENOTDIR;
  }
  return RefPtr<vfs::FileSystem>(MakeRef<OverlayFileSystem>(std::move(options)));
}

OverlayFileSystem::OverlayFileSystem(Options options)
    : FileSystem("overlay", options.source),
      layers_(std::move(options.layers)),
      options_(std::move(options)),
      xattr_prefix_(options_.user_xattrs ? "user.overlay." : "trusted.overlay."),
      opaque_xattr_(std::string(xattr_prefix_) + "opaque") {
  if (!options_.upper) flags |= MS_RDONLY;
  // Numbers of the first lower layer, which has most of the files, stay what they are.
  devices_.push_back(options_.lowers.front()->fs().dev());
  root_ = InodeFor(options_.upper, Layers(options_.lowers.begin(), options_.lowers.end()));
}

OverlayFileSystem::~OverlayFileSystem() { root_.reset(); }

RefPtr<vfs::Inode> OverlayFileSystem::root() { return root_; }

Result<struct statfs> OverlayFileSystem::StatFs() {
  vfs::Inode& layer = options_.upper ? *options_.upper : *options_.lowers.front();
  struct statfs st = TRY(layer.fs().StatFs());
  st.f_type = OVERLAYFS_SUPER_MAGIC;
  return st;
}

Result<void> OverlayFileSystem::Sync() {
  if (!options_.upper) return {};
  return options_.upper->fs().Sync();
}

uint64_t OverlayFileSystem::MixedIno(uint64_t dev, uint64_t ino) {
  auto it = std::find(devices_.begin(), devices_.end(), dev);
  if (it == devices_.end()) it = devices_.insert(devices_.end(), dev);
  // Numbers of real file systems seldom reach this high.
  constexpr int kDeviceShift = 48;
  return ino ^ (static_cast<uint64_t>(it - devices_.begin()) << kDeviceShift);
}

void OverlayFileSystem::ForgetUpperDentry(const OverlayInode& directory, std::string_view name) {
  if (!options_.upper_dentry) return;
  std::vector<const OverlayInode*> path;
  for (const OverlayInode* at = &directory; at != root_.get(); at = at->parent().get()) {
    if (at == nullptr) return;  // removed
    path.push_back(at);
  }
  RefPtr<vfs::Dentry> dentry = options_.upper_dentry;
  for (; dentry && !path.empty(); path.pop_back())
    dentry = dentry->CachedChild(path.back()->name());
  if (dentry) dentry = dentry->CachedChild(name);
  if (dentry) dentry->Forget();
}

void OverlayFileSystem::UpperRemoved(vfs::Inode& upper) {
  if (inos_.empty()) return;
  Result<vfs::Attributes> attr = upper.Stat();
  if (!attr.ok() || (attr->nlink > 0 && !S_ISDIR(attr->mode))) return;
  ForgetIno(NaturalIno(attr->dev, attr->ino));
}

RefPtr<OverlayInode> OverlayFileSystem::Find(const vfs::Inode& layer_inode) {
  auto it = inodes_.find(&layer_inode);
  // One whose last reference is going elsewhere just now is as good as gone.
  if (it == inodes_.end() || !it->second->TryIncRef()) return nullptr;
  return RefPtr<OverlayInode>::Adopt(it->second);
}

std::optional<OverlayFileSystem::Saved> OverlayFileSystem::TakeSaved(const vfs::Inode* upper,
                                                                     const vfs::Inode* lower) {
  if (saved_.empty()) return std::nullopt;
  if (upper != nullptr) {
    auto it = saved_uppers_.find(upper);
    if (it == saved_uppers_.end()) return std::nullopt;
    lower = it->second;
  }
  auto it = saved_.find(lower);
  if (it == saved_.end()) return std::nullopt;
  Saved saved = std::move(it->second);
  saved_.erase(it);
  if (saved.upper) saved_uppers_.erase(saved.upper.get());
  return saved;
}

RefPtr<OverlayInode> OverlayFileSystem::InodeFor(RefPtr<vfs::Inode> upper, const Layers& lowers) {
  RefPtr<vfs::Inode> lower = lowers.empty() ? nullptr : lowers.front();
  const uint32_t type = (upper ? upper : lower)->type();
  if (RefPtr<OverlayInode> known = Find(upper ? *upper : *lower)) return known;
  if (S_ISDIR(type)) return MakeRef<DirectoryInode>(this, std::move(upper), lowers);
  std::optional<Saved> saved = TakeSaved(upper.get(), lower.get());
  if (saved) {
    upper = saved->upper;
    lower = saved->lower;
  }
  RefPtr<OverlayInode> inode;
  if (S_ISREG(type)) {
    inode = MakeRef<RegularInode>(this, std::move(upper), std::move(lower));
  } else {
    inode = MakeRef<SpecialInode>(this, std::move(upper), std::move(lower));
  }
  if (saved) {
    inode->lower_links_ = saved->lower_links;
    inode->covered_ = saved->covered;
    inode->ino_ = saved->ino;
  }
  return inode;
}

void OverlayFileSystem::Register(OverlayInode& inode) {
  if (inode.upper_) inodes_[inode.upper_.get()] = &inode;
  if (inode.lower_) inodes_[inode.lower_.get()] = &inode;
}

void OverlayFileSystem::Unregister(OverlayInode& inode) {
  for (const RefPtr<vfs::Inode>& layer : {inode.upper_, inode.lower_}) {
    auto it = inodes_.find(layer.get());
    if (it != inodes_.end() && it->second == &inode) inodes_.erase(it);
  }
  // Other names of it lead to the lower file still.
  bool needed = inode.lower_ && !S_ISDIR(inode.type_) && inode.lower_links_ > inode.covered_ &&
                (inode.upper_ || inode.covered_ > 0);
  if (!needed) return;
  if (inode.upper_) saved_uppers_[inode.upper_.get()] = inode.lower_.get();
  saved_[inode.lower_.get()] =
      Saved{inode.lower_, inode.upper_, inode.lower_links_, inode.covered_, inode.ino_};
}

}  // namespace overlay
