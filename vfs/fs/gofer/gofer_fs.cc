#include "vfs/fs/gofer/gofer_fs.h"

#include <sys/stat.h>
#include <sys/statfs.h>

#include <algorithm>

#include "base/kernel_lock.h"
#include "vfs/fs/gofer/directory.h"
#include "vfs/fs/gofer/regular.h"
#include "vfs/fs/gofer/special.h"

namespace goferfs {

using gofer::Handle;
using gofer::Opcode;
using gofer::WireAttributes;

GoferFileSystem::GoferFileSystem(RefPtr<Connection> connection, const Options& options)
    : vfs::FileSystem("gofer", options.source), connection_(std::move(connection)), options_(options) {}

GoferFileSystem::~GoferFileSystem() {
  connection_->ForgetPosted(this);
  ahead_.clear();
  opened_.clear();
  entered_.clear();
  root_.reset();
}

RefPtr<vfs::Inode> GoferFileSystem::root() { return root_; }

std::string GoferFileSystem::MountOptions() { return options_.shared ? "cache=none" : "cache=exclusive"; }

Result<void> GoferFileSystem::CheckWritable() const {
  if (options_.read_only) return Errno::kEROFS;
  return {};
}

Result<struct statfs> GoferFileSystem::StatFs() {
  RefPtr<GoferInode> root = root_;
  Handle handle = TRY(root->EnsureHandle());
  Exchange exchange(*connection_);
  exchange.Begin(Opcode::kStatFs, handle);
  gofer::Reader in = TRY(exchange.Run());
  auto wire = TRY(exchange.Take<gofer::WireStatFs>(in));
  struct statfs result {};
  result.f_type = static_cast<decltype(result.f_type)>(wire.type);
  result.f_bsize = static_cast<decltype(result.f_bsize)>(wire.block_size);
  result.f_blocks = wire.blocks;
  result.f_bfree = wire.blocks_free;
  result.f_bavail = wire.blocks_available;
  result.f_files = wire.files;
  result.f_ffree = wire.files_free;
  result.f_namelen = static_cast<decltype(result.f_namelen)>(wire.name_max);
  result.f_frsize = static_cast<decltype(result.f_frsize)>(wire.fragment_size);
  return result;
}

Result<void> GoferFileSystem::Sync() {
  RefPtr<GoferInode> root = root_;
  Handle handle = TRY(root->EnsureHandle());
  Exchange exchange(*connection_);
  exchange.Begin(Opcode::kSync, handle);
  exchange.Put(gofer::SyncRequest{1});
  TRY(exchange.Run());
  return {};
}

GoferInode* GoferFileSystem::Find(const InodeKey& key) const {
  auto it = inodes_.find(key);
  return it == inodes_.end() ? nullptr : it->second;
}

bool GoferFileSystem::MayKeep(const WireAttributes& attributes) const {
  return (attributes.nlink == 1 || S_ISDIR(attributes.mode)) && Find({attributes.dev, attributes.ino}) == nullptr;
}

namespace {

void KeepForAWhile(std::deque<RefPtr<GoferInode>>& kept, RefPtr<GoferInode> inode) {
  constexpr size_t kMost = 4 * gofer::kMaxOpenFiles;
  kept.push_back(std::move(inode));
  if (kept.size() > kMost) kept.pop_front();
}

}  // namespace

void GoferFileSystem::KeepOpened(RefPtr<GoferInode> inode) { KeepForAWhile(opened_, std::move(inode)); }
void GoferFileSystem::KeepEntered(RefPtr<GoferInode> inode) { KeepForAWhile(entered_, std::move(inode)); }

void GoferFileSystem::NoteOpened(const GoferInode& inode) {
  auto it = std::find_if(opened_.begin(), opened_.end(), [&](const RefPtr<GoferInode>& kept) { return kept.get() == &inode; });
  if (it != opened_.end()) opened_.erase(it);
}

size_t GoferFileSystem::NextOpenRun() {
  open_run_ = open_run_ == 0 ? 1 : std::min(2 * open_run_, gofer::kMaxOpenFiles);
  return open_run_;
}

void GoferFileSystem::NoteChange() {
  changes_++;
  ahead_.clear();
  if (opened_.empty()) return;
  opened_.clear();
  // Who changes something after each file gains nothing from having others opened.
  RestartOpenRun();
}

uint64_t GoferFileSystem::VisibleIno(uint64_t dev, uint64_t ino) const {
  if (dev == root_dev_) return ino;
  // Another device below the export. Applications see one device, so its numbers are moved out of the way of the others.
  uint64_t mixed = ino ^ (dev - root_dev_) * 0x9e3779b97f4a7c15;
  return mixed != 0 ? mixed : ino;
}

Result<RefPtr<GoferInode>> GoferFileSystem::Instantiate(Handle handle, const WireAttributes& attributes, DirectoryInode* parent,
                                                        std::string_view name) {
  InodeKey key{attributes.dev, attributes.ino};
  auto it = inodes_.find(key);
  if (it != inodes_.end() && it->second->type() == (attributes.mode & S_IFMT) && it->second->TryIncRef()) {
    auto inode = RefPtr<GoferInode>::Adopt(it->second);
    // A number is used again on the host after the file is gone; an inode without links may linger here.
    if (inode->attributes().btime == attributes.btime && inode->attributes().nlink != 0) {
      inode->Update(attributes);
      inode->AdoptHandle(handle);
      inode->SetLocation(parent, name);
      if (parent != nullptr) parent->NoteInode(name, key);
      return inode;
    }
  }
  RefPtr<GoferInode> inode;
  switch (attributes.mode & S_IFMT) {
    case S_IFREG:
      inode = MakeRef<RegularInode>(this, handle, attributes);
      break;
    case S_IFDIR: {
      auto directory = MakeRef<DirectoryInode>(this, handle, attributes);
      directory->AdoptContents(listed_.Take(key));
      inode = std::move(directory);
      break;
    }
    case S_IFLNK:
      inode = MakeRef<SymlinkInode>(this, handle, attributes);
      break;
    case S_IFIFO:
    case S_IFSOCK:
    case S_IFCHR:
    case S_IFBLK:
      inode = MakeRef<SpecialInode>(this, handle, attributes);
      break;
    default:
      connection_->QueueClose(handle);
      return Errno::kEIO;
  }
  inodes_[key] = inode.get();
  inode->SetLocation(parent, name);
  if (parent != nullptr) parent->NoteInode(name, key);
  return inode;
}

Result<RefPtr<vfs::FileSystem>> Create(RefPtr<Connection> connection, const Options& options) {
  auto fs = MakeRef<GoferFileSystem>(connection, options);
  gofer::AttachReply reply;
  {
    Exchange exchange(*connection);
    exchange.Begin(Opcode::kAttach, 0);
    exchange.Put(gofer::AttachRequest{options.export_index});
    gofer::Reader in = TRY(exchange.Run());
    reply = TRY(exchange.Take<gofer::AttachReply>(in));
  }
  fs->root_dev_ = reply.node.attributes.dev;
  fs->root_ = TRY(fs->Instantiate(reply.node.handle, reply.node.attributes, nullptr, ""));
  return RefPtr<vfs::FileSystem>(std::move(fs));
}

}  // namespace goferfs
