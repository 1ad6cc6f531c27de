// Page faults: what the application or the Sentry wants to touch is not there yet, or is shared copy-on-write.
// Linux: mm/memory.c.

#include <sys/mman.h>

#include <algorithm>
#include <cstring>

#include "base/log.h"
#include "sentry/mm/file_copy.h"
#include "sentry/mm/memory_manager.h"

namespace mm {

using base::PageDown;
using base::PageUp;

namespace {
// How much is copied around a page that is written: at 1.5 us a page, against 5 to 8 us for a fault of its own. And how much
// is taken back when it turns out to be unshared.
constexpr uint64_t kCopyFirst = 16 << 10, kCopyAround = 64 << 10, kCopyAgain = 256 << 10;
constexpr uint64_t kTakeAround = 1 << 20;
// A stack grows by at least this much, so that deep recursion faults rarely.
constexpr uint64_t kStackStep = 128 << 10;

bool Usable(const Pma& piece, Access access, bool force) {
  switch (access) {
    case Access::kRead:
      return piece.prot != PROT_NONE || force;  // on x86 every accessible page can be read
    case Access::kWrite:
      return piece.write_ok && ((piece.prot & PROT_WRITE) != 0 || force);
    case Access::kExecute:
      return (piece.prot & PROT_EXEC) != 0 || force;
  }
  return false;
}
}  // namespace

Result<void> MemoryManager::CheckAccess(const Vma& vma, Access access, Force force) const {
  switch (access) {
    case Access::kRead:
      if (vma.prot != PROT_NONE || force == Force::kYes) return {};
      break;
    case Access::kWrite:
      if ((vma.prot & PROT_WRITE) != 0) return {};
      // Linux: FOLL_FORCE writes to private mappings only, which it copies first.
      if (force == Force::kYes && !vma.shared()) return {};
      break;
    case Access::kExecute:
      if ((vma.prot & PROT_EXEC) != 0) return {};
      break;
  }
  return Errno::kEACCES;
}

Result<Vma*> MemoryManager::GrowDown(uint64_t address) {
  Vma* vma = vmas_.FindFrom(address);
  if (vma == nullptr || (vma->flags & Vma::kGrowsDown) == 0) return Errno::kEFAULT;
  uint64_t page = PageDown(address);
  uint64_t lowest = vmas_.lowest();
  if (limit_stack < vma->end) lowest = std::max(lowest, PageUp(vma->end - limit_stack));
  if (Vma* previous = vmas_.Previous(*vma); previous != nullptr) {
    uint64_t gap = previous->prot == PROT_NONE || (previous->flags & Vma::kGrowsDown) != 0 ? 0 : VmaSet::kGuardGap;
    lowest = std::max(lowest, previous->end + gap);
  }
  if (page < lowest) return Errno::kEFAULT;
  uint64_t start = page;
  if (vma->start - page < kStackStep) {
    start = vma->start - std::min(vma->start - lowest, kStackStep);
  }
  if (!CheckLimits(vma->start - start, vma->counts_as_data(), start, start).ok()) {
    start = page;
    if (!CheckLimits(vma->start - start, vma->counts_as_data(), start, start).ok()) return Errno::kENOMEM;
  }
  uint64_t old_start = vma->start;
  vmas_.Extend(*vma, start, vma->end);
  if ((vma->flags & Vma::kLocked) != 0) locked_ += old_start - start;
  if (vma->prot != PROT_NONE) (void)AllocateAnonymous(start, old_start, vma->prot);
  return vma;
}

Result<PmaMap::iterator> MemoryManager::Ensure(uint64_t address, Access access, Force force) {
  if (address >= vmas_.limit()) return Errno::kEFAULT;
  while (true) {
    auto piece = pmas_.Find(address);
    if (piece != pmas_.end() && Usable(piece->second, access, false)) return piece;
    Vma* vma = vmas_.Find(address);
    if (vma == nullptr) vma = TRY(GrowDown(address));
    TRY(CheckAccess(*vma, access, force));
    piece = pmas_.Find(address);
    if (piece == pmas_.end()) {
      if (vma->private_anonymous()) {
        TRY(PopulateAnonymous(*vma, address));
      } else {
        TRY(PopulateFile(PageDown(address), vma->end, access));
      }
    } else if (Usable(piece->second, access, force == Force::kYes)) {
      return piece;
    } else {
      TRY(MakeWritable(*vma, piece, address));
    }
  }
}

// One step towards a writable page at `address`. May park; the caller looks again.
Result<void> MemoryManager::MakeWritable(const Vma& vma, PmaMap::iterator piece, uint64_t address) {
  uint64_t page = PageDown(address);
  Pma& pma = piece->second;
  ForgetCache();
  if (pma.shared) {
    // Announced to the file as written, then mapped anew with what it says.
    uint64_t start = piece->first, end = std::min(pma.end, vma.end);
    RefPtr<vfs::Mappable> mappable = vma.mappable;
    uint64_t offset = vma.OffsetOf(page);
    vfs::Mappable::Pages pages = TRY(mappable->Translate(offset, end - page, /*write=*/true));
    Vma* now = vmas_.Find(page);
    piece = pmas_.Find(page);
    if (now == nullptr || now->mappable != mappable || now->OffsetOf(page) != offset || piece == pmas_.end() ||
        piece->first > start || piece->second.write_ok) {
      return {};
    }
    if (pages.length == 0) return Errno::kENXIO;
    uint64_t stop = std::min({end, piece->second.end, now->end, page + PageUp(pages.length)});
    Pma fresh{.end = stop,
              .offset = pages.offset,
              .window = piece->second.window,
              .fd = pages.in_memory_file ? -1 : pages.fd,
              .prot = static_cast<uint8_t>(now->prot),
              .write_ok = true,
              .shared = true};
    if (fresh.in_memory_file()) base::MemoryFile::Get().IncRef(fresh.offset, stop - page);
    if (fresh.fd != piece->second.fd) fresh.window = nullptr;
    Released released;
    piece = pmas_.Isolate(piece, page, stop);
    if (piece->second.in_memory_file()) released.AddPages(piece->second.offset, stop - page);
    pmas_.Erase(piece);
    (void)MapPiece(page, fresh);
    pmas_.Insert(page, std::move(fresh));
    Settle(&released, /*flush=*/false);
    return {};
  }

  if (!pma.in_memory_file()) {
    // What is written in more than one place is mostly written all over: tables of pointers, objects of an interpreter.
    auto first = pmas_.FindFrom(vma.start);
    while (first != piece && !first->second.in_memory_file()) ++first;
    auto next = std::next(piece);
    bool again = first != piece || (next != pmas_.end() && next->first < vma.end && next->second.in_memory_file());
    uint64_t size = again ? kCopyAgain : kCopyAround;
    uint64_t start = std::max({piece->first, vma.start, page & ~(size - 1)});
    uint64_t end = std::min({pma.end, vma.end, (page & ~(size - 1)) + size});
    return CopyPrivateFile(vma, start, end);
  }

  // A page may only be copied once no thread can write it any more.
  if (forks_flushed_ < forks_protected_ && ConcurrentlyUsed()) return FlushForks();
  if (fork_notes_left_ > 0) {
    fork_notes_left_--;
    if (parent_history_) parent_history_->Note(page);
    if (history_) history_->Note(page);
  }
  base::MemoryFile& file = base::MemoryFile::Get();
  auto offset_of = [&](uint64_t at) { return pma.offset + (at - piece->first); };
  if (file.RefCount(offset_of(page)) == 1) {
    // The last owner takes it back, with its neighbours.
    uint64_t around = page & ~(kTakeAround - 1);
    uint64_t lowest = std::max(piece->first, around), highest = std::min(pma.end, around + kTakeAround);
    uint64_t start = page, end = page + kPageSize;
    while (start > lowest && file.RefCount(offset_of(start - kPageSize)) == 1) start -= kPageSize;
    while (end < highest && file.RefCount(offset_of(end)) == 1) end += kPageSize;
    piece = pmas_.Isolate(piece, start, end);
    piece->second.write_ok = true;
    if (!piece->second.deferred) (void)space_->Protect(start, end - start, piece->second.stub_prot());
    pmas_.MergeRange(start, end);
    return {};
  }
  // More where the application seems to go through its memory.
  uint64_t size = page == last_copy_end_ || page + kPageSize == last_copy_start_ ? kCopyAround : kCopyFirst;
  uint64_t around = page & ~(size - 1);
  return CopyShared(piece, page, std::max(piece->first, around), std::min(pma.end, around + size));
}

// Copies shared pages around `page` within [lowest, highest) of a private piece. Pages that nobody touched yet are not
// copied along with touched ones, so that memory is not spent on them.
Result<void> MemoryManager::CopyShared(PmaMap::iterator piece, uint64_t page, uint64_t lowest, uint64_t highest) {
  base::MemoryFile& file = base::MemoryFile::Get();
  uint64_t base = piece->second.offset - piece->first;  // file offset of address 0
  unsigned char present[kCopyAround / kPageSize];
  if (mincore(file.At(base + lowest), highest - lowest, present) != 0) memset(present, 1, sizeof present);
  auto same = [&](uint64_t at) {
    return ((present[(at - lowest) / kPageSize] ^ present[(page - lowest) / kPageSize]) & 1) == 0 &&
           file.RefCount(base + at) > 1;
  };
  uint64_t start = page, end = page + kPageSize;
  while (start > lowest && same(start - kPageSize)) start -= kPageSize;
  while (end < highest && same(end)) end += kPageSize;
  uint64_t length = end - start;
  bool touched = (present[(page - lowest) / kPageSize] & 1) != 0;

  auto allocate = [&] { return touched ? file.AllocateCopy(file.At(base + start), length) : file.Allocate(length); };
  Result<uint64_t> offset = allocate();
  if (!offset.ok()) {
    start = page;
    length = kPageSize;
    offset = TRY(allocate());
  }
  last_copy_start_ = start;
  last_copy_end_ = start + length;
  Released released;
  piece = pmas_.Isolate(piece, start, start + length);
  released.AddPages(piece->second.offset, length);
  Pma copy{.end = start + length, .offset = *offset, .prot = piece->second.prot, .write_ok = true};
  pmas_.Erase(piece);
  (void)MapPiece(start, copy, /*precommit=*/touched);
  pmas_.Insert(start, std::move(copy));
  Settle(&released, /*flush=*/false);
  return {};
}

// Copies [start, end) of a private area that is mapped from a host file. May park.
Result<void> MemoryManager::CopyPrivateFile(const Vma& vma, uint64_t start, uint64_t end) {
  RefPtr<vfs::Mappable> mappable = vma.mappable;
  uint64_t file_offset = vma.OffsetOf(start);
  FileCopy content = TRY(CopyFromFile(*mappable, file_offset, end - start));
  auto piece = pmas_.Find(start);
  Vma* now = vmas_.Find(start);
  bool unchanged = now != nullptr && now->mappable == mappable && !now->shared() && now->OffsetOf(start) == file_offset &&
                   piece != pmas_.end() && !piece->second.in_memory_file() && piece->second.end >= end;
  uint64_t length = content.length;
  if (!unchanged) {
    if (length > 0) base::MemoryFile::Get().DecRef(content.offset, length);
    return {};
  }
  Pma copy{.end = start + length, .offset = content.offset, .prot = static_cast<uint8_t>(now->prot), .write_ok = true};
  ForgetCache();
  pmas_.Erase(pmas_.Isolate(piece, start, end));
  if (length > 0) {
    (void)MapPiece(start, copy, /*precommit=*/true);
    pmas_.Insert(start, std::move(copy));
  }
  // Where the file became shorter a fault will say so.
  if (length < end - start) (void)space_->Unmap(start + length, end - start - length);
  // Other threads must not go on reading the file's page.
  Released released;
  Settle(&released, /*flush=*/ConcurrentlyUsed());
  return {};
}

Result<void> MemoryManager::HandleFault(uint64_t address, Access access) {
  auto piece = pmas_.Find(address);
  bool deferred = piece != pmas_.end() && piece->second.deferred;
  if (piece == pmas_.end() || !Usable(piece->second, access, false)) {
    TRY(Ensure(address, access, Force::kNo));
    if (deferred) TouchDeferred(address);
    return {};
  }
  if (deferred) {
    TouchDeferred(address);
    return {};
  }
  // It should not have faulted: another thread mended it meanwhile, or the file behind it became shorter.
  uint64_t page = PageDown(address);
  Vma* vma = vmas_.Find(address);
  if (vma != nullptr && vma->mappable && (piece->second.shared || !piece->second.in_memory_file())) {
    RefPtr<vfs::Mappable> mappable = vma->mappable;
    TRY(mappable->Translate(vma->OffsetOf(page), kPageSize, vma->shared() && access == Access::kWrite));
    piece = pmas_.Find(address);
    if (piece == pmas_.end()) return {};
  }
  Pma one = piece->second;
  one.offset += page - piece->first;
  one.end = page + kPageSize;
  return MapPiece(page, one);
}

}  // namespace mm
