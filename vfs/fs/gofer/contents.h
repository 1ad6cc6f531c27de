#pragma once

// What a directory contains, as a listing told: its names, and the attributes of the files until somebody asks for them.

#include <list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/string_view.h"
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
    uint64_t ino;  // as applications see it
    size_t name_at;
    uint8_t name_size;
    uint8_t type;  // DT_*
  };
  void Add(std::string_view name, uint64_t ino, uint8_t type) {
    entries.push_back({ino, names.size(), static_cast<uint8_t>(name.size()), type});
    names += name;
  }
  std::string_view name(size_t index) const { return {names.data() + entries[index].name_at, entries[index].name_size}; }

  std::vector<Entry> entries;
  std::string names;  // one after the other
};

// All names of a directory that only we change.
class Contents {
 public:
  // Directories up to this size are remembered.
  static constexpr size_t kMaxNames = 32768;

  struct Known {
    // Whether the host has told more than what a listing without attributes does.
    bool told() const { return key != InodeKey{}; }

    InodeKey key;             // zeroes: not known
    uint64_t ino = 0;         // visible
    size_t name_at = 0;
    uint32_t attributes = 0;  // where they are, plus 1; 0: there are none, or an inode was made of it, which knows better
    uint8_t name_size = 0;
    uint8_t type = 0;
  };

  Contents();
  ~Contents();
  Contents(const Contents&) = delete;
  Contents& operator=(const Contents&) = delete;

  // Null for what is not there. Good until names are added or erased, like indices, which are those of the listing.
  Known* Find(std::string_view name);
  Known& at(size_t index) { return known_[index]; }
  size_t IndexOf(const Known& known) const { return static_cast<size_t>(&known - known_.data()); }
  size_t size() const { return known_.size(); }

  // Another name; null when it was there already.
  Known* Add(std::string_view name, uint64_t ino, uint8_t type);
  // Its attributes as the host tells them.
  void Tell(Known& known, const gofer::WireAttributes& attributes, bool keep);
  std::optional<gofer::WireAttributes> TakeAttributes(Known& known);

  // A name is this file now, or is gone.
  void Set(std::string_view name, const InodeKey& key, uint64_t ino, uint8_t type);
  void Erase(std::string_view name);

  // The names as a listing: the one it was made of, or a new one after changes.
  const RefPtr<Listing>& listing();
  void SetListing(RefPtr<Listing> listing) { listing_ = std::move(listing); }

 private:
  std::string_view NameOf(const Known& known) const { return {names_.data() + known.name_at, known.name_size}; }
  void DropAttributes();
  void CompactAttributes();
  void CompactNames();

  // The index finds positions in known_ by name.
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view name) const { return absl::Hash<absl::string_view>()({name.data(), name.size()}); }
    size_t operator()(uint32_t at) const { return (*this)(of->NameOf(of->known_[at])); }
    const Contents* of;
  };
  struct Equal {
    using is_transparent = void;
    bool operator()(uint32_t a, uint32_t b) const { return a == b; }
    bool operator()(uint32_t at, std::string_view name) const { return of->NameOf(of->known_[at]) == name; }
    bool operator()(std::string_view name, uint32_t at) const { return (*this)(at, name); }
    const Contents* of;
  };

  std::vector<Known> known_;
  std::string names_;   // one after the other, and some that are erased
  size_t erased_ = 0;   // bytes of those
  absl::flat_hash_set<uint32_t, Hash, Equal> index_;
  RefPtr<Listing> listing_;  // null: to be made of known_

  // Attributes that nobody has asked for, of all directories, and those that have some, oldest first. They are bounded, or a walk through a
  // big tree would fill the memory.
  using Holders = std::list<Contents*>;
  static Holders& AttributeHolders();
  static size_t attribute_count;
  std::vector<gofer::WireAttributes> attributes_;  // those that were taken too, for a while
  size_t attributes_left_ = 0;
  Holders::iterator holder_;  // in the list while attributes_left_ > 0
};

}  // namespace goferfs
