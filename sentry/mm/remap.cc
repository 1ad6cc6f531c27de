// mremap(2). Linux: mm/mremap.c.

#include <sys/mman.h>

#include <algorithm>

#include "base/log.h"
#include "sentry/mm/memory_manager.h"

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

namespace mm {

using base::PageUp;

Result<uint64_t> MemoryManager::Remap(uint64_t old_address, uint64_t old_size, uint64_t new_size, int flags,
                                      uint64_t new_address) {
  if ((flags & ~(MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP)) != 0) return Errno::kEINVAL;
  bool may_move = (flags & MREMAP_MAYMOVE) != 0, fixed = (flags & MREMAP_FIXED) != 0;
  bool keep_old = (flags & MREMAP_DONTUNMAP) != 0;
  if ((fixed || keep_old) && !may_move) return Errno::kEINVAL;
  if (keep_old && PageUp(old_size) != PageUp(new_size)) return Errno::kEINVAL;
  if (old_address % kPageSize != 0) return Errno::kEINVAL;
  uint64_t limit = vmas_.limit();
  if (PageUp(old_size) < old_size || PageUp(new_size) < new_size) return Errno::kEINVAL;
  old_size = PageUp(old_size);
  new_size = PageUp(new_size);
  if (new_size == 0) return Errno::kEINVAL;
  if (old_address > limit || old_size > limit - old_address) return Errno::kEINVAL;
  if (fixed) {
    if (new_address % kPageSize != 0 || new_size > limit || new_address > limit - new_size) return Errno::kEINVAL;
    if (new_address < vmas_.lowest()) return Errno::kEPERM;
    if (old_address < new_address + new_size && new_address < old_address + old_size) return Errno::kEINVAL;
  }
  Vma* vma = vmas_.Find(old_address);
  if (vma == nullptr) return Errno::kEFAULT;
  if (old_size == 0 && !vma->shared()) return Errno::kEINVAL;
  if (keep_old && (vma->flags & Vma::kSpecial) != 0) return Errno::kEINVAL;
  // Linux asks for room for the pieces that a move leaves behind before it unmaps anything.
  TRY(RoomForSplits(3));

  if (!fixed && !keep_old) {
    if (old_size > new_size) {
      TRY(Unmap(old_address + new_size, old_size - new_size));
      return old_address;
    }
    if (old_size == new_size && old_size > 0) return old_size > vma->end - old_address ? Errno::kEFAULT : Result<uint64_t>(old_address);
  }
  uint64_t kept = std::min(old_size, new_size);
  if (kept > vma->end - old_address) return Errno::kEFAULT;
  if (new_size > old_size) {
    uint64_t growth = new_size - old_size;
    if ((vma->flags & Vma::kSpecial) != 0) return Errno::kEFAULT;
    if (vma->mappable && vma->OffsetOf(old_address) + new_size < new_size) return Errno::kEINVAL;
    if ((vma->flags & Vma::kLocked) != 0 && limit_memlock != UINT64_MAX && locked_ + growth > limit_memlock) {
      return Errno::kEAGAIN;
    }
    TRY(CheckLimits(growth, vma->counts_as_data(), 0, 0));
    if (!fixed && old_size > 0 && old_address + old_size == vma->end && vmas_.IsFree(vma->end, growth)) {
      uint64_t old_end = vma->end;
      vmas_.Extend(*vma, vma->start, old_end + growth);
      if ((vma->flags & Vma::kLocked) != 0) locked_ += growth;
      vmas_.MergeRange(old_end, old_end + growth);
      PopulateNew(old_end, old_end + growth);
      return old_address;
    }
    if (!may_move) return Errno::kENOMEM;
  } else if (keep_old) {
    TRY(CheckLimits(new_size, vma->counts_as_data(), 0, 0));
  }
  return Move(old_address, old_size, new_size, flags, new_address);
}

Result<uint64_t> MemoryManager::Move(uint64_t old_address, uint64_t old_size, uint64_t new_size, int flags,
                                     uint64_t new_address) {
  bool fixed = (flags & MREMAP_FIXED) != 0, keep_old = (flags & MREMAP_DONTUNMAP) != 0;
  uint64_t target = new_address;
  if (!fixed) target = TRY(ChooseAddress(keep_old ? new_address : 0, new_size, 0));
  Released released;
  if (fixed) RemoveRange(new_address, new_address + new_size, &released);
  if (old_size > new_size) {
    // The rest goes first, as in Linux.
    RemoveRange(old_address + new_size, old_address + old_size, &released);
    old_size = new_size;
  }
  Vma* old = vmas_.Find(old_address);
  auto vma = std::make_unique<Vma>(*old);
  vma->start = target;
  vma->end = target + new_size;
  if (vma->mappable) vma->offset = old->OffsetOf(old_address);
  bool locked = (vma->flags & Vma::kLocked) != 0;
  if (locked) locked_ += new_size;
  if (old_size > 0) {
    vmas_.SplitAt(old_address);
    vmas_.SplitAt(old_address + old_size);
    MovePieces(old_address, old_size, target, &released);
    if (!keep_old) {
      RemoveRange(old_address, old_address + old_size, &released);
    } else {
      Vma* left = vmas_.Find(old_address);
      if (locked) {
        left->flags &= ~Vma::kLocked;
        locked_ -= old_size;
      }
      if (left->private_anonymous() && left->prot != PROT_NONE) PopulateGaps(*left, left->start, left->end);
    }
  }
  vmas_.Insert(std::move(vma));
  RefPtr<MemoryManager> keep(this);
  Settle(&released, /*flush=*/false);
  if (new_size > old_size) PopulateNew(target + old_size, target + new_size);
  return target;
}

// The pages behind [from, from + length) are from now on at `to`, where nothing is.
void MemoryManager::MovePieces(uint64_t from, uint64_t length, uint64_t to, Released* released) {
  if (!split_patches_.empty()) [[unlikely]] UndoSplitPatches(from, from + length, released);
  ForgetCache();
  bool any = false;
  for (auto it = pmas_.FindFrom(from); it != pmas_.end() && it->first < from + length;) {
    it = pmas_.Isolate(it, from, from + length);
    uint64_t start = it->first - from + to;
    Pma piece = it->second;
    piece.end = piece.end - from + to;
    pmas_.Erase(it);
    if (!piece.deferred) {
      (void)MapPiece(start, piece);
      any = true;
    }
    pmas_.Insert(start, std::move(piece));
    it = pmas_.FindFrom(from);
  }
  if (any) (void)space_->Unmap(from, length);
}

}  // namespace mm
