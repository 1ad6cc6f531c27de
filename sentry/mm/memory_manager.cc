#include "sentry/mm/memory_manager.h"

#include <random>

#include "base/log.h"

namespace mm {

MemoryManager::MemoryManager(platform::Platform& platform) : platform_(platform) {
  vmas_.SetBounds(platform.min_user_address(), platform.max_user_address(), platform.max_user_address());
}

Result<RefPtr<MemoryManager>> MemoryManager::Create(platform::Platform& platform) {
  auto memory = RefPtr<MemoryManager>::Adopt(new MemoryManager(platform));
  memory->space_ = TRY(platform.CreateAddressSpace());
  return memory;
}

MemoryManager::~MemoryManager() {
  // No context runs in the address space any more, so its pages may be reused whatever it still maps.
  space_.reset();
  base::MemoryFile& file = base::MemoryFile::Get();
  for (auto& [start, piece] : pmas_) {
    if (piece.in_memory_file()) file.DecRef(piece.offset, piece.end - start);
  }
  if (heap_reserve_length_ > 0) file.DecRef(heap_reserve_, heap_reserve_length_);
}

void MemoryManager::SetLayout(uint64_t mmap_base) {
  vmas_.SetBounds(platform_.min_user_address(), std::min(mmap_base, platform_.max_user_address()),
                  platform_.max_user_address());
}

void MemoryManager::Released::AddPages(uint64_t offset, uint64_t length) {
  if (!pages.empty() && pages.back().first + pages.back().second == offset) {
    pages.back().second += length;
  } else {
    pages.emplace_back(offset, length);
  }
}

void MemoryManager::Settle(Released* released, bool flush, bool heap) {
  if (flush || (ConcurrentlyUsed() && !released->pages.empty())) {
    // When it fails the stub is gone, and with it every mapping.
    (void)space_->Flush();
  }
  for (auto [offset, length] : released->pages) {
    if (heap && ReserveForHeap(offset, length)) continue;
    base::MemoryFile::Get().DecRef(offset, length);
  }
  released->pages.clear();
  released->vmas.clear();
}

void MemoryManager::DropPieces(uint64_t start, uint64_t end, Released* released) {
  ForgetCache();
  if (!split_patches_.empty()) [[unlikely]] UndoSplitPatches(start, end, released);
  uint64_t first = 0, last = 0;
  for (auto it = pmas_.FindFrom(start); it != pmas_.end() && it->first < end;) {
    it = pmas_.Isolate(it, start, end);
    if (!it->second.deferred) {
      if (last == 0) first = it->first;
      last = it->second.end;
    }
    if (it->second.in_memory_file()) released->AddPages(it->second.offset, it->second.end - it->first);
    it = pmas_.Erase(it);
  }
  if (last != 0) (void)space_->Unmap(first, last - first);
}

// --- truncation of mapped files ---

// Registered with a Mappable for as long as VMAs of it exist in one memory manager.
class TruncateLink : public RefCounted, public vfs::Mappable::Mapper {
 public:
  TruncateLink(MemoryManager* memory, RefPtr<vfs::Mappable> mappable) : memory_(memory), mappable_(std::move(mappable)) {
    mappable_->AddMapper(this);
  }
  ~TruncateLink() override {
    mappable_->RemoveMapper(this);
    memory_->truncate_links_.erase(mappable_.get());
  }
  void InvalidateMappings(uint64_t offset, uint64_t length) override {
    memory_->InvalidateFile(mappable_.get(), offset, length);
  }

 private:
  MemoryManager* const memory_;  // which owns the VMAs that hold this
  const RefPtr<vfs::Mappable> mappable_;
};

RefPtr<RefCounted> MemoryManager::LinkTruncate(vfs::Mappable* mappable) {
  RefCounted*& link = truncate_links_[mappable];
  if (link != nullptr) return RefPtr<RefCounted>(link);
  auto made = MakeRef<TruncateLink>(this, RefPtr<vfs::Mappable>(mappable));
  // AddMapper may have grown the table through another mapping.
  truncate_links_[mappable] = made.get();
  return made;
}

void MemoryManager::InvalidateFile(vfs::Mappable* mappable, uint64_t offset, uint64_t length) {
  uint64_t file_end = length > UINT64_MAX - offset ? UINT64_MAX : offset + length;
  RefPtr<MemoryManager> keep(this);
  Released released;
  for (auto& [start, vma] : vmas_.map()) {
    if (vma->mappable != mappable) continue;
    uint64_t vma_file_end = vma->offset + vma->length();
    if (vma->offset >= file_end || vma_file_end <= offset) continue;
    uint64_t from = vma->start + (offset > vma->offset ? base::PageDown(offset - vma->offset) : 0);
    uint64_t to = vma->end - (vma_file_end > file_end ? base::PageDown(vma_file_end - file_end) : 0);
    DropPieces(from, to, &released);
  }
  Settle(&released, /*flush=*/!released.pages.empty());
}

}  // namespace mm
