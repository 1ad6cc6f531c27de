#include "vfs/fs/devpts/devpts.h"

#include <dirent.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/sysmacros.h>

#include "base/event_loop.h"
#include "vfs/file_system_type.h"
#include "vfs/path_walk.h"
#include "vfs/simple_statfs.h"

namespace devpts {

namespace {

constexpr unsigned kPtmxMajor = 5, kPtmxMinor = 2;

class PtmxInode final : public pseudo::Node {
 public:
  PtmxInode(vfs::FileSystem* fs, uint32_t mode) : Node(fs, S_IFCHR | mode) {}
  Result<vfs::Attributes> Stat() override {
    vfs::Attributes attributes = TRY(Node::Stat());
    attributes.rdev = makedev(kPtmxMajor, kPtmxMinor);
    return attributes;
  }
  // Opened as the device that it is; see Register.
  Result<RefPtr<vfs::FileDescription>> Open(const vfs::OpenOptions&, const Credentials&) override { return Errno::kENXIO; }
};

class SlaveInode final : public pseudo::Node {
 public:
  SlaveInode(vfs::FileSystem* fs, RefPtr<Pty> pty, const Options& options, const Credentials& creds)
      : Node(fs, S_IFCHR), pty_(std::move(pty)) {
    attributes_.dev = fs->dev();
    attributes_.ino = ino();
    attributes_.mode = S_IFCHR | options.mode;
    attributes_.uid = options.uid.value_or(creds.fsuid);
    attributes_.gid = options.gid.value_or(creds.fsgid);
    attributes_.rdev = pty_->device();
    attributes_.blksize = 1024;
    attributes_.atime = attributes_.mtime = attributes_.ctime = base::RealtimeNow();
  }
  Result<vfs::Attributes> Stat() override { return attributes_; }
  // mesg(1), login and sshd give a terminal to its user.
  Result<void> SetAttr(const vfs::SetAttributes& changes) override {
    using Set = vfs::SetAttributes;
    const int64_t now = base::RealtimeNow();
    if (changes.valid & Set::kMode) attributes_.mode = S_IFCHR | (changes.mode & 07777);
    if (changes.valid & Set::kUid) attributes_.uid = changes.uid;
    if (changes.valid & Set::kGid) attributes_.gid = changes.gid;
    if (changes.valid & Set::kAtime) attributes_.atime = changes.atime;
    if (changes.valid & Set::kMtime) attributes_.mtime = changes.mtime;
    if (changes.valid & Set::kAtimeNow) attributes_.atime = now;
    if (changes.valid & Set::kMtimeNow) attributes_.mtime = now;
    attributes_.ctime = now;
    return {};
  }
  Result<RefPtr<vfs::FileDescription>> Open(const vfs::OpenOptions& options, const Credentials&) override {
    return pty_->Open(options.flags);
  }

 private:
  const RefPtr<Pty> pty_;
  vfs::Attributes attributes_;
};

Result<uint32_t> ParseNumber(std::string_view text, int radix) {
  uint32_t value = 0;
  if (text.empty()) return Errno::kEINVAL;
  for (char c : text) {
    if (c < '0' || c >= '0' + radix || value > UINT32_MAX / 16) return Errno::kEINVAL;
    value = value * radix + (c - '0');
  }
  return value;
}

}  // namespace

class RootDirectory final : public pseudo::Directory {
 public:
  explicit RootDirectory(DevptsFs* fs) : Directory(fs, 0755), pts_(*fs) {}

  bool cacheable() const override { return false; }  // names come and go with their masters
  Result<RefPtr<vfs::Inode>> Lookup(std::string_view name) override {
    if (name == "ptmx") return RefPtr<vfs::Inode>(pts_.ptmx_);
    Result<uint32_t> index = ParseNumber(name, 10);
    if (!index.ok()) return Errno::kENOENT;
    auto it = pts_.slaves_.find(*index);
    if (it == pts_.slaves_.end() || (name.size() > 1 && name[0] == '0')) return Errno::kENOENT;
    if (it->second.adopted == nullptr) return RefPtr<vfs::Inode>(it->second.own);
    if (!it->second.adopted->TryIncRef()) return Errno::kENOENT;
    return RefPtr<vfs::Inode>::Adopt(it->second.adopted);
  }
  std::vector<Entry> List() override {
    std::vector<Entry> entries{{"ptmx", pts_.ptmx_->ino(), DT_CHR}};
    for (const auto& [index, slave] : pts_.slaves_) {
      entries.push_back({std::to_string(index), slave.own ? slave.own->ino() : index + 3, DT_CHR});
    }
    return entries;
  }

