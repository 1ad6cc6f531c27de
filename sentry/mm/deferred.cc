// Pieces that the stub has not mapped yet. Each mapping costs it a host call of 2 to 3 us, which is wasted on what is replaced
// or given up before it is touched: most of what the child of a fork inherits, and libraries while the dynamic linker lays
// their segments over each other. A first touch costs one fault, 5 us, and brings its neighbours along.

#include "sentry/mm/memory_manager.h"

namespace mm {

namespace {
constexpr int kMaxAround = 16;  // pieces on either side
}  // namespace

// Maps the deferred pieces at `address` and next to it, up to a gap.
void MemoryManager::MapDeferredAround(uint64_t address) {
  auto it = pmas_.Find(address);
  if (it == pmas_.end()) return;
  for (int i = 0; i < kMaxAround && it != pmas_.begin(); i++) {
    auto previous = std::prev(it);
    if (previous->second.end != it->first) break;
    it = previous;
  }
  const uint64_t start = it->first;
  uint64_t end = start;
  for (int after = 0; it != pmas_.end() && it->first == end && after <= kMaxAround; ++it) {
    if (it->second.deferred) (void)MapPiece(it->first, it->second);
    end = it->second.end;
    if (it->first > address) after++;
  }
  pmas_.MergeRange(start, end);
}

// The application came upon a deferred piece.
void MemoryManager::TouchDeferred(uint64_t address) {
  if (parent_history_) parent_history_->NoteTouched(base::PageDown(address));
  MapDeferredAround(address);
}

}  // namespace mm
