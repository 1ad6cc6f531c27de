// mmap(2), munmap(2), mprotect(2), brk(2). Linux: mm/mmap.c, mm/mprotect.c.

#include <sys/mount.h>

#include <algorithm>

#include "base/log.h"
#include "sentry/mm/memory_manager.h"
#include "sentry/mm/shared_anonymous.h"

#ifndef PROT_SEM
#define PROT_SEM 8
#endif
#ifndef MAP_UNINITIALIZED
#define MAP_UNINITIALIZED 0x4000000
#endif
#ifndef MAP_ABOVE4G
#define MAP_ABOVE4G 0x80
#endif

namespace mm {

using base::PageDown;
using base::PageUp;

namespace {

// What MAP_SHARED_VALIDATE accepts. Linux: LEGACY_MAP_MASK.
constexpr int kKnownFlags = MAP_SHARED | MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS | MAP_DENYWRITE | MAP_EXECUTABLE |
                            MAP_UNINITIALIZED | MAP_GROWSDOWN | MAP_LOCKED | MAP_NORESERVE | MAP_POPULATE | MAP_NONBLOCK |
                            MAP_STACK | MAP_HUGETLB | MAP_32BIT | MAP_ABOVE4G | (0x3f << 26);

bool NoExec(const vfs::FileDescription& file) {
  return file.path().mount && (file.path().mount->flags & MS_NOEXEC) != 0;
}

uint64_t BytesIn(const VmaSet& vmas, uint64_t start, uint64_t end, bool data_only) {
  uint64_t bytes = 0;
  for (Vma* vma = vmas.FindFrom(start); vma != nullptr && vma->start < end; vma = vmas.Next(*vma)) {
    if (data_only && !vma->counts_as_data()) continue;
    bytes += std::min(vma->end, end) - std::max(vma->start, start);
  }
  return bytes;
}

}  // namespace

Result<void> MemoryManager::CheckLimits(uint64_t length, bool data, uint64_t replaced_start, uint64_t replaced_end) {
  if (limit_as != UINT64_MAX) {
    uint64_t total = vmas_.total_bytes() - BytesIn(vmas_, replaced_start, replaced_end, false);
    if (length > limit_as || total > limit_as - length) return Errno::kENOMEM;
  }
  if (data && limit_data != UINT64_MAX) {
    uint64_t total = vmas_.data_bytes() - BytesIn(vmas_, replaced_start, replaced_end, true);
    if (length > limit_data || total > limit_data - length) return Errno::kENOMEM;
  }
  return {};
}

Result<void> MemoryManager::RoomForSplits(int more) const {
  if (vmas_.count() + static_cast<size_t>(more) > VmaSet::kMaxCount) return Errno::kENOMEM;
  return {};
}

Result<uint64_t> MemoryManager::ChooseAddress(uint64_t hint, uint64_t length, int flags) {
  uint64_t limit = vmas_.limit();
  if (length > limit) return Errno::kENOMEM;
  if ((flags & MAP_FIXED) != 0) {
    if (hint % kPageSize != 0) return Errno::kEINVAL;
    if (hint > limit - length) return Errno::kENOMEM;
    if (hint < vmas_.lowest()) return Errno::kEPERM;  // Linux: security_mmap_addr()
    return hint;
  }
  hint = PageDown(hint);
  if (hint != 0 && hint < vmas_.lowest()) hint = vmas_.lowest();
  bool low = (flags & MAP_32BIT) != 0;
  if (hint != 0 && vmas_.IsFree(hint, length) && (!low || hint + length <= 0x80000000)) return hint;
  uint64_t address = vmas_.FindFree(length, low ? 0x80000000 : 0);
  if (address == 0 || (low && address < 0x40000000)) return Errno::kENOMEM;
  return address;
}

// Checks what the file allows and fills in the file part of the area. May park.
Result<void> MemoryManager::SetUpFile(const MapRequest& request, Vma* vma) {
  int type = request.flags & MAP_TYPE;
  if (request.file) {
    vfs::FileDescription& file = *request.file;
    switch (type) {
      case MAP_SHARED_VALIDATE:
        if ((request.flags & ~kKnownFlags) != 0) return Errno::kEOPNOTSUPP;
        [[fallthrough]];
      case MAP_SHARED:
        if ((vma->prot & PROT_WRITE) != 0 && !file.writable()) return Errno::kEACCES;
        if (!file.readable()) return Errno::kEACCES;
        vma->flags |= Vma::kShared;
        if (!file.writable()) vma->max_prot &= ~PROT_WRITE;
        break;
      case MAP_PRIVATE:
        if (!file.readable()) return Errno::kEACCES;
        break;
      default:
        return Errno::kEINVAL;
    }
    if (NoExec(file)) {
      if ((vma->prot & PROT_EXEC) != 0) return Errno::kEPERM;
      vma->max_prot &= ~PROT_EXEC;
    }
    vma->file = request.file;
    vma->mappable = request.mappable ? request.mappable : TRY(file.Map());
  } else if (request.mappable) {
    vma->mappable = request.mappable;
    vma->max_prot &= request.max_prot;
    if (type != MAP_PRIVATE) vma->flags |= Vma::kShared;
  } else {
    if (type != MAP_SHARED) {
      return type == MAP_PRIVATE ? Result<void>() : Errno::kEINVAL;
    }
    vma->flags |= Vma::kShared;
    vma->mappable = TRY(MakeSharedAnonymous(PageUp(request.length)));
  }
  if ((request.flags & MAP_GROWSDOWN) != 0) return Errno::kEINVAL;
  vma->offset = request.file || request.mappable ? request.offset : 0;
  if (request.file && vma->shared() && (vma->max_prot & PROT_WRITE) != 0) {
    Result<RefPtr<WritableHold>> hold = WritableHold::Create(vma->mappable);
    if (hold.ok()) {
      vma->writable_hold = std::move(hold).value();
    } else if ((vma->prot & PROT_WRITE) != 0) {
      return hold.error();
    } else {
      vma->max_prot &= ~PROT_WRITE;  // a memfd sealed against writing
    }
  }
  return {};
}

Result<uint64_t> MemoryManager::Map(const MapRequest& request) {
  if (request.length == 0) return Errno::kEINVAL;
  int flags = request.flags;
  if ((flags & MAP_FIXED_NOREPLACE) != 0) flags |= MAP_FIXED;
  uint64_t length = PageUp(request.length);
  if (length < request.length) return Errno::kENOMEM;
  bool anonymous = !request.file && !request.mappable;
  if (!anonymous) {
    if (request.offset % kPageSize != 0) return Errno::kEINVAL;
    if (request.offset + length < request.offset || request.offset + length > INT64_MAX) return Errno::kEOVERFLOW;
  }
  if (length > vmas_.limit()) return Errno::kENOMEM;
  TRY(RoomForSplits(1));
  if ((flags & MAP_HUGETLB) != 0) return anonymous ? Errno::kENOMEM : Errno::kEINVAL;  // no huge pages are reserved

  auto vma = std::make_unique<Vma>();
  vma->prot = request.prot & (PROT_READ | PROT_WRITE | PROT_EXEC);
  TRY(SetUpFile(request, vma.get()));
  if ((flags & MAP_GROWSDOWN) != 0) vma->flags |= Vma::kGrowsDown;
  if ((flags & MAP_NORESERVE) != 0) vma->flags |= Vma::kNoReserve;
  if (request.special) vma->flags |= Vma::kSpecial;
  if ((vma->prot & PROT_WRITE) != 0 && (vma->flags & (Vma::kShared | Vma::kNoReserve)) == 0) vma->flags |= Vma::kAccount;
  vma->name = request.name;

  uint64_t start = TRY(ChooseAddress(request.address, length, flags));
  uint64_t end = start + length;
  bool replace = (flags & MAP_FIXED) != 0 && vmas_.Intersects(start, end);
  if (replace && (flags & MAP_FIXED_NOREPLACE) != 0) return Errno::kEEXIST;
  TRY(CheckLimits(length, vma->counts_as_data(), start, replace ? end : start));
  if ((flags & MAP_LOCKED) != 0 || lock_future_) {
    if (limit_memlock != UINT64_MAX && locked_ + length > limit_memlock) return Errno::kEAGAIN;
    vma->flags |= Vma::kLocked;
  }

  // From here on nothing fails.
  Released released;
  if (replace) RemoveRange(start, end, &released);
  vma->start = start;
  vma->end = end;
  if (vma->mappable) vma->truncate_link = LinkTruncate(vma->mappable.get());
  if ((vma->flags & Vma::kLocked) != 0) locked_ += length;
  vmas_.Insert(std::move(vma));
  RefPtr<MemoryManager> keep(this);
  Settle(&released, /*flush=*/false);
  // Dynamic linkers map a library whole, then its segments over that, and touch it only after that. No program sees the
  // difference: what is touched before is mapped at the fault.
  bool library = (flags & MAP_DENYWRITE) != 0 && !anonymous && (request.prot & PROT_WRITE) == 0;
  PopulateNew(start, end, library ? Mapping::kDeferred : Mapping::kNow);
  return start;
}

void MemoryManager::RemoveRange(uint64_t start, uint64_t end, Released* released) {
  vmas_.SplitAt(start);
  vmas_.SplitAt(end);
  while (Vma* vma = vmas_.FindFrom(start)) {
    if (vma->start >= end) break;
    if ((vma->flags & Vma::kLocked) != 0) locked_ -= vma->length();
    released->vmas.push_back(vmas_.Remove(*vma));
  }
  DropPieces(start, end, released);
}

Result<void> MemoryManager::Unmap(uint64_t address, uint64_t length) {
  uint64_t size = PageUp(length);
  if (address % kPageSize != 0 || size == 0 || size < length) return Errno::kEINVAL;
  if (address > vmas_.limit() || size > vmas_.limit() - address) return Errno::kEINVAL;
  Vma* first = vmas_.FindFrom(address);
  if (first == nullptr || first->start >= address + size) return {};
  if (first->start < address && first->end > address + size) TRY(RoomForSplits(1));
  Released released;
  RemoveRange(address, address + size, &released);
  Settle(&released, /*flush=*/false);
  return {};
}

Result<void> MemoryManager::Protect(uint64_t address, uint64_t length, int prot) {
  int grows = prot & (PROT_GROWSDOWN | PROT_GROWSUP);
  prot &= ~(PROT_GROWSDOWN | PROT_GROWSUP);
  if (grows == (PROT_GROWSDOWN | PROT_GROWSUP) || address % kPageSize != 0) return Errno::kEINVAL;
  if (length == 0) return {};
  uint64_t size = PageUp(length);
  uint64_t end = address + size;
  if (size < length || end <= address) return Errno::kENOMEM;
  if ((prot & ~(PROT_READ | PROT_WRITE | PROT_EXEC | PROT_SEM)) != 0) return Errno::kEINVAL;
  prot &= PROT_READ | PROT_WRITE | PROT_EXEC;
  Vma* vma = vmas_.FindFrom(address);
  if (vma == nullptr || vma->start >= end) return Errno::kENOMEM;
  if (grows == PROT_GROWSDOWN) {
    if ((vma->flags & Vma::kGrowsDown) == 0) return Errno::kEINVAL;
    address = vma->start;
  } else if (grows == PROT_GROWSUP) {
    return Errno::kEINVAL;
  }
  if (vma->start > address) return Errno::kENOMEM;

  ForgetCache();
  // As Linux does, what lies before the first refusal is changed.
  uint64_t at = address;
  Result<void> result;
  while (at < end) {
    vma = vmas_.Find(at);
    if (vma == nullptr) {
      result = Errno::kENOMEM;
      break;
    }
    if ((prot & ~vma->max_prot) != 0) {
      result = Errno::kEACCES;
      break;
    }
    uint64_t stop = std::min(end, vma->end);
    if (vma->prot != prot) {
      if (!(vma->shared()) && (prot & PROT_WRITE) != 0 && (vma->prot & PROT_WRITE) == 0) {
        result = CheckLimits(stop - at, true, at, at);
        if (!result.ok()) break;
      }
      int splits = (at > vma->start ? 1 : 0) + (stop < vma->end ? 1 : 0);
      result = RoomForSplits(splits);
      if (!result.ok()) break;
      vmas_.SplitAt(at);
      vmas_.SplitAt(stop);
      vma = vmas_.Find(at);
      vmas_.SetProt(*vma, prot);
      if ((prot & PROT_WRITE) != 0 && (vma->flags & (Vma::kShared | Vma::kNoReserve)) == 0) vma->flags |= Vma::kAccount;
    }
    at = stop;
  }
  vmas_.MergeRange(address, at);
  ProtectPieces(address, at, prot);
  return result;
}

// Gives the pieces in the range the protection, in few calls to the stub, and pages to private anonymous areas that were
// inaccessible until now.
void MemoryManager::ProtectPieces(uint64_t start, uint64_t end, int prot) {
  uint64_t run_start = 0, run_end = 0;
  int run_prot = 0;
  auto emit = [&] {
    if (run_end > run_start) (void)space_->Protect(run_start, run_end - run_start, run_prot);
    run_start = run_end = 0;
  };
  for (auto it = pmas_.FindFrom(start); it != pmas_.end() && it->first < end;) {
    it = pmas_.Isolate(it, start, end);
    Pma& piece = it->second;
    int before = piece.stub_prot();
    piece.prot = static_cast<uint8_t>(prot);
    int after = piece.stub_prot();
    if (before != after && !piece.deferred) {
      if (run_end != it->first || run_prot != after) {
        emit();
        run_start = it->first;
        run_prot = after;
      }
      run_end = piece.end;
    }
    ++it;
  }
  emit();
  pmas_.MergeRange(start, end);
  if (prot == PROT_NONE) return;
  for (Vma* vma = vmas_.FindFrom(start); vma != nullptr && vma->start < end; vma = vmas_.Next(*vma)) {
    if (!vma->private_anonymous()) continue;
    PopulateGaps(*vma, std::max(start, vma->start), std::min(end, vma->end));
  }
}

uint64_t MemoryManager::Brk(uint64_t address) {
  if (address < start_brk || start_brk == 0) return brk;
  uint64_t old_end = PageUp(brk), new_end = PageUp(address);
  if (new_end < address) return brk;
  if (new_end < old_end) {
    Released released;
    RemoveRange(new_end, old_end, &released);
    brk = address;
    Settle(&released, /*flush=*/false, /*heap=*/true);
    return address;
  }
  if (new_end > old_end) {
    uint64_t length = new_end - old_end;
    if (limit_data != UINT64_MAX && (address - start_brk) + (end_data - start_data) > limit_data) return brk;
    if (!vmas_.IsFree(old_end, length) || !RoomForSplits(1).ok()) return brk;
    if (!CheckLimits(length, true, old_end, old_end).ok()) return brk;
    if (lock_future_ && limit_memlock != UINT64_MAX && locked_ + length > limit_memlock) return brk;
    auto vma = std::make_unique<Vma>();
    vma->start = old_end;
    vma->end = new_end;
    vma->prot = PROT_READ | PROT_WRITE;
    vma->name = "[heap]";
    vma->flags = Vma::kAccount;
    if (lock_future_) {
      vma->flags |= Vma::kLocked;
      locked_ += length;
    }
    vmas_.Insert(std::move(vma));
    PopulateHeap(old_end, new_end);
  }
  brk = address;
  return address;
}

}  // namespace mm
