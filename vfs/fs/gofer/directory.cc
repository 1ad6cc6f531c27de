#include "vfs/fs/gofer/directory.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "vfs/fs/gofer/regular.h"
#include "vfs/fs/gofer/special.h"

namespace goferfs {

using gofer::Handle;
using gofer::Opcode;
using gofer::Reader;
using gofer::WireAttributes;

namespace {

uint8_t DirentType(uint32_t mode) { return static_cast<uint8_t>((mode & S_IFMT) >> 12); }

}  // namespace

DirectoryInode::DirectoryInode(GoferFileSystem* fs, Handle handle, const WireAttributes& attributes)
    : GoferInode(fs, handle, attributes) {}
DirectoryInode::~DirectoryInode() = default;

void DirectoryInode::NoteName(std::string_view name, const GoferInode* child) {
  changes_++;
  gofer_fs().NoteChange();
  if (contents_ == nullptr) return;
  if (child == nullptr) {
    contents_->Erase(name);
  } else {
    contents_->Set(name, child->key(), child->visible_ino(), DirentType(child->type()));
  }
}

void DirectoryInode::NoteInode(std::string_view name, const InodeKey& key) {
  if (contents_ == nullptr) return;
  Contents::Known* known = contents_->Find(name);
  if (known == nullptr) return;
  (void)contents_->TakeAttributes(*known);
  known->key = key;
}

void DirectoryInode::TakeBack(std::string_view name, const GoferInode& inode) {
  Contents::Known* known = contents_ != nullptr ? contents_->Find(name) : nullptr;
  if (known == nullptr || known->key != inode.key()) return;
  const bool keep = !inode.attributes_changed() && gofer_fs().MayKeep(inode.attributes());
  if (keep) {
    contents_->Tell(*known, inode.attributes(), true);
  } else if (known->type != DT_DIR) {
    known->key = {};  // to be asked for with others
  }
}

GoferInode* DirectoryInode::InUse(const Contents::Known& known) const {
  GoferInode* inode = gofer_fs().Find(known.key);
  // A number is used again on the host after the file is gone.
  return inode != nullptr && inode->attributes().nlink != 0 ? inode : nullptr;
}

Result<RefPtr<vfs::Inode>> DirectoryInode::Lookup(std::string_view name) {
  if (!gofer::ValidName(name)) return Errno::kENOENT;
  for (GoferFileSystem::Ahead& known : gofer_fs().ahead()) {
    if (known.directory != this || known.name != name) continue;
    known.directory.reset();  // good once
    if (!known.inode) return Errno::kENOENT;
    return RefPtr<vfs::Inode>(std::move(known.inode));
  }
  // A listing may be on its way, and the call would wait for it too.
  if (contents_ == nullptr) connection().Settle();
  if (contents_ != nullptr) {
    Contents::Known* known = contents_->Find(name);
    if (known == nullptr) return Errno::kENOENT;
    std::optional<WireAttributes> attributes = contents_->TakeAttributes(*known);
    if (attributes) {
      if (S_ISREG(attributes->mode)) gofer_fs().listed().NoteAttributesUsed();
    } else if (GoferInode* inode = InUse(*known); inode != nullptr && inode->TryIncRef()) {
      return RefPtr<vfs::Inode>::Adopt(inode);
    } else if (!known->told()) {
      attributes = StatFiles(name);
    }
    if (attributes) return RefPtr<vfs::Inode>(TRY(gofer_fs().Instantiate(0, *attributes, this, name)));
  }
  Handle handle = TRY(EnsureHandle());
  WalkResult found = TRY(WalkOne(connection(), handle, name, 0));
  RefPtr<GoferInode> inode = TRY(gofer_fs().Instantiate(found.handle, found.attributes, this, name));
  if (S_ISLNK(inode->type())) static_cast<SymlinkInode&>(*inode).set_target(std::move(found.target));
  return RefPtr<vfs::Inode>(std::move(inode));
}

bool DirectoryInode::Revalidate(std::string_view name, vfs::Inode* child) {
  if (!gofer_fs().shared()) return true;
  Result<Handle> handle = EnsureHandle();
  if (!handle.ok()) return false;
  Result<WalkResult> found = WalkOne(connection(), *handle, name, 0);
  if (!found.ok()) return child == nullptr && found.error() == Errno::kENOENT;
  if (child == nullptr) {
    connection().QueueClose(found->handle);
    return false;
  }
  auto& inode = static_cast<GoferInode&>(*child);
  if (inode.key() != InodeKey{found->attributes.dev, found->attributes.ino}) {
    connection().QueueClose(found->handle);
    return false;
  }
  inode.AdoptHandle(found->handle);
  inode.Update(found->attributes);
  return true;
}

Result<RefPtr<GoferInode>> DirectoryInode::CreateCall(Opcode opcode, std::string_view name, std::string_view target,
                                                      const vfs::CreateOptions& options, uint32_t mode) {
  TRY(gofer_fs().CheckWritable());
  Handle handle = TRY(EnsureHandle());
  gofer::CreateReply reply;
  Fd fd;
  {
    Exchange exchange(connection());
    exchange.Begin(opcode, handle);
    exchange.Put(gofer::CreateRequest{mode, options.uid, options.gid, static_cast<uint16_t>(target.size()), 0});
    if (opcode != Opcode::kCreateUnnamed) exchange.PutName(name);
    exchange.PutBytes(target);
    Reader in = TRY(exchange.Run());
    reply = TRY(exchange.Take<gofer::CreateReply>(in));
    if (reply.node.handle == 0) return exchange.Broken();
    fd = exchange.TakeFd();
  }
  Update(reply.parent);
  RefPtr<GoferInode> inode = TRY(gofer_fs().Instantiate(reply.node.handle, reply.node.attributes, this, name));
  if (fd.valid() && S_ISREG(inode->type())) static_cast<RegularInode&>(*inode).AdoptFd(std::move(fd), true);
  if (opcode != Opcode::kCreateUnnamed) NoteName(name, inode.get());
  return inode;
}

Result<RefPtr<vfs::Inode>> DirectoryInode::Create(std::string_view name, const vfs::CreateOptions& options) {
  return RefPtr<vfs::Inode>(TRY(CreateCall(Opcode::kCreate, name, "", options, options.mode & 07777)));
}

Result<RefPtr<vfs::Inode>> DirectoryInode::CreateUnnamed(const vfs::CreateOptions& options) {
  return RefPtr<vfs::Inode>(TRY(CreateCall(Opcode::kCreateUnnamed, "", "", options, options.mode & 07777)));
}

Result<RefPtr<vfs::Inode>> DirectoryInode::Mkdir(std::string_view name, const vfs::CreateOptions& options) {
  RefPtr<GoferInode> inode = TRY(CreateCall(Opcode::kMkdir, name, "", options, options.mode & 07777));
  // Nobody has put anything into a directory that we have just made.
  if (!gofer_fs().shared() && S_ISDIR(inode->type())) static_cast<DirectoryInode&>(*inode).contents_ = std::make_unique<Contents>();
  return RefPtr<vfs::Inode>(std::move(inode));
}

Result<RefPtr<vfs::Inode>> DirectoryInode::Mknod(std::string_view name, const vfs::CreateOptions& options) {
  return RefPtr<vfs::Inode>(TRY(CreateCall(Opcode::kMknod, name, "", options, options.mode & (S_IFMT | 07777))));
}

Result<RefPtr<vfs::Inode>> DirectoryInode::Symlink(std::string_view name, std::string_view target,
                                                   const vfs::CreateOptions& options) {
  if (target.empty()) return Errno::kENOENT;
  if (target.size() > gofer::kMaxTarget) return Errno::kENAMETOOLONG;
  RefPtr<GoferInode> inode = TRY(CreateCall(Opcode::kSymlink, name, target, options, 0777));
  if (S_ISLNK(inode->type())) static_cast<SymlinkInode&>(*inode).set_target(std::string(target));
  return RefPtr<vfs::Inode>(std::move(inode));
}

Result<void> DirectoryInode::Link(std::string_view name, vfs::Inode& target) {
  TRY(gofer_fs().CheckWritable());
  if (&target.fs() != fs_) return Errno::kEXDEV;
  auto& inode = static_cast<GoferInode&>(target);
  Handle handle = TRY(EnsureHandle());
  Handle target_handle = TRY(inode.EnsureHandle());
  gofer::CreateReply reply;
  {
    Exchange exchange(connection());
    exchange.Begin(Opcode::kLink, handle);
    exchange.Put(gofer::LinkRequest{target_handle}).PutName(name);
    Reader in = TRY(exchange.Run());
    reply = TRY(exchange.Take<gofer::CreateReply>(in));
  }
  Update(reply.parent);
  inode.Update(reply.node.attributes);
  NoteName(name, &inode);
  return {};
}

Result<void> DirectoryInode::RemoveCall(std::string_view name, GoferInode& child, uint32_t flags) {
  TRY(gofer_fs().CheckWritable());
  // Where other names lead to it, it must be found after this one is gone.
  if (child.attributes().nlink > 1 && !S_ISDIR(child.type())) TRY(child.EnsureHandle());
  Handle handle = TRY(EnsureHandle());
  WireAttributes parent;
  {
    Exchange exchange(connection());
    exchange.Begin(Opcode::kUnlink, handle);
    exchange.Put(gofer::UnlinkRequest{flags}).PutName(name);
    Reader in = TRY(exchange.Run());
    parent = TRY(exchange.Take<WireAttributes>(in));
  }
  Update(parent);
  child.NoteLinkChange(S_ISDIR(child.type()) ? -static_cast<int>(child.attributes().nlink) : -1, parent.mtime);
  child.SetLocation(nullptr, "");
  NoteName(name, nullptr);
  return {};
}

Result<void> DirectoryInode::Unlink(std::string_view name, vfs::Inode& child) {
  return RemoveCall(name, static_cast<GoferInode&>(child), 0);
}

Result<void> DirectoryInode::Rmdir(std::string_view name, vfs::Inode& child) {
  return RemoveCall(name, static_cast<GoferInode&>(child), AT_REMOVEDIR);
}

Result<void> DirectoryInode::Rename(std::string_view old_name, vfs::Inode& child, vfs::Inode& new_parent, std::string_view new_name,
                                    vfs::Inode* replaced, unsigned flags) {
  TRY(gofer_fs().CheckWritable());
  if ((flags & ~unsigned{RENAME_NOREPLACE | RENAME_EXCHANGE}) != 0) return Errno::kEINVAL;
  if (&new_parent.fs() != fs_ || !S_ISDIR(new_parent.type())) return Errno::kEXDEV;
  auto& to = static_cast<DirectoryInode&>(new_parent);
  auto& moved = static_cast<GoferInode&>(child);
  auto* other = static_cast<GoferInode*>(replaced);
  if (other != nullptr && other->attributes().nlink > 1 && !S_ISDIR(other->type())) TRY(other->EnsureHandle());
  Handle handle = TRY(EnsureHandle());
  Handle to_handle = TRY(to.EnsureHandle());
  gofer::RenameReply reply;
  {
    Exchange exchange(connection());
    exchange.Begin(Opcode::kRename, handle);
    exchange.Put(gofer::RenameRequest{to_handle, flags}).PutName(old_name).PutName(new_name);
    Reader in = TRY(exchange.Run());
    reply = TRY(exchange.Take<gofer::RenameReply>(in));
  }
  Update(reply.old_parent);
  to.Update(reply.new_parent);
  moved.NoteLinkChange(0, reply.new_parent.mtime);
  // Two names of one file: Linux leaves both as they are.
  if (other == &moved) return {};
  if ((flags & RENAME_EXCHANGE) != 0 && other != nullptr) {
    other->NoteLinkChange(0, reply.new_parent.mtime);
    other->SetLocation(this, old_name);
    NoteName(old_name, other);
  } else {
    if (other != nullptr) {
      other->NoteLinkChange(S_ISDIR(other->type()) ? -static_cast<int>(other->attributes().nlink) : -1, reply.new_parent.mtime);
      other->SetLocation(nullptr, "");
    }
    NoteName(old_name, nullptr);
  }
  moved.SetLocation(&to, new_name);
  to.NoteName(new_name, &moved);
  return {};
}

Result<void> DirectoryInode::Sync() {
  Handle handle = TRY(EnsureHandle());
  Exchange exchange(connection());
  exchange.Begin(Opcode::kSync, handle);
  exchange.Put(gofer::SyncRequest{0});
  TRY(exchange.Run());
  return {};
}

Result<RefPtr<vfs::FileDescription>> DirectoryInode::Open(const vfs::OpenOptions& options, const Credentials& creds) {
  if ((options.flags & O_ACCMODE) != O_RDONLY) return Errno::kEISDIR;
  return RefPtr<vfs::FileDescription>(MakeRef<DirectoryDescription>(RefPtr<DirectoryInode>(this)));
}

}  // namespace goferfs
