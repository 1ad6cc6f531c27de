#include "vfs/anonymous.h"

#include <linux/magic.h>

#include "base/event_loop.h"
#include "vfs/operations.h"

namespace vfs {

namespace {

class AnonymousInode final : public Inode {
 public:
  AnonymousInode(FileSystem* fs, uint32_t mode, const Credentials& creds) : Inode(fs) {
    attr_.dev = fs->dev();
    attr_.ino = fs->NextIno();
    attr_.mode = mode;
    attr_.uid = creds.fsuid;
    attr_.gid = creds.fsgid;
    attr_.atime = attr_.mtime = attr_.ctime = base::RealtimeNow();
  }

  Result<Attributes> Stat() override { return attr_; }
  uint32_t type() const override { return attr_.mode & S_IFMT; }
  // fchmod(2) and fchown(2) of a pipe or a socket.
  Result<void> SetAttr(const SetAttributes& changes) override {
    if ((changes.valid & SetAttributes::kSize) != 0) return Errno::kEINVAL;
    if ((changes.valid & SetAttributes::kMode) != 0) attr_.mode = (attr_.mode & S_IFMT) | (changes.mode & 07777);
    if ((changes.valid & SetAttributes::kUid) != 0) attr_.uid = changes.uid;
    if ((changes.valid & SetAttributes::kGid) != 0) attr_.gid = changes.gid;
    if ((changes.valid & SetAttributes::kAtime) != 0) attr_.atime = changes.atime;
    if ((changes.valid & SetAttributes::kMtime) != 0) attr_.mtime = changes.mtime;
    attr_.ctime = base::RealtimeNow();
    return {};
  }
  Result<RefPtr<FileDescription>> Open(const OpenOptions&, const Credentials&) override { return Errno::kENXIO; }

 private:
  Attributes attr_;
};

class AnonymousFileSystem final : public FileSystem {
 public:
  AnonymousFileSystem() : FileSystem("anon_inodefs", "none"), root_creds_(MakeRef<Credentials>()) {}

  RefPtr<Inode> root() override { return MakeRef<AnonymousInode>(this, S_IFDIR | 0500, *root_creds_); }
  Result<struct statfs> StatFs() override {
    struct statfs st = {};
    st.f_type = ANON_INODE_FS_MAGIC;
    st.f_bsize = 4096;
    st.f_namelen = 255;
    return st;
  }

 private:
  RefPtr<Credentials> root_creds_;
};

}  // namespace

const RefPtr<Mount>& AnonymousMount() {
  static auto* mount = new RefPtr<Mount>(MakeRef<Mount>(RefPtr<FileSystem>(MakeRef<AnonymousFileSystem>()), 0ul));
  return *mount;
}

bool IsAnonymousMount(const Mount& mount) { return &mount == AnonymousMount().get(); }

RefPtr<Inode> MakeAnonymousInode(uint32_t mode, const Credentials& creds) {
  return MakeRef<AnonymousInode>(AnonymousMount()->fs().get(), mode, creds);
}

void InitAnonymous(FileDescription& file, std::string_view name, uint32_t mode, int flags, RefPtr<const Credentials> creds) {
  RefPtr<Inode> inode = MakeAnonymousInode(mode, *creds);
  InitAnonymous(file, name, std::move(inode), flags, std::move(creds));
}

void InitAnonymous(FileDescription& file, std::string_view name, RefPtr<Inode> inode, int flags, RefPtr<const Credentials> creds) {
  auto dentry = MakeRef<Dentry>(nullptr, std::string(name), std::move(inode));
  file.Init(Path{AnonymousMount(), std::move(dentry)}, flags, std::move(creds));
}

}  // namespace vfs
