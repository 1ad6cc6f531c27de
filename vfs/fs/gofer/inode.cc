#include "vfs/fs/gofer/inode.h"

#include <sys/stat.h>

#include "base/event_loop.h"
#include "base/kernel_lock.h"
#include "gofer/protocol/xattr.h"
#include "vfs/fs/gofer/directory.h"

namespace goferfs {

using gofer::Handle;
using gofer::Opcode;
using gofer::Reader;
using gofer::WireAttributes;

Result<WalkResult> WalkOne(Connection& connection, Handle parent, std::string_view name, uint32_t open_flags) {
  Exchange exchange(connection);
  exchange.Begin(Opcode::kWalk, parent);
  exchange.Put(gofer::WalkRequest{1, 0, open_flags}).PutName(name);
  Reader in = TRY(exchange.Run());
  auto reply = TRY(exchange.Take<gofer::WalkReply>(in));
  if (reply.count != 1 || reply.error != 0) return exchange.Broken();
  auto node = TRY(exchange.Take<gofer::WireNode>(in));
  auto target = in.TakeBytes(reply.target_size);
  if (!target || node.handle == 0 || target->find('\0') != std::string_view::npos) return exchange.Broken();
  WalkResult result{.handle = node.handle, .attributes = node.attributes, .target = std::string(*target)};
  if (S_ISREG(node.attributes.mode) && reply.open_error == 0) result.fd = exchange.TakeFd();
  return result;
}

GoferInode::GoferInode(GoferFileSystem* fs, Handle handle, const WireAttributes& attributes)
    : vfs::Inode(fs),
      attributes_(attributes),
      handle_(handle),
      key_{attributes.dev, attributes.ino},
      type_(attributes.mode & S_IFMT) {}

GoferInode::~GoferInode() = default;

void GoferInode::OnZeroRefs() {
  // The last reference may go where the kernel lock is not held.
  bool locked = KernelLock::HeldByCurrentThread();
  if (!locked) KernelLock::Lock();
  auto& inodes = gofer_fs().inodes_;
  auto it = inodes.find(key_);
  if (it != inodes.end() && it->second == this) {
    inodes.erase(it);
    if (parent_ && attributes_.nlink != 0) parent_->TakeBack(name_, *this);
  }
  connection().QueueClose(handle_);
  delete this;
  if (!locked) KernelLock::Unlock();
}

void GoferInode::AdoptHandle(Handle handle) {
  if (handle == 0) return;
  if (handle_ != 0) {
    connection().QueueClose(handle);
    return;
  }
  handle_ = handle;
  parent_.reset();
  name_.clear();
}

void GoferInode::SetLocation(DirectoryInode* parent, std::string_view name) {
  if (handle_ != 0) return;
  parent_ = RefPtr<DirectoryInode>(parent);
  name_ = name;
}

void GoferInode::Update(const WireAttributes& attributes) {
  // The number may change on the host (an overlay that copies the file up); the handle still means this file.
  if ((attributes.mode & S_IFMT) == type_) attributes_ = attributes;
}

void GoferInode::NoteLinkChange(int change, int64_t ctime) {
  attributes_.nlink = static_cast<uint32_t>(static_cast<int>(attributes_.nlink) + change);
  attributes_.ctime = ctime;
}

Result<GoferInode::Found> GoferInode::FindAgain(uint32_t open_flags) {
  if (!parent_) return Errno::kESTALE;
  RefPtr<DirectoryInode> parent = parent_;
  std::string name = name_;
  Handle parent_handle = TRY(parent->EnsureHandle());
  Result<WalkResult> walked = WalkOne(connection(), parent_handle, name, open_flags);
  if (!walked.ok()) return walked.error() == Errno::kENOENT ? Errno::kESTALE : walked.error();
  if (InodeKey{walked->attributes.dev, walked->attributes.ino} != key_ || (walked->attributes.mode & S_IFMT) != type_) {
    connection().QueueClose(walked->handle);
    return Errno::kESTALE;
  }
  attributes_ = walked->attributes;
  AdoptHandle(walked->handle);
  return Found{std::move(walked->fd), std::move(walked->target)};
}

Result<Handle> GoferInode::EnsureHandle() {
  if (handle_ == 0) TRY(FindAgain(0));
  return handle_;
}

Result<void> GoferInode::Refresh() {
  if (!gofer_fs().shared()) return {};
  Handle handle = TRY(EnsureHandle());
  Exchange exchange(connection());
  exchange.Begin(Opcode::kStat, handle);
  Reader in = TRY(exchange.Run());
  Update(TRY(exchange.Take<WireAttributes>(in)));
  return {};
}

Result<vfs::Attributes> GoferInode::Stat() {
  TRY(Refresh());
  const WireAttributes& a = attributes_;
  vfs::Attributes result;
  result.dev = fs_->dev();
  result.ino = visible_ino();
  result.mode = a.mode;
  result.nlink = a.nlink;
  result.uid = a.uid;
  result.gid = a.gid;
  result.rdev = a.rdev;
  result.size = a.size;
  result.blocks = a.blocks;
  result.blksize = a.blksize;
  result.atime = a.atime;
  result.mtime = a.mtime;
  result.ctime = a.ctime;
  result.btime = a.btime;
  return result;
}

Result<void> GoferInode::SetAttr(const vfs::SetAttributes& changes) { return SetAttrCall(changes); }

Result<void> GoferInode::SetAttrCall(const vfs::SetAttributes& changes) {
  using Ours = vfs::SetAttributes;
  using Wire = gofer::SetAttrRequest;
  static_assert(Ours::kMode == int{Wire::kMode} && Ours::kMtimeNow == int{Wire::kMtimeNow} && Ours::kSize == int{Wire::kSize} &&
                Ours::kAtime == int{Wire::kAtime});
  TRY(gofer_fs().CheckWritable());
  Handle handle = TRY(EnsureHandle());
  Exchange exchange(connection());
  exchange.Begin(Opcode::kSetAttr, handle);
  exchange.Put(Wire{.valid = changes.valid & Wire::kAll,
                    .mode = changes.mode & 07777,
                    .uid = changes.uid,
                    .gid = changes.gid,
                    .size = changes.size,
                    .atime = changes.atime,
                    .mtime = changes.mtime});
  Reader in = TRY(exchange.Run());
  Update(TRY(exchange.Take<WireAttributes>(in)));
  gofer_fs().NoteWrite();
  return {};
}

Result<std::string> GoferInode::GetXattr(std::string_view name) {
  if (!gofer::VisibleXattr(name)) return Errno::kEOPNOTSUPP;
  bool capability = name == "security.capability";
  if (no_xattrs_ || (capability && no_capability_)) return Errno::kENODATA;
  Handle handle = TRY(EnsureHandle());
  Exchange exchange(connection());
  exchange.Begin(Opcode::kGetXattr, handle);
  exchange.Put(gofer::XattrRequest{}).PutName(name);
  Result<Reader> reply = exchange.Run();
  if (!reply.ok()) {
    // Every write and every execve asks for this one, and hardly a file has it.
    if (capability && reply.error() == Errno::kENODATA) no_capability_ = !gofer_fs().shared();
    return reply.error();
  }
  Reader in = *reply;
  if (in.Rest().size() > gofer::kMaxXattrValue) return exchange.Broken();
  return std::string(in.Rest());
}

Result<void> GoferInode::SetXattr(std::string_view name, std::string_view value, int flags) {
  TRY(gofer_fs().CheckWritable());
  if (value.size() > gofer::kMaxXattrValue) return Errno::kE2BIG;
  if (!gofer::WritableXattr(name)) return Errno::kEOPNOTSUPP;
  no_xattrs_ = false;
  Handle handle = TRY(EnsureHandle());
  Exchange exchange(connection());
  exchange.Begin(Opcode::kSetXattr, handle);
  exchange.Put(gofer::XattrRequest{static_cast<uint32_t>(flags), static_cast<uint32_t>(value.size())}).PutName(name).PutBytes(value);
  TRY(exchange.Run());
  return {};
}

Result<void> GoferInode::RemoveXattr(std::string_view name) {
  TRY(gofer_fs().CheckWritable());
  // vfs removes it before a write. The host does so too, as part of the write by the Sentry or of the gofer's chown, and would let neither
  // of them do it apart from that.
  if (name == "security.capability") return {};
  if (!gofer::WritableXattr(name)) return Errno::kEOPNOTSUPP;
  Handle handle = TRY(EnsureHandle());
  Exchange exchange(connection());
  exchange.Begin(Opcode::kRemoveXattr, handle);
  exchange.Put(gofer::XattrRequest{}).PutName(name);
  TRY(exchange.Run());
  return {};
}

Result<std::vector<std::string>> GoferInode::ListXattr() {
  if (no_xattrs_) return std::vector<std::string>{};
  Handle handle = TRY(EnsureHandle());
  Exchange exchange(connection());
  exchange.Begin(Opcode::kListXattr, handle);
  Reader in = TRY(exchange.Run());
  std::vector<std::string> names;
  for (std::string_view rest = in.Rest(); !rest.empty();) {
    size_t end = rest.find('\0');
    if (end == std::string_view::npos || end == 0 || end > gofer::kMaxName) return exchange.Broken();
    names.emplace_back(rest.substr(0, end));
    rest.remove_prefix(end + 1);
  }
  no_xattrs_ = names.empty() && !gofer_fs().shared();
  return names;
}

}  // namespace goferfs
