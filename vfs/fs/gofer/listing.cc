// Reading directories: the listing that a directory remembers, and the description that walks through one.

#include <dirent.h>
#include <sys/stat.h>

#include <algorithm>
#include <optional>

#include "vfs/fs/gofer/directory.h"

namespace goferfs {

using gofer::Reader;

namespace {

// A directory that goes on for longer than this is a gofer gone mad.
constexpr size_t kMaxEntries = size_t{1} << 24;
// Offsets of "." and ".." come first.
constexpr int64_t kFirstEntry = 2;

// Reads `count` entries of a directory on `dev`: to `listing`, and to `contents` unless that is null. False when they are not to be remembered: a
// name came twice, so the directory changes while we read it, or there are too many.
Result<bool> TakeEntries(Exchange& exchange, Reader& in, uint32_t count, uint64_t dev, GoferFileSystem& fs, Listing& listing, Contents* contents,
                         int64_t* cookie) {
  for (uint32_t i = 0; i < count; i++) {
    auto wire = TRY(exchange.Take<gofer::WireDirent>(in));
    std::optional<gofer::WireAttributes> attributes;
    if (wire.has_attributes != 0) attributes = TRY(exchange.Take<gofer::WireAttributes>(in));
    auto name = in.TakeBytes(wire.name_size);
    if (!name || !gofer::ValidName(*name)) return exchange.Broken();
    *cookie = wire.next;
    uint64_t ino = attributes ? fs.VisibleIno(attributes->dev, attributes->ino) : fs.VisibleIno(dev, wire.ino);
    uint8_t type = attributes ? static_cast<uint8_t>((attributes->mode & S_IFMT) >> 12) : wire.type;
    if (contents != nullptr) {
      Contents::Known* known = contents->Add(*name, ino, type);
      if (known != nullptr && attributes) contents->Tell(*known, *attributes, fs.MayKeep(*attributes));
      if (known == nullptr || contents->size() > Contents::kMaxNames) contents = nullptr;
    }
    listing.Add(*name, ino, type);
  }
  return contents != nullptr;
}

// Reads the listings of directories to where they belong. They are of no use when something has changed since the request.
Result<void> TakeListings(Exchange& exchange, Reader& in, GoferFileSystem& fs, uint64_t changes) {
  while (!in.AtEnd()) {
    auto header = TRY(exchange.Take<gofer::WireListing>(in));
    auto listed = MakeRef<Listing>();
    auto contents = std::make_unique<Contents>();
    int64_t cookie = 0;
    bool whole = TRY(TakeEntries(exchange, in, header.count, header.dev, fs, *listed, contents.get(), &cookie));
    if (!whole || changes != fs.changes()) continue;
    contents->SetListing(std::move(listed));
    InodeKey key{header.dev, header.ino};
    GoferInode* known = fs.Find(key);
    if (known == nullptr) {
      fs.listed().Add(key, std::move(contents));
    } else if (known->type() == S_IFDIR && !static_cast<DirectoryInode*>(known)->knows_contents()) {
      static_cast<DirectoryInode*>(known)->AdoptContents(std::move(contents));
    }
  }
  return {};
}

// Has the gofer go on with the trees that it was asked for last, while applications go through what it has told of so far.
void ListMore(Exchange& exchange, GoferFileSystem& fs) {
  exchange.Then(&fs, [&fs](Exchange& next) {
    next.Begin(gofer::Opcode::kListMore, 0);
    next.Put(gofer::ListMoreRequest{fs.listed().NextBudget(), static_cast<uint32_t>(fs.listed().Wanted())});
    next.Post(&fs, [&fs, changes = fs.changes()](Exchange& later, Reader& in) {
      bool end = in.AtEnd();
      if (TakeListings(later, in, fs, changes).ok() && !end && fs.listed().TakeUsed()) ListMore(later, fs);
    });
  });
}

}  // namespace

Result<RefPtr<Listing>> DirectoryInode::List() {
  // It may be on its way.
  if (contents_ == nullptr) connection().Settle();
  if (contents_ == nullptr && !gofer_fs().shared()) {
    RefPtr<DirectoryInode> above = parent();
    if (above) {
      // What goes wrong here, goes wrong again below, or does not matter.
      (void)above->ListTrees(std::string(name()));
    } else {
      gofer_fs().listed().Restart();
    }
  }
  if (contents_ == nullptr) return ListByHandle();
  gofer_fs().listed().NoteUsed();
  return contents_->listing();
}

Result<DirectoryInode::Way> DirectoryInode::FindWay() {
  Way way;
  RefPtr<DirectoryInode> from(this);
  for (; !from->has_handle() && from->parent() && way.names.size() < gofer::kMaxWalkNames; from = from->parent()) way.names.push_back(from->name());
  std::reverse(way.names.begin(), way.names.end());
  way.handle = TRY(from->EnsureHandle());
  return way;
}

Result<RefPtr<Listing>> DirectoryInode::ListByHandle() {
  gofer::Handle handle = TRY(EnsureHandle());
  bool remember = !gofer_fs().shared();
  auto listing = MakeRef<Listing>();
  auto contents = std::make_unique<Contents>();
  uint64_t changes = changes_;
  int64_t cookie = 0;
  for (bool end = false; !end;) {
    Exchange exchange(connection());
    exchange.Begin(gofer::Opcode::kReadDir, handle);
    exchange.Put(gofer::ReadDirRequest{cookie, static_cast<uint32_t>(remember ? gofer_fs().listed().Wanted() : gofer::Attributes::kNone)});
    Reader in = TRY(exchange.Run());
    auto header = TRY(exchange.Take<gofer::ReadDirReply>(in));
    if (header.count == 0 && header.end == 0) return exchange.Broken();
    remember = TRY(TakeEntries(exchange, in, header.count, key().dev, gofer_fs(), *listing, remember ? contents.get() : nullptr, &cookie));
    if (listing->entries.size() > kMaxEntries) return exchange.Broken();
    end = header.end != 0;
  }
  if (remember && changes == changes_) {
    contents_ = std::move(contents);
    contents_->SetListing(listing);
  }
  return listing;
}

Result<void> DirectoryInode::ListTrees(std::string_view name) {
  RefPtr<Listing> listing = contents_ != nullptr ? contents_->listing() : nullptr;
  absl::InlinedVector<std::string_view, 8> names{name};
  const uint32_t budget = gofer_fs().listed().NextFirstBudget();
  if (Contents::Known* first = listing ? contents_->Find(name) : nullptr; first != nullptr && budget > 0) {
    for (size_t i = contents_->IndexOf(*first) + 1; i < listing->entries.size() && names.size() < gofer::kMaxListTrees; i++) {
      if (listing->entries[i].type != DT_DIR) continue;
      const InodeKey& key = contents_->at(i).key;
      GoferInode* known = gofer_fs().Find(key);
      if (known != nullptr ? known->type() == S_IFDIR && !static_cast<DirectoryInode*>(known)->knows_contents() : !gofer_fs().listed().Has(key)) {
        names.push_back(listing->name(i));
      }
    }
  }

  Way way = TRY(FindWay());
  uint64_t changes = gofer_fs().changes();
  Exchange exchange(connection());
  exchange.Begin(gofer::Opcode::kListTrees, way.handle);
  exchange.Put(gofer::ListTreesRequest{static_cast<uint16_t>(names.size()), static_cast<uint16_t>(way.names.size()), budget,
                                       static_cast<uint32_t>(gofer_fs().listed().Wanted())});
  for (const std::string& each : way.names) exchange.PutName(each);
  for (std::string_view each : names) exchange.PutName(each);
  Reader in = TRY(exchange.Run());
  TRY(TakeListings(exchange, in, gofer_fs(), changes));
  if (budget > 0) ListMore(exchange, gofer_fs());
  return {};
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
      entry.name = listing_->name(index);
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
