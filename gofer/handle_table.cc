#include "gofer/handle_table.h"

namespace gofer {

namespace {
Handle MakeHandle(uint32_t index, uint32_t generation) { return Handle{generation} << 32 | index; }
}  // namespace

Result<Handle> HandleTable::Add(Node node) {
  if (open_ >= capacity_) return Errno::kENFILE;
  uint32_t index;
  if (free_.empty()) {
    index = static_cast<uint32_t>(slots_.size());
    slots_.emplace_back();
  } else {
    index = free_.back();
    free_.pop_back();
  }
  Slot& slot = slots_[index];
  slot.generation++;
  slot.node = std::move(node);
  open_++;
  return MakeHandle(index, slot.generation);
}

HandleTable::Slot* HandleTable::Find(Handle handle) {
  uint32_t index = static_cast<uint32_t>(handle);
  uint32_t generation = static_cast<uint32_t>(handle >> 32);
  if (index >= slots_.size() || generation % 2 == 0 || slots_[index].generation != generation) return nullptr;
  return &slots_[index];
}

Result<Node*> HandleTable::Get(Handle handle) {
  Slot* slot = Find(handle);
  if (slot == nullptr) return Errno::kEBADF;
  return &slot->node;
}

void HandleTable::Close(Handle handle) {
  Slot* slot = Find(handle);
  if (slot == nullptr) return;
  slot->node = Node{};
  slot->generation++;
  open_--;
  free_.push_back(static_cast<uint32_t>(handle));
}

}  // namespace gofer
