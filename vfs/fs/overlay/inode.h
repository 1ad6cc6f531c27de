#pragma once

// What all inodes of an overlay have in common: which layers have the file, its identity, one of
// its names, and copying it up.
//
// `upper` is set once and never changes, `lower` is constant, so either may be used across parks. A
// name of the file is known as long as it has one that was looked up; copying up gives the copy
// that name.

#include <string>
#include <string_view>

#include "vfs/fs/overlay/file_system.h"
#include "vfs/fs/overlay/layer.h"
#include "vfs/inode.h"

namespace overlay {

// Whether the layers below the upper one have a name.
enum class Below : uint8_t { kUnknown, kNothing, kSomething };

class OverlayInode : public vfs::Inode {
 public:
  Result<vfs::Attributes> Stat() override;
  uint32_t type() const final { return type_; }
  Result<void> SetAttr(const vfs::SetAttributes& changes) override;
  Result<std::string> ReadLink(const Credentials& creds) override { return real().ReadLink(creds); }
  Result<RefPtr<vfs::FileDescription>> Open(const vfs::OpenOptions& options,
                                            const Credentials& creds) override;
  Result<std::string> GetXattr(std::string_view name) override;
  Result<void> SetXattr(std::string_view name, std::string_view value, int flags) override;
  Result<void> RemoveXattr(std::string_view name) override;
  Result<std::vector<std::string>> ListXattr() override;

  OverlayFileSystem& overlay() const { return static_cast<OverlayFileSystem&>(*fs_); }
  const RefPtr<vfs::Inode>& upper() const { return upper_; }
  const RefPtr<vfs::Inode>& lower() const { return lower_; }  // the topmost one
  vfs::Inode& real() const { return upper_ ? *upper_ : *lower_; }
  Result<uint64_t> Ino();

  // Makes sure that the upper layer has the file, with its directories, owners, times and
  // attributes; of a regular file no more than `max_size` bytes. May park. EROFS; ENOENT for what
  // is no regular file and has no name any more.
  Result<void> CopyUp(uint64_t max_size = UINT64_MAX);

  // The known name.
  const RefPtr<OverlayInode>& parent() const { return parent_; }
  const std::string& name() const { return name_; }
  bool IsAt(const OverlayInode& parent, std::string_view name) const {
    return parent_ == &parent && name_ == name;
  }
  Below below() const { return below_; }
  void SetName(OverlayInode* parent, std::string_view name, Below below);
  // A name was looked up or made: the known one from now on, or one to fall back on when that is
  // removed.
  void AddName(OverlayInode* parent, std::string_view name, Below below);
  // A name was removed.
  void LeaveName(const OverlayInode& parent, std::string_view name);
  // A name that only the lower layer has was hidden by the upper one. May park.
  void CoverName();

 protected:
  friend class OverlayFileSystem;
  OverlayInode(OverlayFileSystem* fs, RefPtr<vfs::Inode> upper, RefPtr<vfs::Inode> lower);
  ~OverlayInode() override;
  void OnZeroRefs() override;

  // The copy exists in the upper layer. The caller holds the copy lock.
  void SetUpper(RefPtr<vfs::Inode> upper);
  Result<void> ResolveIno(const vfs::Attributes& real);
  // Of a directory: something else has this name in the upper layer now.
  virtual void UpperChanged(std::string_view name) {}

  RefPtr<vfs::Inode> upper_;
  const RefPtr<vfs::Inode> lower_;

 private:
  Result<void> CopyUpHere(uint64_t max_size);
  // The directory of the known name, in the upper layer; null without a name.
  Result<RefPtr<OverlayInode>> UpperParent();
  Result<void> CopyUpRegular(uint64_t max_size, const vfs::Attributes& attr);
  Result<void> CopyUpOther(const vfs::Attributes& attr);
  Result<void> CopyUpNamed(OverlayInode& directory, const vfs::Attributes& attr);
  Result<RefPtr<vfs::Inode>> MakeCopy(vfs::Inode& directory, const vfs::Attributes& attr);

  const uint32_t type_;
  Below below_ = Below::kUnknown;
  uint64_t ino_ = 0;  // as applications see it; 0: not asked for yet
  RefPtr<OverlayInode> parent_;
  std::string name_;
  struct Name {
    RefPtr<OverlayInode> parent;
    std::string name;
    Below below;
  };
  std::vector<Name> other_names_;  // of hard links
  // Of a file with a lower: how many names the lower layer counts (known once it matters), and how
  // many of them the upper layer hides or has copied.
  uint32_t lower_links_ = 0, covered_ = 0;
  vfs::DirectoryLock copy_lock_;
};

}  // namespace overlay
