// What /proc, mincore(2) and mlock(2) ask about.

#include <sys/mman.h>

#include <algorithm>

#include "sentry/mm/memory_manager.h"

namespace mm {

using base::PageDown;
using base::PageUp;

void MemoryManager::ForEachVma(absl::FunctionRef<bool(const VmaInfo&)> visit, Detail detail) {
  for (auto& [start, vma] : vmas_.map()) {
    VmaInfo info{.start = vma->start,
                 .end = vma->end,
                 .prot = vma->prot,
                 .shared = vma->shared(),
                 .offset = vma->offset,
                 .file = vma->file.get(),
                 .name = vma->name,
                 .committed_bytes = detail == Detail::kResidency ? ResidentIn(vma->start, vma->end) : 0,
                 .advice_flags = static_cast<int>(vma->flags),
                 .mappable = vma->mappable.get()};
    if (!visit(info)) return;
  }
}

uint64_t MemoryManager::total_bytes() const { return vmas_.total_bytes(); }

// Host pages behind [start, end), as far as the memory file goes; host file pages that are mapped count as present.
uint64_t MemoryManager::ResidentIn(uint64_t start, uint64_t end) const {
  uint64_t bytes = 0;
  for (auto it = pmas_.FindFrom(start); it != pmas_.end() && it->first < end; ++it) {
    uint64_t from = std::max(it->first, start), to = std::min(it->second.end, end);
    if (it->second.in_memory_file()) {
      bytes += base::MemoryFile::Get().CommittedIn(it->second.offset + (from - it->first), to - from);
    } else {
      bytes += to - from;
    }
  }
  return bytes;
}

uint64_t MemoryManager::resident_bytes() const { return ResidentIn(0, UINT64_MAX); }

Result<void> MemoryManager::Mincore(uint64_t address, uint64_t length, std::vector<uint8_t>* residency) {
  if (address % kPageSize != 0) return Errno::kEINVAL;
  uint64_t size = PageUp(length);
  if (size < length || address > vmas_.limit() || size > vmas_.limit() - address) return Errno::kENOMEM;
  if (!vmas_.Covers(address, address + size)) return Errno::kENOMEM;
  residency->assign(size / kPageSize, 0);
  uint64_t end = address + size;
  for (auto it = pmas_.FindFrom(address); it != pmas_.end() && it->first < end; ++it) {
    uint64_t from = std::max(it->first, address), to = std::min(it->second.end, end);
    uint8_t* flags = residency->data() + (from - address) / kPageSize;
    if (it->second.in_memory_file()) {
      base::MemoryFile::Get().Residency(it->second.offset + (from - it->first), to - from, flags);
    } else {
      std::fill(flags, flags + (to - from) / kPageSize, 1);
    }
  }
  return {};
}

// --- mlock(2): accounting only; the memory of a sandbox is locked or not as its host decides ---

Result<void> MemoryManager::SetLocked(uint64_t start, uint64_t end, bool lock) {
  bool complete = vmas_.Covers(start, end);
  for (uint64_t at = start; at < end;) {
    Vma* vma = vmas_.FindFrom(at);
    if (vma == nullptr || vma->start >= end) break;
    uint64_t from = std::max(at, vma->start), to = std::min(end, vma->end);
    at = to;
    if (((vma->flags & Vma::kLocked) != 0) == lock) continue;
    TRY(RoomForSplits((from > vma->start ? 1 : 0) + (to < vma->end ? 1 : 0)));
    vmas_.SplitAt(from);
    vmas_.SplitAt(to);
    vmas_.Find(from)->flags ^= Vma::kLocked;
    locked_ += lock ? to - from : from - to;
  }
  vmas_.MergeRange(start, end);
  return complete ? Result<void>() : Errno::kENOMEM;
}

Result<void> MemoryManager::Lock(uint64_t address, uint64_t length, int flags) {
  if ((flags & ~MLOCK_ONFAULT) != 0) return Errno::kEINVAL;
  uint64_t start = PageDown(address);
  uint64_t size = PageUp(length + (address - start));
  if (size < length || start + size < start) return Errno::kEINVAL;
  if (limit_memlock == 0) return Errno::kEPERM;
  if (size == 0) return {};
  uint64_t already = 0;
  for (Vma* vma = vmas_.FindFrom(start); vma != nullptr && vma->start < start + size; vma = vmas_.Next(*vma)) {
    if ((vma->flags & Vma::kLocked) != 0) already += std::min(vma->end, start + size) - std::max(vma->start, start);
  }
  if (limit_memlock != UINT64_MAX && (size > limit_memlock || locked_ - already > limit_memlock - size)) return Errno::kENOMEM;
  return SetLocked(start, start + size, true);
}

Result<void> MemoryManager::Unlock(uint64_t address, uint64_t length) {
  uint64_t start = PageDown(address);
  uint64_t size = PageUp(length + (address - start));
  if (size < length || start + size < start) return Errno::kEINVAL;
  return size == 0 ? Result<void>() : SetLocked(start, start + size, false);
}

Result<void> MemoryManager::LockAll(int flags) {
  if (flags == 0 || (flags & ~(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT)) != 0 || flags == MCL_ONFAULT) return Errno::kEINVAL;
  if (limit_memlock == 0) return Errno::kEPERM;
  if ((flags & MCL_CURRENT) != 0 && limit_memlock != UINT64_MAX && total_bytes() > limit_memlock) return Errno::kENOMEM;
  lock_future_ = (flags & MCL_FUTURE) != 0;
  if ((flags & MCL_CURRENT) != 0) (void)SetLocked(0, UINT64_MAX, true);
  return {};
}

void MemoryManager::UnlockAll() {
  lock_future_ = false;
  (void)SetLocked(0, UINT64_MAX, false);
}

}  // namespace mm
