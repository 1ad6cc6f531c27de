#include "vfs/fs/tmpfs/directory.h"

#include <linux/fs.h>
#include <stdio.h>

#include <vector>

#include "base/event_loop.h"
#include "vfs/directory_util.h"
#include "vfs/fs/tmpfs/regular.h"
#include "vfs/operations.h"

namespace tmpfs {

namespace {

// What Linux's tmpfs says that an entry takes.
constexpr uint64_t kEntrySize = 20;

// Trees are as deep as the guest made them, so they are taken apart in a loop, not by destructors within destructors.
struct Demolition {
  std::vector<RefPtr<TmpInode>> pending;
  bool running = false;
};
Demolition& TheDemolition() {
  static auto* demolition = new Demolition;
  return *demolition;
}

}  // namespace

Directory::Directory(TmpFileSystem* fs, const vfs::CreateOptions& options) : TmpInode(fs, options) { nlink_ = 2; }

Directory::~Directory() {
  if (by_position_.empty()) return;
  Demolition& demolition = TheDemolition();
  for (auto& [position, entry] : by_position_) demolition.pending.push_back(std::move(entry->inode));
  by_name_.clear();
  by_position_.clear();
  if (demolition.running) return;
  demolition.running = true;
  while (!demolition.pending.empty()) {
    RefPtr<TmpInode> next = std::move(demolition.pending.back());
    demolition.pending.pop_back();
  }
  demolition.running = false;
}

void Directory::FillStat(vfs::Attributes* attr) { attr->size = (by_name_.size() + 2) * kEntrySize; }

void Directory::Insert(std::string_view name, RefPtr<TmpInode> inode) {
  int64_t position = next_position_++;
  auto entry = std::make_unique<Entry>(Entry{std::string(name), std::move(inode), position});
  by_name_.emplace(entry->name, entry.get());
  by_position_.emplace_hint(by_position_.end(), position, std::move(entry));
}

RefPtr<TmpInode> Directory::Erase(std::string_view name) {
  auto it = by_name_.find(name);
  if (it == by_name_.end()) return nullptr;
  Entry* entry = it->second;
  RefPtr<TmpInode> inode = std::move(entry->inode);
  by_name_.erase(it);
  by_position_.erase(entry->position);
  return inode;
}

Result<RefPtr<vfs::Inode>> Directory::Lookup(std::string_view name) {
  auto it = by_name_.find(name);
  if (it == by_name_.end()) return Errno::kENOENT;
  return RefPtr<vfs::Inode>(it->second->inode);
}

Result<RefPtr<vfs::Inode>> Directory::Add(std::string_view name, RefPtr<TmpInode> inode) {
  Insert(name, inode);
  Modified();
  return RefPtr<vfs::Inode>(std::move(inode));
}

Result<RefPtr<vfs::Inode>> Directory::Create(std::string_view name, const vfs::CreateOptions& options) {
  TRY(tmp_fs().space()->ChargeInode());
  return Add(name, MakeRef<RegularFile>(&tmp_fs(), options));
}

Result<RefPtr<vfs::Inode>> Directory::Mkdir(std::string_view name, const vfs::CreateOptions& options) {
  TRY(tmp_fs().space()->ChargeInode());
  nlink_++;
  return Add(name, MakeRef<Directory>(&tmp_fs(), options));
}

Result<RefPtr<vfs::Inode>> Directory::Mknod(std::string_view name, const vfs::CreateOptions& options) {
  TRY(tmp_fs().space()->ChargeInode());
  return Add(name, MakeSpecial(&tmp_fs(), options));
}

Result<RefPtr<vfs::Inode>> Directory::Symlink(std::string_view name, std::string_view target,
                                              const vfs::CreateOptions& options) {
  TRY(tmp_fs().space()->ChargeInode());
  return Add(name, MakeSymlink(&tmp_fs(), options, target));
}

Result<RefPtr<vfs::Inode>> Directory::CreateUnnamed(const vfs::CreateOptions& options) {
  TRY(tmp_fs().space()->ChargeInode());
  auto file = MakeRef<RegularFile>(&tmp_fs(), options);
  file->nlink_ = 0;
  return RefPtr<vfs::Inode>(std::move(file));
}

Result<void> Directory::Link(std::string_view name, vfs::Inode& target) {
  auto& inode = static_cast<TmpInode&>(target);
  inode.nlink_++;
  inode.Changed();
  Insert(name, RefPtr<TmpInode>(&inode));
  Modified();
  return {};
}

Result<void> Directory::Unlink(std::string_view name, vfs::Inode& child) {
  RefPtr<TmpInode> inode = Erase(name);
  if (!inode) return Errno::kENOENT;
  inode->nlink_--;
  Modified();
  inode->ctime_ = ctime_;
  return {};
}

Result<void> Directory::Rmdir(std::string_view name, vfs::Inode& child) {
  if (!static_cast<Directory&>(child).empty()) return Errno::kENOTEMPTY;
  RefPtr<TmpInode> inode = Erase(name);
  if (!inode) return Errno::kENOENT;
  inode->nlink_ = 0;
  nlink_--;
  Modified();
  inode->ctime_ = ctime_;
  return {};
}

Result<void> Directory::Rename(std::string_view old_name, vfs::Inode& child, vfs::Inode& new_parent,
                               std::string_view new_name, vfs::Inode* replaced, unsigned flags) {
  auto& target = static_cast<Directory&>(new_parent);
  const bool moves_directory = S_ISDIR(child.type());
  RefPtr<TmpInode> whiteout;
  if ((flags & RENAME_EXCHANGE) != 0) {
    const bool other_is_directory = S_ISDIR(replaced->type());
    Entry* mine = by_name_.find(old_name)->second;
    Entry* theirs = target.by_name_.find(new_name)->second;
    std::swap(mine->inode, theirs->inode);
    nlink_ += static_cast<uint32_t>(other_is_directory) - static_cast<uint32_t>(moves_directory);
    target.nlink_ += static_cast<uint32_t>(moves_directory) - static_cast<uint32_t>(other_is_directory);
    mine->inode->Changed();
    theirs->inode->Changed();
  } else {
    if (replaced != nullptr && S_ISDIR(replaced->type()) && !static_cast<Directory*>(replaced)->empty()) {
      return Errno::kENOTEMPTY;
    }
    if ((flags & RENAME_WHITEOUT) != 0) {
      TRY(tmp_fs().space()->ChargeInode());
      whiteout = MakeSpecial(&tmp_fs(), vfs::CreateOptions{.mode = S_IFCHR, .uid = uid_, .gid = gid_});
    }
    if (replaced != nullptr) {
      RefPtr<TmpInode> gone = target.Erase(new_name);
      if (S_ISDIR(replaced->type())) {
        gone->nlink_ = 0;
        target.nlink_--;
      } else {
        gone->nlink_--;
      }
      gone->Changed();
    }
    RefPtr<TmpInode> moved = Erase(old_name);
    moved->Changed();
    target.Insert(new_name, std::move(moved));
    if (moves_directory) {
      nlink_--;
      target.nlink_++;
    }
    if (whiteout) Insert(old_name, std::move(whiteout));
  }
  Modified();
  target.Modified();
  return {};
}

class DirectoryDescription final : public vfs::FileDescription {
 public:
  explicit DirectoryDescription(RefPtr<Directory> directory) : directory_(std::move(directory)) {}

