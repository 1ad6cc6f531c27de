#include "vfs/fs/overlay/inode.h"

#include <sys/stat.h>

#include <utility>

#include "base/kernel_lock.h"
#include "vfs/file_description.h"

namespace overlay {

OverlayInode::OverlayInode(OverlayFileSystem* fs, RefPtr<vfs::Inode> upper,
                           RefPtr<vfs::Inode> lower)
    : Inode(fs),
      upper_(std::move(upper)),
      lower_(std::move(lower)),
      type_((upper_ ? upper_ : lower_)->type()) {
  fs->Register(*this);
  // A socket or pipe that an earlier inode for this file has left there.
  if (upper_) attached = std::move(upper_->attached);
}

OverlayInode::~OverlayInode() = default;

void OverlayInode::OnZeroRefs() {
  // The last reference may go where the kernel lock is not held.
  const bool locked = KernelLock::HeldByCurrentThread();
  if (!locked) KernelLock::Lock();
  overlay().Unregister(*this);
  if (attached && upper_) upper_->attached = std::move(attached);
  // Chains of parents that only their children held are as deep as the guest made them: not by
  // recursion.
  RefPtr<OverlayInode> parent = std::move(parent_);
  delete this;
  while (parent && parent->refs() == 1) {
    RefPtr<OverlayInode> next = std::move(parent->parent_);
    parent = std::move(next);
  }
  parent.reset();
  if (!locked) KernelLock::Unlock();
}

Result<void> OverlayInode::ResolveIno(const vfs::Attributes& attr) {
  if (ino_ != 0) return {};
  uint64_t natural = overlay().NaturalIno(attr.dev, attr.ino);
  ino_ = overlay().RememberedIno(natural).value_or(natural);
  return {};
}

Result<vfs::Attributes> OverlayInode::Stat() {
  Result<vfs::Attributes> attr = real().Stat();
  if (!attr.ok()) return attr;
  if (ino_ == 0) [[unlikely]]
    TRY(ResolveIno(*attr));
  attr->dev = fs_->dev();
  attr->ino = ino_;
  attr->nlink += upper_ ? lower_links_ - covered_ : -covered_;
  return attr;
}

Result<uint64_t> OverlayInode::Ino() {
  if (ino_ == 0) TRY(Stat());
  return ino_;
}

Result<void> OverlayInode::SetAttr(const vfs::SetAttributes& changes) {
  TRY(CopyUp((changes.valid & vfs::SetAttributes::kSize) != 0 ? changes.size : UINT64_MAX));
  return upper_->SetAttr(changes);
}

Result<RefPtr<vfs::FileDescription>> OverlayInode::Open(const vfs::OpenOptions& options,
                                                        const Credentials& creds) {
  return real().Open(options, creds);
}

Result<std::string> OverlayInode::GetXattr(std::string_view name) {
  if (overlay().IsPrivateXattr(name)) return Errno::kEOPNOTSUPP;
  return real().GetXattr(name);
}

Result<void> OverlayInode::SetXattr(std::string_view name, std::string_view value, int flags) {
  if (overlay().IsPrivateXattr(name)) return Errno::kEOPNOTSUPP;
  TRY(CopyUp());
  return upper_->SetXattr(name, value, flags);
}

Result<void> OverlayInode::RemoveXattr(std::string_view name) {
  if (overlay().IsPrivateXattr(name)) return Errno::kEOPNOTSUPP;
  if (!upper_) TRY(lower_->GetXattr(name));
  TRY(CopyUp());
  return upper_->RemoveXattr(name);
}

Result<std::vector<std::string>> OverlayInode::ListXattr() {
  std::vector<std::string> names = TRY(real().ListXattr());
  std::erase_if(names, [this](const std::string& name) { return overlay().IsPrivateXattr(name); });
  return names;
}

void OverlayInode::SetName(OverlayInode* parent, std::string_view name, Below below) {
  parent_ = RefPtr<OverlayInode>(parent);
  name_ = name;
  below_ = below;
}

void OverlayInode::AddName(OverlayInode* parent, std::string_view name, Below below) {
  if (!parent_) return SetName(parent, name, below);
  // One is enough to copy up by; a few more than that are kept at hand.
  constexpr size_t kMaxOtherNames = 16;
  if (IsAt(*parent, name) || S_ISDIR(type_) || other_names_.size() >= kMaxOtherNames) return;
  for (const Name& other : other_names_) {
    if (other.parent == parent && other.name == name) return;
  }
  other_names_.push_back({RefPtr<OverlayInode>(parent), std::string(name), below});
}

void OverlayInode::LeaveName(const OverlayInode& parent, std::string_view name) {
  if (!IsAt(parent, name)) {
    std::erase_if(other_names_,
                  [&](const Name& other) { return other.parent == &parent && other.name == name; });
    return;
  }
  if (other_names_.empty()) return SetName(nullptr, "", Below::kUnknown);
  Name next = std::move(other_names_.back());
  other_names_.pop_back();
  SetName(next.parent.get(), next.name, next.below);
}

void OverlayInode::CoverName() {
  if (!lower_) return;
  covered_++;
  if (lower_links_ != 0) return;
  Result<vfs::Attributes> attr = lower_->Stat();
  if (attr.ok()) lower_links_ = attr->nlink;
}

void OverlayInode::SetUpper(RefPtr<vfs::Inode> upper) {
  upper_ = std::move(upper);
  overlay().Register(*this);
}

}  // namespace overlay
