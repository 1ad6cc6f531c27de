#include "sentry/kernel/namespace_file.h"

#include <linux/nsfs.h>
#include <sched.h>
#include <sys/stat.h>

#include "base/event_loop.h"
#include "sentry/kernel/task.h"

namespace kernel {

namespace {

class NamespaceFile final : public vfs::FileDescription {
 public:
  static inline char kKind;
  explicit NamespaceFile(NamespaceHandle handle) : handle_(std::move(handle)) {}
  const void* kind() const override { return &kKind; }
  const NamespaceHandle& handle() const { return handle_; }
  Result<size_t> Read(const IoVec&) override { return Errno::kEINVAL; }
  Result<size_t> Write(const IoVec&) override { return Errno::kEINVAL; }
  Result<uint64_t> Ioctl(uint32_t request, uint64_t, const vfs::IoctlContext&) override {
    if (request == NS_GET_NSTYPE) return static_cast<uint64_t>(handle_.type);
    return Errno::kENOTTY;
  }

 private:
  const NamespaceHandle handle_;
};

class NamespaceInode final : public vfs::Inode {
 public:
  NamespaceInode(vfs::FileSystem* fs, NamespaceHandle handle) : Inode(fs), handle_(std::move(handle)) {}
  uint32_t type() const override { return S_IFREG; }
  Result<vfs::Attributes> Stat() override {
    vfs::Attributes attributes;
    attributes.dev = fs_->dev();
    attributes.ino = handle_.id;
    attributes.mode = S_IFREG | 0444;
    attributes.atime = attributes.mtime = attributes.ctime = base::RealtimeNow();
    return attributes;
  }
  Result<RefPtr<vfs::FileDescription>> Open(const vfs::OpenOptions& options, const Credentials&) override {
    if ((options.flags & O_ACCMODE) != O_RDONLY) return Errno::kEPERM;
    return RefPtr<vfs::FileDescription>(MakeRef<NamespaceFile>(handle_));
  }

 private:
  const NamespaceHandle handle_;
};

class NamespaceFs final : public vfs::FileSystem {
 public:
  NamespaceFs() : FileSystem("nsfs", "nsfs") {}
  RefPtr<vfs::Inode> root() override { return MakeRef<NamespaceInode>(this, NamespaceHandle{}); }
  Result<struct statfs> StatFs() override {
    struct statfs out = {};
    out.f_type = 0x6e736673;
    out.f_bsize = 4096;
    out.f_namelen = 255;
    return out;
  }
};

const RefPtr<vfs::Mount>& NamespaceMount() {
  static auto* mount = new RefPtr<vfs::Mount>(MakeRef<vfs::Mount>(RefPtr<vfs::FileSystem>(MakeRef<NamespaceFs>()), 0ul));
  return *mount;
}

template <class T>
uint64_t AddressId(const T& object) {
  return reinterpret_cast<uintptr_t>(object.get()) & 0xffffffff;
}

}  // namespace

Result<NamespaceHandle> NamespaceOf(Task& task, int type, bool for_children) {
  const Namespaces& namespaces = task.namespaces;
  switch (type) {
    case CLONE_NEWUTS:
      return NamespaceHandle{type, namespaces.uts, namespaces.uts->id};
    case CLONE_NEWIPC:
      return NamespaceHandle{type, namespaces.ipc, namespaces.ipc->id};
    case CLONE_NEWNET:
      return NamespaceHandle{type, namespaces.net, namespaces.net->id};
    case CLONE_NEWNS:
      return NamespaceHandle{type, namespaces.mount, AddressId(namespaces.mount)};
    case CLONE_NEWPID: {
      const RefPtr<PidNamespace>& ns = for_children ? namespaces.pid_for_children : task.pid_ns();
      return NamespaceHandle{type, ns, ns->id};
    }
    case CLONE_NEWUSER:
      return NamespaceHandle{type, task.creds()->user_ns, AddressId(task.creds()->user_ns)};
    default:
      return Errno::kEINVAL;
  }
}

vfs::Path NamespacePath(NamespaceHandle handle, std::string_view name) {
  const RefPtr<vfs::Mount>& mount = NamespaceMount();
  auto inode = MakeRef<NamespaceInode>(mount->fs().get(), std::move(handle));
  return {mount, MakeRef<vfs::Dentry>(nullptr, std::string(name), std::move(inode))};
}

const NamespaceHandle* NamespaceOfFile(vfs::FileDescription& file) {
  NamespaceFile* found = vfs::FileAs<NamespaceFile>(&file);
  return found != nullptr ? &found->handle() : nullptr;
}

}  // namespace kernel
