// Reading directories. One with a single layer hands on what that layer tells; otherwise the names
// of all layers are put together when reading starts, and stay what they are until it starts again,
// so offsets are stable.

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <utility>

#include "absl/container/flat_hash_set.h"
#include "vfs/fs/overlay/directory.h"

namespace overlay {

namespace {

class DirectoryDescription final : public vfs::FileDescription {
 public:
  explicit DirectoryDescription(RefPtr<DirectoryInode> directory)
      : directory_(std::move(directory)) {}

  Result<size_t> ReadAt(const IoVec&, uint64_t, int) override { return Errno::kEISDIR; }
  Result<void> Sync(bool) override { return {}; }

  Result<int64_t> Seek(int64_t offset, int whence) override {
    if (whence == SEEK_CUR) offset += static_cast<int64_t>(offset_);
    if ((whence != SEEK_SET && whence != SEEK_CUR) || offset < 0) return Errno::kEINVAL;
    offset_ = static_cast<uint64_t>(offset);
    return offset;
  }

  Result<void> ReadDir(absl::FunctionRef<bool(const vfs::DirectoryEntry&)> emit) override {
    if (directory_->removed()) return Errno::kENOENT;  // as Linux, although the place is known
    if (offset_ == 0 || (!listing_ && !single_)) TRY(Start());
    return single_ ? ReadSingle(emit) : ReadListing(emit);
  }

 private:
  Result<void> Start() {
    listing_.reset();
    single_.reset();
    DirectoryInode& directory = *directory_;
    if (directory.has_lowers() && (directory.upper() || directory.lower_count() > 1)) {
      listing_ = TRY(directory.List());
    } else {
      single_ = TRY(OpenLayer(directory.real(), O_RDONLY | O_DIRECTORY));
    }
    return {};
  }

  Result<uint64_t> InoOf(std::string_view dots) {
    OverlayInode* inode = directory_.get();
    if (dots == ".." && inode->parent()) inode = inode->parent().get();
    return inode->Ino();
  }

  Result<void> ReadSingle(absl::FunctionRef<bool(const vfs::DirectoryEntry&)> emit) {
    vfs::Inode& layer = single_->inode();
    single_->set_offset(offset_);
    TRY(single_->ReadDir([&](const vfs::DirectoryEntry& entry) {
      vfs::DirectoryEntry told = entry;
      if (entry.name == "." || entry.name == "..") {
        Result<uint64_t> ino = InoOf(entry.name);
        if (ino.ok()) told.ino = *ino;
      } else {
        if (entry.type == DT_CHR) {
          Result<RefPtr<vfs::Inode>> inode = LookupIn(layer, entry.name);
          Result<bool> whiteout = inode.ok() ? IsWhiteout(**inode) : Result<bool>(false);
          if (whiteout.ok() && *whiteout) return true;
        }
        told.ino = directory_->EntryIno(layer, entry.ino);
      }
      return emit(told);
    }));
    offset_ = single_->offset();
    return {};
  }

  Result<void> ReadListing(absl::FunctionRef<bool(const vfs::DirectoryEntry&)> emit) {
    constexpr uint64_t kFirstEntry = 2;  // behind "." and ".."
    for (;; offset_++) {
      vfs::DirectoryEntry entry{.type = DT_DIR, .next_offset = static_cast<int64_t>(offset_) + 1};
      if (offset_ < kFirstEntry) {
        entry.name = offset_ == 0 ? "." : "..";
        entry.ino = TRY(InoOf(entry.name));
      } else {
        if (offset_ - kFirstEntry >= listing_->entries.size()) return {};
        const LayerEntry& at = listing_->entries[offset_ - kFirstEntry];
        entry.name = at.name;
        entry.ino = at.ino;
        entry.type = at.type;
      }
      if (!emit(entry)) return {};
    }
  }

  const RefPtr<DirectoryInode> directory_;
  // As of the last rewind, one of the two.
  RefPtr<Listing> listing_;
  RefPtr<vfs::FileDescription> single_;
};

}  // namespace

Result<RefPtr<vfs::FileDescription>> DirectoryInode::Open(const vfs::OpenOptions& options,
                                                          const Credentials& creds) {
  return RefPtr<vfs::FileDescription>(MakeRef<DirectoryDescription>(RefPtr<DirectoryInode>(this)));
}

uint64_t DirectoryInode::EntryIno(const vfs::Inode& layer, uint64_t ino) const {
  uint64_t natural = overlay().NaturalIno(layer.fs().dev(), ino);
  return overlay().RememberedIno(natural).value_or(natural);
}

Result<RefPtr<Listing>> DirectoryInode::List() {
  auto listing = MakeRef<Listing>();
  absl::flat_hash_set<std::string> seen;
  auto add = [&](vfs::Inode& layer) -> Result<void> {
    for (LayerEntry& entry : TRY(ListLayer(layer))) {
      if (!seen.insert(entry.name).second) continue;
      if (entry.type == DT_CHR || entry.type == DT_UNKNOWN) {
        Result<RefPtr<vfs::Inode>> inode = LookupIn(layer, entry.name);
        if (!inode.ok()) continue;
        if (TRY(IsWhiteout(**inode))) continue;
        entry.type = static_cast<uint8_t>((*inode)->type() >> 12);
      }
      entry.ino = EntryIno(layer, entry.ino);
      listing->entries.push_back(std::move(entry));
    }
    return {};
  };
  const bool lowers = has_lowers();
  if (upper_) TRY(add(*upper_));
  if (!lowers) return listing;
  for (const RefPtr<vfs::Inode>& lower : lowers_) TRY(add(*lower));
  return listing;
}

}  // namespace overlay
