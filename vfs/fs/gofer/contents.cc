#include "vfs/fs/gofer/contents.h"

#include <dirent.h>

namespace goferfs {

namespace {
constexpr size_t kMaxAttributes = 32768;  // 100 bytes each
constexpr size_t kCompactNames = 4096;    // bytes of erased names that may stay
}  // namespace

size_t Contents::attribute_count = 0;

Contents::Holders& Contents::AttributeHolders() {
  static auto* holders = new Holders;
  return *holders;
}

Contents::Contents() : index_(0, Hash{this}, Equal{this}) {}
Contents::~Contents() { DropAttributes(); }

void Contents::DropAttributes() {
  if (attributes_left_ == 0) return;
  for (Known& known : known_) {
    // Who asks for one of them is told of many again.
    if (known.attributes != 0 && known.type != DT_DIR) known.key = {};
    known.attributes = 0;
  }
  AttributeHolders().erase(holder_);
  attribute_count -= attributes_left_;
  attributes_left_ = 0;
  attributes_ = {};
}

void Contents::CompactAttributes() {
  std::vector<gofer::WireAttributes> left;
  left.reserve(known_.size());
  for (Known& known : known_) {
    if (known.attributes == 0) continue;
    left.push_back(attributes_[known.attributes - 1]);
    known.attributes = static_cast<uint32_t>(left.size());
  }
  attributes_ = std::move(left);
}

Contents::Known* Contents::Find(std::string_view name) {
  auto it = index_.find(name);
  return it == index_.end() ? nullptr : &known_[*it];
}

std::optional<gofer::WireAttributes> Contents::TakeAttributes(Known& known) {
  if (known.attributes == 0) return std::nullopt;
  gofer::WireAttributes taken = attributes_[known.attributes - 1];
  known.attributes = 0;
  attribute_count--;
  if (--attributes_left_ == 0) {
    AttributeHolders().erase(holder_);
    attributes_ = {};
  }
  return taken;
}

Contents::Known* Contents::Add(std::string_view name, uint64_t ino, uint8_t type) {
  Known& known = known_.emplace_back();
  known.ino = ino;
  known.name_at = names_.size();
  known.name_size = static_cast<uint8_t>(name.size());
  known.type = type;
  names_ += name;
  if (Find(name) != nullptr) {
    known_.pop_back();
    names_.resize(names_.size() - name.size());
    return nullptr;
  }
  index_.insert(static_cast<uint32_t>(known_.size() - 1));
  return &known;
}

void Contents::Tell(Known& known, const gofer::WireAttributes& attributes, bool keep) {
  known.key = {attributes.dev, attributes.ino};
  if (!keep || known.attributes != 0) return;
  if (attributes_.size() > 2 * known_.size()) CompactAttributes();
  attributes_.push_back(attributes);
  known.attributes = static_cast<uint32_t>(attributes_.size());
  if (attributes_left_++ == 0) holder_ = AttributeHolders().insert(AttributeHolders().end(), this);
  attribute_count++;
  while (attribute_count > kMaxAttributes && AttributeHolders().front() != this) AttributeHolders().front()->DropAttributes();
}

void Contents::Set(std::string_view name, const InodeKey& key, uint64_t ino, uint8_t type) {
  listing_.reset();
  Known* known = Find(name);
  if (known == nullptr) known = Add(name, ino, type);
  (void)TakeAttributes(*known);
  known->key = key;
  known->ino = ino;
  known->type = type;
}

void Contents::Erase(std::string_view name) {
  listing_.reset();
  auto it = index_.find(name);
  if (it == index_.end()) return;
  const uint32_t at = *it;
  const auto last = static_cast<uint32_t>(known_.size() - 1);
  (void)TakeAttributes(known_[at]);
  erased_ += known_[at].name_size;
  index_.erase(it);
  if (at != last) {
    index_.erase(last);
    known_[at] = known_[last];
    index_.insert(at);
  }
  known_.pop_back();
  if (erased_ > kCompactNames && erased_ > names_.size() / 2) CompactNames();
}

void Contents::CompactNames() {
  std::string names;
  names.reserve(names_.size() - erased_);
  for (Known& known : known_) {
    std::string_view name = NameOf(known);
    known.name_at = names.size();
    names += name;
  }
  names_ = std::move(names);
  erased_ = 0;
}

const RefPtr<Listing>& Contents::listing() {
  if (listing_) return listing_;
  listing_ = MakeRef<Listing>();
  listing_->entries.reserve(known_.size());
  listing_->names.reserve(names_.size() - erased_);
  for (const Known& known : known_) listing_->Add(NameOf(known), known.ino, known.type);
  return listing_;
}

}  // namespace goferfs