 private:
  DevptsFs& pts_;
};

Result<Options> ParseOptions(std::string_view text) {
  Options options;
  for (const vfs::MountOption& option : vfs::ParseMountOptions(text)) {
    if (option.name == "uid") {
      options.uid = TRY(ParseNumber(option.value, 10));
    } else if (option.name == "gid") {
      options.gid = TRY(ParseNumber(option.value, 10));
    } else if (option.name == "mode") {
      options.mode = TRY(ParseNumber(option.value, 8)) & 0777;
    } else if (option.name == "ptmxmode") {
      options.ptmx_mode = TRY(ParseNumber(option.value, 8)) & 0777;
    } else if (option.name == "max") {
      options.max = TRY(ParseNumber(option.value, 10));
    } else if (option.name != "newinstance") {
      return Errno::kEINVAL;
    }
  }
  return options;
}

RefPtr<DevptsFs> DevptsFs::Create(const Options& options) {
  auto fs = RefPtr<DevptsFs>::Adopt(new DevptsFs(options));
  fs->root_ = MakeRef<RootDirectory>(fs.get());
  fs->ptmx_ = MakeRef<PtmxInode>(fs.get(), options.ptmx_mode);
  return fs;
}

Result<struct statfs> DevptsFs::StatFs() { return vfs::SimpleStatFs(DEVPTS_SUPER_MAGIC); }

std::string DevptsFs::MountOptions() {
  std::string text;
  if (options_.uid) text += fmt::format("uid={},", *options_.uid);
  if (options_.gid) text += fmt::format("gid={},", *options_.gid);
  return text + fmt::format("mode={:03o},ptmxmode={:03o}", options_.mode, options_.ptmx_mode);
}

Result<unsigned> DevptsFs::FreeIndex() const {
  unsigned index = 0;
  for (const auto& [used, slave] : slaves_) {
    if (used != index) break;
    index++;
  }
  if (index >= options_.max) return Errno::kENOSPC;
  return index;
}

Result<RefPtr<vfs::FileDescription>> DevptsFs::OpenMaster(const Credentials& creds) {
  const unsigned index = TRY(FreeIndex());
  auto pty = MakeRef<Pty>(RefPtr<DevptsFs>(this), index);
  slaves_[index].own = MakeRef<SlaveInode>(this, pty, options_, creds);
  return RefPtr<vfs::FileDescription>(MakeRef<MasterFile>(std::move(pty)));
}

Result<unsigned> DevptsFs::Adopt(vfs::Inode& terminal) {
  // Goes with the inode, and the name with it.
  struct Tie : RefCounted {
    Tie(RefPtr<DevptsFs> of, unsigned at) : fs(std::move(of)), index(at) {}
    ~Tie() override { fs->Remove(index); }
    const RefPtr<DevptsFs> fs;
    const unsigned index;
  };
  const unsigned index = TRY(FreeIndex());
  slaves_[index].adopted = &terminal;
  terminal.attached = MakeRef<Tie>(RefPtr<DevptsFs>(this), index);
  return index;
}

Result<void> Adopt(const vfs::Path& directory, std::string_view directory_name, vfs::FileDescription& file) {
  vfs::Terminal* terminal = file.AsTerminal();
  if (terminal == nullptr) return Errno::kENOTTY;
  if (directory.mount->fs()->name() != "devpts" || file.inode().attached) return Errno::kENODEV;
  const unsigned index = TRY(static_cast<DevptsFs&>(*directory.mount->fs()).Adopt(file.inode()));
  terminal->name = fmt::format("{}/{}", directory_name, index);
  return {};
}

Result<RefPtr<vfs::FileDescription>> OpenPeer(MasterFile& master, int flags, RefPtr<const Credentials> creds) {
  RefPtr<vfs::FileDescription> slave = TRY(master.pty()->Open(flags));
  const vfs::Path& root = master.instance_root;
  if (!root.valid()) return Errno::kEIO;
  RefPtr<vfs::Dentry> dentry = TRY(root.dentry->Child(std::to_string(master.pty()->index())));
  slave->Init({root.mount, dentry}, flags & (O_ACCMODE | O_NONBLOCK), std::move(creds));
  return slave;
}

void Register() {
  vfs::RegisterFileSystemType({.name = "devpts",
                               .user_mountable = true,
                               .create = [](const vfs::MountRequest& request) -> Result<RefPtr<vfs::FileSystem>> {
                                 Options options = TRY(ParseOptions(request.options));
                                 const auto& ns = *request.context.creds->user_ns;
                                 if (options.uid) options.uid = ns.UidToKernel(*options.uid);
                                 if (options.gid) options.gid = ns.GidToKernel(*options.gid);
                                 return RefPtr<vfs::FileSystem>(DevptsFs::Create(options));
                               }});
  vfs::RegisterCharDevice(kPtmxMajor, kPtmxMinor,
                          [](const vfs::SpecialOpen& open) -> Result<RefPtr<vfs::FileDescription>> {
                            // A ptmx outside of devpts goes with the instance on "pts" beside it.
                            if (!open.place.dentry->parent()) return Errno::kENODEV;
                            vfs::Path root{open.place.mount, open.place.dentry->parent()};
                            if (root.mount->fs()->name() != "devpts") {
                              vfs::WalkContext beside = open.context;
                              beside.start = root;
                              root = TRY(vfs::Walk(beside, "pts", vfs::kWalkFollow | vfs::kWalkDirectory));
                              if (root.mount->fs()->name() != "devpts") return Errno::kENODEV;
                            }
                            auto& fs = static_cast<DevptsFs&>(*root.mount->fs());
                            RefPtr<vfs::FileDescription> file = TRY(fs.OpenMaster(*open.context.creds));
                            vfs::FileAs<MasterFile>(file.get())->instance_root = root;
                            return file;
                          });
}

}  // namespace devpts
