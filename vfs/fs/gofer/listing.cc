// Reading directories: the listing that a directory remembers, and the description that walks through one.

#include <dirent.h>
#include <sys/stat.h>

#include "vfs/fs/gofer/directory.h"

namespace goferfs {

using gofer::Reader;

namespace {

// Directories up to this size are remembered whole.
constexpr size_t kMaxRemembered = 32768;
// So many attributes that nobody asked for yet are kept, 100 bytes each.
constexpr size_t kMaxPrefetched = 32768;
// A directory that goes on for longer than this is a gofer gone mad.
constexpr size_t kMaxEntries = size_t{1} << 24;
// Offsets of "." and ".." come first.
constexpr int64_t kFirstEntry = 2;

}  // namespace

Result<RefPtr<Listing>> DirectoryInode::List() {
  bool remember = !gofer_fs().shared();
  if (remember && names_ != nullptr) {
    if (!listing_) {
      listing_ = MakeRef<Listing>();
      listing_->entries.reserve(names_->size());
      for (const auto& [name, known] : *names_) listing_->entries.push_back({name, known.ino, known.type});
    }
    return listing_;
  }

  gofer::Handle handle = TRY(EnsureHandle());
  auto listing = MakeRef<Listing>();
  auto names = std::make_unique<Names>();
  uint64_t changes = changes_;
  int64_t cookie = 0;
  for (bool end = false; !end;) {
    Exchange exchange(connection());
    exchange.Begin(gofer::Opcode::kReadDir, handle);
    exchange.Put(gofer::ReadDirRequest{cookie, remember});
    Reader in = TRY(exchange.Run());
    auto header = TRY(exchange.Take<gofer::ReadDirReply>(in));
    if (header.count == 0 && header.end == 0) return exchange.Broken();
    for (uint32_t i = 0; i < header.count; i++) {
      auto entry = TRY(exchange.Take<gofer::WireDirent>(in));
      auto bytes = in.TakeBytes(entry.name_size);
      if (!bytes || !gofer::ValidName(*bytes)) return exchange.Broken();
      cookie = entry.next;
      std::string name(*bytes);
      uint8_t type = entry.type;
      uint64_t ino = entry.ino;
      Known known;
      if (entry.has_attributes != 0) {
        ino = gofer_fs().VisibleIno(entry.attributes.dev, entry.attributes.ino);
        type = static_cast<uint8_t>((entry.attributes.mode & S_IFMT) >> 12);
        // Files with several names may change through the others before anybody looks this one up.
        if (remember && Prefetched::count < kMaxPrefetched && (entry.attributes.nlink == 1 || S_ISDIR(entry.attributes.mode))) {
          known.attributes = std::make_unique<Prefetched>(entry.attributes);
        }
      }
      if (remember) {
        known.ino = ino;
        known.type = type;
        remember = names->emplace(name, std::move(known)).second && names->size() <= kMaxRemembered;
      }
      listing->entries.push_back({std::move(name), ino, type});
    }
    if (listing->entries.size() > kMaxEntries) return exchange.Broken();
    end = header.end != 0;
  }
  if (remember && changes == changes_) {
    names_ = std::move(names);
    listing_ = listing;
  }
  return listing;
}

Result<void> DirectoryDescription::ReadDir(absl::FunctionRef<bool(const vfs::DirectoryEntry&)> emit) {
  if (offset_ == 0 || !listing_) listing_ = TRY(directory_->List());
  for (;;) {
    vfs::DirectoryEntry entry{.next_offset = static_cast<int64_t>(offset_) + 1};
    if (offset_ == 0) {
      entry.name = ".";
      entry.ino = directory_->visible_ino();
      entry.type = DT_DIR;
    } else if (offset_ == 1) {
      entry.name = "..";
      entry.ino = directory_->visible_ino();
      const RefPtr<vfs::Dentry>& dentry = path().dentry;
      if (dentry && dentry->parent() && dentry->parent()->inode()) {
        entry.ino = static_cast<GoferInode&>(*dentry->parent()->inode()).visible_ino();
      }
      entry.type = DT_DIR;
    } else {
      size_t index = offset_ - kFirstEntry;
      if (index >= listing_->entries.size()) return {};
      const Listing::Entry& at = listing_->entries[index];
      entry.name = at.name;
      entry.ino = at.ino;
      entry.type = at.type;
    }
    if (!emit(entry)) return {};
    offset_++;
  }
}

Result<int64_t> DirectoryDescription::Seek(int64_t offset, int whence) {
  if (whence == SEEK_CUR) offset += static_cast<int64_t>(offset_);
  if ((whence != SEEK_SET && whence != SEEK_CUR) || offset < 0) return Errno::kEINVAL;
  offset_ = static_cast<uint64_t>(offset);
  return offset;
}

}  // namespace goferfs
