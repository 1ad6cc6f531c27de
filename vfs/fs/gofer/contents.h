#pragma once

// What a directory contains, as a listing told: its names, and the attributes of the files until somebody asks for them.

#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "base/ref.h"
#include "gofer/protocol/protocol.h"

namespace goferfs {

class Exchange;
class GoferFileSystem;

// Which file it is on the host. Hard links have one key, and so one inode here.
struct InodeKey {
  uint64_t dev = 0, ino = 0;
  friend bool operator==(const InodeKey&, const InodeKey&) = default;
  template <class H>
  friend H AbslHashValue(H h, const InodeKey& key) {
    return H::combine(std::move(h), key.dev, key.ino);
  }
};

// The entries of a directory at one moment, in the host's order. Immutable once published; descriptions that read it share it.
struct Listing : public RefCounted {
  struct Entry {
    std::string name;
    uint64_t ino;  // as applications see it
    uint8_t type;  // DT_*
  };
  std::vector<Entry> entries;
};

// All names of a directory that only we change.
class Contents {
 public:
  // Directories up to this size are remembered.
  static constexpr size_t kMaxNames = 32768;

  struct Known {
    InodeKey key;      // zeroes: not known
    uint64_t ino = 0;  // visible
    uint8_t type = 0;
    uint32_t index = 0;  // in the listing
    // From the listing, until an inode was made of it, which knows better then.
    std::unique_ptr<gofer::WireAttributes> attributes;
  };

  Contents() = default;
  ~Contents();
  Contents(const Contents&) = delete;
  Contents& operator=(const Contents&) = delete;

  // Null for what is not there.
  Known* Find(std::string_view name);
  size_t size() const { return names_.size(); }

  // Takes the attributes of a name that Find found; null when there are none (any more).
  std::unique_ptr<gofer::WireAttributes> TakeAttributes(Known& known);

  // Another entry; false when it was there already.
  bool Add(const Listing::Entry& entry, const gofer::WireAttributes* attributes, bool keep_attributes);
  // A name is this file now, or is gone.
  void Set(std::string_view name, const InodeKey& key, uint64_t ino, uint8_t type);
  void Erase(std::string_view name);

  // The names as a listing: the one it was made of, or a new one after changes.
  const RefPtr<Listing>& listing();
  void SetListing(RefPtr<Listing> listing) { listing_ = std::move(listing); }

 private:
  void DropAttributes();

  absl::flat_hash_map<std::string, Known> names_;
  RefPtr<Listing> listing_;  // null: to be made of names_

  // Attributes that nobody has asked for, of all directories, and those that have some, oldest first. They are bounded, or a walk through a
  // big tree would fill the memory.
  using Holders = std::list<Contents*>;
  static Holders& AttributeHolders();
  static size_t attribute_count;
  size_t attributes_ = 0;
  Holders::iterator holder_;  // in the list while attributes_ > 0
};

}  // namespace goferfs
