// madvise(2) and msync(2). Linux: mm/madvise.c, mm/msync.c.

#include <fcntl.h>
#include <sys/mman.h>

#include <algorithm>

#include "sentry/mm/memory_manager.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif

namespace mm {

using base::PageUp;

namespace {
bool KnownAdvice(int advice) {
  switch (advice) {
    case MADV_NORMAL:
    case MADV_RANDOM:
    case MADV_SEQUENTIAL:
    case MADV_WILLNEED:
    case MADV_DONTNEED:
    case MADV_DONTNEED_LOCKED:
    case MADV_FREE:
    case MADV_REMOVE:
    case MADV_DONTFORK:
    case MADV_DOFORK:
    case MADV_MERGEABLE:
    case MADV_UNMERGEABLE:
    case MADV_HUGEPAGE:
    case MADV_NOHUGEPAGE:
    case MADV_DONTDUMP:
    case MADV_DODUMP:
    case MADV_WIPEONFORK:
    case MADV_KEEPONFORK:
    case MADV_COLD:
    case MADV_PAGEOUT:
    case MADV_POPULATE_READ:
    case MADV_POPULATE_WRITE:
      return true;
    default:
      return false;  // also the guard regions of Linux 6.13: libraries fall back to mprotect
  }
}
}  // namespace

Result<void> MemoryManager::Advise(uint64_t address, uint64_t length, int advice) {
  if (!KnownAdvice(advice)) return Errno::kEINVAL;
  uint64_t size = PageUp(length);
  if (address % kPageSize != 0 || size < length || address + size < address) return Errno::kEINVAL;
  uint64_t end = address + size;
  if (advice == MADV_POPULATE_READ || advice == MADV_POPULATE_WRITE) {
    return PopulateRange(address, end, advice == MADV_POPULATE_WRITE ? Access::kWrite : Access::kRead);
  }
  Result<void> result;
  for (uint64_t at = address; at < end;) {
    Vma* vma = vmas_.FindFrom(at);
    if (vma == nullptr || vma->start > at) {
      // Linux goes on behind the hole and says so at the end.
      result = Errno::kENOMEM;
      if (vma == nullptr || vma->start >= end) break;
      at = vma->start;
    }
    uint64_t stop = std::min(end, vma->end);
    TRY(AdviseArea(at, stop, advice));
    at = stop;
  }
  return result;
}

// [start, end) lies within one area.
Result<void> MemoryManager::AdviseArea(uint64_t start, uint64_t end, int advice) {
  Vma& vma = *vmas_.Find(start);
  bool locked = (vma.flags & Vma::kLocked) != 0, special = (vma.flags & Vma::kSpecial) != 0;
  switch (advice) {
    case MADV_NORMAL:
      return ChangeFlags(start, end, 0, Vma::kRandom | Vma::kSequential);
    case MADV_RANDOM:
      return ChangeFlags(start, end, Vma::kRandom, Vma::kSequential);
    case MADV_SEQUENTIAL:
      return ChangeFlags(start, end, Vma::kSequential, Vma::kRandom);
    case MADV_DONTFORK:
      return ChangeFlags(start, end, Vma::kDontFork, 0);
    case MADV_DOFORK:
      return special ? Errno::kEINVAL : ChangeFlags(start, end, 0, Vma::kDontFork);
    case MADV_WIPEONFORK:
      return !vma.private_anonymous() ? Errno::kEINVAL : ChangeFlags(start, end, Vma::kWipeOnFork, 0);
    case MADV_KEEPONFORK:
      return !vma.private_anonymous() ? Errno::kEINVAL : ChangeFlags(start, end, 0, Vma::kWipeOnFork);
    case MADV_DONTDUMP:
      return ChangeFlags(start, end, Vma::kDontDump, 0);
    case MADV_DODUMP:
      return special ? Errno::kEINVAL : ChangeFlags(start, end, 0, Vma::kDontDump);
    case MADV_HUGEPAGE:
      return ChangeFlags(start, end, Vma::kHugePage, Vma::kNoHugePage);
    case MADV_NOHUGEPAGE:
      return ChangeFlags(start, end, Vma::kNoHugePage, Vma::kHugePage);
    case MADV_MERGEABLE:
      return ChangeFlags(start, end, Vma::kMergeable, 0);
    case MADV_UNMERGEABLE:
      return ChangeFlags(start, end, 0, Vma::kMergeable);
    case MADV_FREE:
      if (!vma.private_anonymous()) return Errno::kEINVAL;
      [[fallthrough]];
    case MADV_DONTNEED:
      if (locked) return Errno::kEINVAL;
      [[fallthrough]];
    case MADV_DONTNEED_LOCKED: {
      if (special) return Errno::kEINVAL;
      if (vma.shared()) return {};  // the pages are the file's
      Released released;
      Result<void> result = Discard(start, end, &released);
      Settle(&released, /*flush=*/false);
      return result;
    }
    case MADV_REMOVE:
      if (locked) return Errno::kEINVAL;
      return RemovePages(start, end);
    case MADV_COLD:
    case MADV_PAGEOUT:
      return locked || special ? Errno::kEINVAL : Result<void>();
    default:
      return {};  // MADV_WILLNEED
  }
}

Result<void> MemoryManager::ChangeFlags(uint64_t start, uint64_t end, uint32_t set, uint32_t clear) {
  Vma* vma = vmas_.Find(start);
  uint32_t flags = (vma->flags & ~clear) | set;
  if (flags == vma->flags) return {};
  TRY(RoomForSplits((start > vma->start ? 1 : 0) + (end < vma->end ? 1 : 0)));
  vmas_.SplitAt(start);
  vmas_.SplitAt(end);
  vmas_.Find(start)->flags = flags;
  vmas_.MergeRange(start, end);
  return {};
}

// A private range reads as fresh from now on: zeroes, or the file's content.
Result<void> MemoryManager::Discard(uint64_t start, uint64_t end, Released* released) {
  const Vma& vma = *vmas_.Find(start);
  if (vma.private_anonymous()) {
    base::MemoryFile& file = base::MemoryFile::Get();
    for (auto it = pmas_.FindFrom(start); it != pmas_.end() && it->first < end;) {
      uint64_t from = std::max(it->first, start), to = std::min(it->second.end, end);
      if (it->second.write_ok) {
        // Nobody else's: the host zeroes it in place, in the stub as well.
        file.Decommit(it->second.offset + (from - it->first), to - from);
        ++it;
        continue;
      }
      DropPieces(from, to, released);
      it = pmas_.FindFrom(to);
    }
    if (vma.prot != PROT_NONE) PopulateGaps(vma, start, end);
    return {};
  }
  // Only copies differ from the file.
  for (auto it = pmas_.FindFrom(start); it != pmas_.end() && it->first < end;) {
    uint64_t from = std::max(it->first, start), to = std::min(it->second.end, end);
    if (!it->second.in_memory_file()) {
      ++it;
      continue;
    }
    DropPieces(from, to, released);
    it = pmas_.FindFrom(to);
  }
  return {};
}

Result<void> MemoryManager::RemovePages(uint64_t start, uint64_t end) {
  Vma& vma = *vmas_.Find(start);
  if (!vma.mappable) return Errno::kEINVAL;
  if (!vma.shared() || (vma.prot & PROT_WRITE) == 0) return Errno::kEACCES;
  if (vma.file) {
    RefPtr<vfs::FileDescription> file = vma.file;
    return file->Allocate(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, vma.OffsetOf(start), end - start);
  }
  for (auto it = pmas_.FindFrom(start); it != pmas_.end() && it->first < end; ++it) {
    if (!it->second.in_memory_file()) continue;
    uint64_t from = std::max(it->first, start), to = std::min(it->second.end, end);
    base::MemoryFile::Get().Decommit(it->second.offset + (from - it->first), to - from);
  }
  return {};
}

Result<void> MemoryManager::PopulateRange(uint64_t start, uint64_t end, Access access) {
  for (uint64_t at = start; at < end;) {
    if (vmas_.Find(at) == nullptr) return Errno::kENOMEM;
    Result<PmaMap::iterator> piece = Ensure(at, access, Force::kNo);
    if (!piece.ok()) return piece.error() == Errno::kENOMEM ? Errno::kENOMEM : Errno::kEFAULT;
    if ((*piece)->second.deferred) (void)MapPiece((*piece)->first, (*piece)->second);
    at = (*piece)->second.end;
  }
  return {};
}

Result<void> MemoryManager::Sync(uint64_t address, uint64_t length, int flags) {
  if ((flags & ~(MS_ASYNC | MS_INVALIDATE | MS_SYNC)) != 0) return Errno::kEINVAL;
  if (address % kPageSize != 0) return Errno::kEINVAL;
  if ((flags & MS_ASYNC) != 0 && (flags & MS_SYNC) != 0) return Errno::kEINVAL;
  uint64_t size = PageUp(length);
  if (size < length || address + size < address) return Errno::kENOMEM;
  uint64_t end = address + size;
  Result<void> result;
  for (uint64_t at = address; at < end;) {
    Vma* vma = vmas_.FindFrom(at);
    if (vma == nullptr || vma->start > at) {
      result = Errno::kENOMEM;
      if (vma == nullptr || vma->start >= end) break;
      at = vma->start;
    }
    if ((flags & MS_INVALIDATE) != 0 && (vma->flags & Vma::kLocked) != 0) return Errno::kEBUSY;
    uint64_t stop = std::min(end, vma->end);
    if ((flags & MS_SYNC) != 0 && vma->file && vma->shared()) {
      RefPtr<vfs::Mappable> mappable = vma->mappable;
      TRY(mappable->Sync(vma->OffsetOf(at), stop - at));
    }
    at = stop;
  }
  return result;
}

}  // namespace mm
