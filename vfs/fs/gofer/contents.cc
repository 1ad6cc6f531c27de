#include "vfs/fs/gofer/contents.h"

namespace goferfs {

namespace {
constexpr size_t kMaxAttributes = 32768;  // 100 bytes each

absl::string_view Key(std::string_view name) { return {name.data(), name.size()}; }
}  // namespace

size_t Contents::attribute_count = 0;

Contents::Holders& Contents::AttributeHolders() {
  static auto* holders = new Holders;
  return *holders;
}

Contents::~Contents() { DropAttributes(); }

void Contents::DropAttributes() {
  if (attributes_ == 0) return;
  for (auto& [name, known] : names_) known.attributes.reset();
  AttributeHolders().erase(holder_);
  attribute_count -= attributes_;
  attributes_ = 0;
}

Contents::Known* Contents::Find(std::string_view name) {
  auto it = names_.find(Key(name));
  return it == names_.end() ? nullptr : &it->second;
}

std::unique_ptr<gofer::WireAttributes> Contents::TakeAttributes(Known& known) {
  if (known.attributes == nullptr) return nullptr;
  attribute_count--;
  if (--attributes_ == 0) AttributeHolders().erase(holder_);
  return std::move(known.attributes);
}

bool Contents::Add(const Listing::Entry& entry, const gofer::WireAttributes* attributes, bool keep_attributes) {
  auto [it, added] = names_.try_emplace(entry.name);
  if (!added) return false;
  Known& known = it->second;
  known.ino = entry.ino;
  known.type = entry.type;
  known.index = static_cast<uint32_t>(names_.size() - 1);
  if (attributes == nullptr) return true;
  known.key = {attributes->dev, attributes->ino};
  if (!keep_attributes) return true;
  known.attributes = std::make_unique<gofer::WireAttributes>(*attributes);
  if (attributes_++ == 0) holder_ = AttributeHolders().insert(AttributeHolders().end(), this);
  attribute_count++;
  while (attribute_count > kMaxAttributes && AttributeHolders().front() != this) AttributeHolders().front()->DropAttributes();
  return true;
}

void Contents::Set(std::string_view name, const InodeKey& key, uint64_t ino, uint8_t type) {
  listing_.reset();
  Known& known = names_[std::string(name)];
  (void)TakeAttributes(known);
  known.key = key;
  known.ino = ino;
  known.type = type;
}

void Contents::Erase(std::string_view name) {
  listing_.reset();
  auto it = names_.find(Key(name));
  if (it == names_.end()) return;
  (void)TakeAttributes(it->second);
  names_.erase(it);
}

const RefPtr<Listing>& Contents::listing() {
  if (listing_) return listing_;
  listing_ = MakeRef<Listing>();
  listing_->entries.reserve(names_.size());
  for (auto& [name, known] : names_) {
    known.index = static_cast<uint32_t>(listing_->entries.size());
    listing_->entries.push_back({name, known.ino, known.type});
  }
  return listing_;
}

}  // namespace goferfs
