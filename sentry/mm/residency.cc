// What /proc, mincore(2) and mlock(2) ask about.

#include <sys/mman.h>

#include <algorithm>

#include "sentry/mm/memory_manager.h"

namespace mm {

using base::PageDown;
using base::PageUp;

void MemoryManager::ForEachVma(absl::FunctionRef<bool(const VmaInfo&)> visit) {
  for (auto& [start, vma] : vmas_.map()) {
    uint64_t backed = 0;
    for (auto it = pmas_.FindFrom(vma->start); it != pmas_.end() && it->first < vma->end; ++it) {
      backed += std::min(it->second.end, vma->end) - std::max(it->first, vma->start);
    }
    VmaInfo info{.start = vma->start,
                 .end = vma->end,
                 .prot = vma->prot,
                 .shared = vma->shared(),
                 .offset = vma->offset,
                 .file = vma->file.get(),
                 .name = vma->name,
                 .committed_bytes = backed,
                 .advice_flags = static_cast<int>(vma->flags)};
    if (!visit(info)) return;
  }
}

uint64_t MemoryManager::total_bytes() const { return vmas_.total_bytes(); }

uint64_t MemoryManager::resident_bytes() const { return total_bytes(); }

Result<void> MemoryManager::Lock(uint64_t address, uint64_t length, int flags) { return {}; }
Result<void> MemoryManager::Unlock(uint64_t address, uint64_t length) { return {}; }
Result<void> MemoryManager::LockAll(int flags) { return {}; }
void MemoryManager::UnlockAll() {}
Result<void> MemoryManager::Advise(uint64_t address, uint64_t length, int advice) { return {}; }
Result<void> MemoryManager::Sync(uint64_t address, uint64_t length, int flags) { return {}; }
Result<void> MemoryManager::Mincore(uint64_t address, uint64_t length, std::vector<uint8_t>* residency) { return {}; }
Result<uint64_t> MemoryManager::Remap(uint64_t, uint64_t, uint64_t, int, uint64_t) { return Errno::kENOSYS; }

}  // namespace mm