  Result<size_t> ReadAt(const IoVec&, uint64_t, int) override { return Errno::kEISDIR; }
  Result<int64_t> Seek(int64_t offset, int whence) override { return vfs::SeekDirectory(*this, offset, whence); }
  Result<void> Sync(bool) override { return {}; }

  Result<void> ReadDir(absl::FunctionRef<bool(const vfs::DirectoryEntry&)> emit) override {
    Directory& directory = *directory_;
    int64_t now = base::RealtimeNow();
    if (vfs::AtimeNeedsUpdate(path(), flags(), directory.atime_, directory.mtime_, directory.ctime_, now)) {
      directory.atime_ = now;
    }
    if (!TRY(vfs::EmitDots(*this, emit))) return {};
    // `emit` may park, so the place is found anew each time.
    for (;;) {
      auto it = directory.by_position_.lower_bound(static_cast<int64_t>(offset_));
      if (it == directory.by_position_.end()) return {};
      const Directory::Entry& entry = *it->second;
      int64_t next = entry.position + 1;
      vfs::DirectoryEntry told{.name = entry.name,
                               .ino = entry.inode->ino(),
                               .type = static_cast<uint8_t>(entry.inode->type() >> 12),
                               .next_offset = next};
      if (!emit(told)) return {};
      offset_ = static_cast<uint64_t>(next);
    }
  }

 private:
  const RefPtr<Directory> directory_;
};

Result<RefPtr<vfs::FileDescription>> Directory::Open(const vfs::OpenOptions& options, const Credentials& creds) {
  return RefPtr<vfs::FileDescription>(MakeRef<DirectoryDescription>(RefPtr<Directory>(this)));
}

}  // namespace tmpfs
