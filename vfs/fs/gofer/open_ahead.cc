// Several files in one round trip, for those who read one after the other: grep -r, tar, an interpreter that loads its modules.

#include <dirent.h>
#include <sys/stat.h>

#include <algorithm>
#include <vector>

#include "vfs/fs/gofer/directory.h"
#include "vfs/fs/gofer/regular.h"

namespace goferfs {

using gofer::Reader;

// Goes on from a file through the tree, in the order of the listings and as far as they are known: to what is below a directory, and when that is
// done, on behind it.
class DirectoryInode::OpenWalk {
 public:
  // Files of one directory.
  struct Group {
    RefPtr<DirectoryInode> directory;
    Way way;
    RefPtr<Listing> listing;  // which has the names, but for the one that was asked for
    absl::InlinedVector<std::string_view, 8> names;
  };

  OpenWalk(DirectoryInode& directory, Way way, std::string_view name) {
    groups_.push_back({RefPtr<DirectoryInode>(&directory), std::move(way), nullptr, {name}});
    if (directory.contents_ == nullptr) return;
    if (Contents::Known* first = directory.contents_->Find(name)) StandAt(groups_[0].directory, directory.contents_->IndexOf(*first) + 1);
  }

  // To so many files, those included that are open already: whoever opens far more ahead than is used loses what was opened first.
  void GoOn(size_t most) {
    size_t files = 1;
    for (size_t steps = 8 * most; files < most && steps > 0 && directory_; steps--) {
      if (at_ == directory_->contents_->size()) {
        GoUp();
      } else if (RefPtr<DirectoryInode> below = directory_->ListedBelow(at_); below && SameHandle(*below)) {
        directory_->next_to_open_ = ++at_;
        directory_->gofer_fs().KeepEntered(below);
        StandAt(std::move(below), 0);
      } else {
        if (directory_->contents_->at(at_).type == DT_REG) files++;
        if (directory_->IsClosed(at_)) Add();
        at_++;
      }
    }
    if (directory_) directory_->next_to_open_ = at_;
  }

  const std::vector<Group>& groups() const { return groups_; }
  size_t count() const { return count_; }

 private:
  void StandAt(RefPtr<DirectoryInode> directory, size_t at) {
    directory_ = std::move(directory);
    at_ = at;
  }

  void GoUp() {
    directory_->next_to_open_ = at_;
    RefPtr<DirectoryInode> above = directory_->parent();
    Contents::Known* known = above && above->contents_ != nullptr ? above->contents_->Find(directory_->name()) : nullptr;
    if (known == nullptr || !SameHandle(*above)) return directory_.reset();
    const size_t next = above->contents_->IndexOf(*known) + 1;
    // Who is in this directory only does not go on there.
    if (next != above->next_to_open_ && !above->OpensInOrder(next - 1)) return directory_.reset();
    StandAt(std::move(above), next);
  }

  bool SameHandle(DirectoryInode& directory) const {
    Result<Way> way = directory.FindWay();
    return way.ok() && way->handle == groups_[0].way.handle;
  }

  void Add() {
    if (groups_.back().directory != directory_) {
      Result<Way> way = directory_->FindWay();
      if (!way.ok()) return;
      groups_.push_back({directory_, std::move(way).value(), nullptr, {}});
    }
    Group& group = groups_.back();
    if (!group.listing) group.listing = directory_->contents_->listing();
    group.names.push_back(group.listing->name(at_));
    count_++;
  }

  std::vector<Group> groups_;
  size_t count_ = 1;
  RefPtr<DirectoryInode> directory_;  // null: at the end
  size_t at_ = 0;                     // in its listing
};

bool DirectoryInode::IsClosed(size_t index) const {
  const Contents::Known& known = contents_->at(index);
  if (known.type != DT_REG) return false;
  GoferInode* inode = InUse(known);
  if (inode == nullptr) return known.attributes != 0 || !known.told();
  return S_ISREG(inode->type()) && !static_cast<RegularInode*>(inode)->opened();
}

bool DirectoryInode::OpensInOrder(size_t index) {
  if (index < next_to_open_) next_to_open_ = 0;  // somebody begins again
  while (next_to_open_ < index && !IsClosed(next_to_open_)) next_to_open_++;
  return next_to_open_ == index;
}

RefPtr<DirectoryInode> DirectoryInode::ListedBelow(size_t index) {
  Contents::Known& known = contents_->at(index);
  if (known.type != DT_DIR) return nullptr;
  if (GoferInode* inode = InUse(known)) {
    bool listed = S_ISDIR(inode->type()) && static_cast<DirectoryInode*>(inode)->knows_contents();
    return listed && inode->TryIncRef() ? RefPtr<DirectoryInode>::Adopt(static_cast<DirectoryInode*>(inode)) : nullptr;
  }
  if (known.attributes == 0 || !gofer_fs().listed().Has(known.key)) return nullptr;
  const std::string name(contents_->listing()->name(index));
  Result<RefPtr<GoferInode>> inode = gofer_fs().Instantiate(0, *contents_->TakeAttributes(known), this, name);
  return inode.ok() && S_ISDIR((*inode)->type()) ? StaticRefCast<DirectoryInode>(*inode) : nullptr;
}

Result<bool> DirectoryInode::OpenFiles(std::string_view name) {
  OpenWalk walk(*this, TRY(FindWay()), name);
  if (Contents::Known* first = contents_ != nullptr ? contents_->Find(name) : nullptr) {
    if (!OpensInOrder(contents_->IndexOf(*first))) gofer_fs().RestartOpenRun();
    // Nobody is to lose the descriptors in use for those that may never be.
    walk.GoOn(std::min(gofer_fs().NextOpenRun(), connection().host_files().limit() / 8));
  }
  // The walk to a single one is one call too where we have a handle, and brings one for the file.
  if (walk.count() == 1 && has_handle()) return false;

  Exchange exchange(connection());
  exchange.Begin(gofer::Opcode::kOpenFiles, walk.groups()[0].way.handle);
  for (const OpenWalk::Group& group : walk.groups()) {
    exchange.Put(gofer::FilesRequest{static_cast<uint16_t>(group.names.size()), static_cast<uint16_t>(group.way.names.size())});
    for (const std::string& each : group.way.names) exchange.PutName(each);
    for (std::string_view each : group.names) exchange.PutName(each);
  }
  exchange.Expect(walk.count());
  Reader in = TRY(exchange.Run());
  for (const OpenWalk::Group& group : walk.groups()) {
    for (std::string_view each : group.names) {
      auto file = TRY(exchange.Take<gofer::FileReply>(in));
      if (file.error != 0) continue;
      Fd fd = exchange.TakeFd();
      if (!fd.valid()) return true;  // our table is full
      if (!S_ISREG(file.attributes.mode)) return exchange.Broken();
      RefPtr<GoferInode> inode = TRY(gofer_fs().Instantiate(0, file.attributes, group.directory.get(), each));
      static_cast<RegularInode&>(*inode).AdoptFd(std::move(fd), false);
      gofer_fs().KeepOpened(std::move(inode));
    }
  }
  return true;
}

}  // namespace goferfs
