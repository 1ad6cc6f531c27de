// Putting pages behind areas: eagerly at mmap time, so that the application's first touches never reach the Sentry, and at
// faults where that was too much or not possible.

#include <sys/mman.h>

#include <algorithm>

#include "base/log.h"
#include "sentry/mm/file_copy.h"
#include "sentry/mm/memory_manager.h"

namespace mm {

using base::PageDown;
using base::PageUp;

namespace {
// Larger anonymous areas (heaps reserved by language runtimes, sanitizers' shadows) get offsets chunk by chunk.
constexpr uint64_t kMaxEager = uint64_t{1} << 30;
constexpr uint64_t kChunk = 16 << 20;
// Writable private file areas up to this size (.data) are copied at once: nearly all of it will be written.
constexpr uint64_t kMaxCopied = 64 << 10;
// Recycled pages are mapped populated from this size on: a mapping of their own costs as much as a few faults.
constexpr uint64_t kMinPrecommit = 32 << 10;
// So much of a heap's reserve may have been used before, and hold pages of the host.
constexpr uint64_t kMaxHeapReserve = 2 << 20;
}  // namespace

Result<void> MemoryManager::MapPiece(uint64_t start, Pma& pma, bool precommit) {
  pma.deferred = false;
  int fd = pma.in_memory_file() ? base::MemoryFile::Get().fd() : pma.fd;
  return space_->Map(start, pma.end - start, fd, pma.offset, pma.stub_prot(), precommit);
}

// Maps a piece of zeroed pages. What the host has of them already the stub gets at once: 0.2 us a page, a fault 0.8.
void MemoryManager::MapRecycled(uint64_t start, Pma& pma, const base::MemoryFile::Runs& present) {
  const uint64_t end_offset = pma.offset + (pma.end - start);
  uint64_t at = pma.offset;
  auto map_up_to = [&](uint64_t to, bool precommit) {
    if (to <= at) return;
    (void)space_->Map(start + (at - pma.offset), to - at, base::MemoryFile::Get().fd(), at, pma.stub_prot(), precommit);
    at = to;
  };
  for (const base::MemoryFile::Run& run : present) {
    uint64_t from = std::max(run.offset, at), to = std::min(run.offset + run.length, end_offset);
    bool whole = from == pma.offset && to == end_offset;
    if (to <= from || (to - from < kMinPrecommit && !whole)) continue;
    map_up_to(from, false);
    map_up_to(to, true);
  }
  map_up_to(end_offset, false);
}

void MemoryManager::Precommit(uint64_t start, uint64_t end) {
  for (auto it = pmas_.FindFrom(start); it != pmas_.end() && it->first < end; ++it) {
    if (it->second.deferred) (void)MapPiece(it->first, it->second);
    Pma part = it->second;
    uint64_t from = std::max(it->first, start);
    part.offset += from - it->first;
    part.end = std::min(part.end, end);
    (void)MapPiece(from, part, /*precommit=*/true);
  }
}

void MemoryManager::PopulateNew(uint64_t start, uint64_t end, Mapping mapping) {
  Vma* vma = vmas_.Find(start);
  if (vma == nullptr || vma->prot == PROT_NONE) return;
  end = std::min(end, vma->end);
  if (vma->private_anonymous()) return PopulateGaps(*vma, start, end);
  bool writable = (vma->prot & PROT_WRITE) != 0, shared = vma->shared();
  if (writable && !shared && end - start <= kMaxCopied) {
    CopyEagerly(start, end);
  } else {
    // What cannot be had now is told by the fault.
    (void)PopulateFile(start, end, writable && shared ? Access::kWrite : Access::kRead, mapping);
  }
  // The data of a library comes last, and all of it is touched now.
  if (writable && !shared) MapDeferredAround(start);
}

void MemoryManager::PopulateGaps(const Vma& vma, uint64_t start, uint64_t end) {
  if (end - start > kMaxEager) return;
  for (uint64_t at = start; at < end;) {
    auto it = pmas_.FindFrom(at);
    uint64_t gap_end = it == pmas_.end() ? end : std::min(end, std::max(at, it->first));
    uint64_t next = it == pmas_.end() ? end : it->second.end;
    if (gap_end > at && !AllocateAnonymous(at, gap_end, vma.prot).ok()) return;
    at = next;
  }
}

// Pages for a range of a private anonymous area that has none.
Result<void> MemoryManager::AllocateAnonymous(uint64_t start, uint64_t end, int prot) {
  uint64_t length = end - start;
  uint64_t near = base::MemoryFile::kAnywhere;
  auto extends = [&](const Pma& p) { return p.in_memory_file() && !p.shared && p.write_ok && p.prot == prot; };
  auto next = pmas_.FindFrom(start);
  if (next != pmas_.end() && next->first == end && extends(next->second) && next->second.offset >= length) {
    near = next->second.offset - length;
  }
  if (near == base::MemoryFile::kAnywhere && next != pmas_.begin()) {
    auto previous = std::prev(next);
    if (previous->second.end == start && extends(previous->second)) {
      near = previous->second.offset + (start - previous->first);
    }
  }
  base::MemoryFile::Runs present;
  uint64_t offset = TRY(base::MemoryFile::Get().Allocate(length, near, &present));
  Pma piece{.end = end, .offset = offset, .prot = static_cast<uint8_t>(prot), .write_ok = true};
  // Of a stack programs use the upper end.
  const Vma* vma = vmas_.Find(start);
  if (vma != nullptr && (vma->flags & Vma::kGrowsDown) != 0) present.clear();
  MapRecycled(start, piece, present);
  ForgetCache();
  pmas_.Insert(start, std::move(piece));
  return {};
}

Result<void> MemoryManager::PopulateAnonymous(const Vma& vma, uint64_t address) {
  auto [start, end] = pmas_.GapAround(address, vma.start, vma.end);
  uint64_t chunk = address & ~(kChunk - 1);
  uint64_t chunk_start = std::max(start, chunk), chunk_end = std::min(end, chunk + kChunk);
  if (AllocateAnonymous(chunk_start, chunk_end, vma.prot).ok()) return {};
  return AllocateAnonymous(PageDown(address), PageDown(address) + kPageSize, vma.prot);
}

// The heap grows upwards in small steps, which shall stay contiguous in the memory file.
void MemoryManager::PopulateHeap(uint64_t start, uint64_t end) {
  base::MemoryFile& file = base::MemoryFile::Get();
  uint64_t length = end - start;
  if (length > kMaxEager) return;  // by chunks
  if (heap_reserve_length_ < length) {
    uint64_t want = std::clamp<uint64_t>(PageUp(end - start_brk), uint64_t{1} << 20, uint64_t{64} << 20);
    if (want < length) want = length;
    bool used = false;
    Result<uint64_t> offset = file.Reserve(want, &used);
    if (!offset.ok()) return;
    if (heap_reserve_length_ > 0) file.DecRef(heap_reserve_, heap_reserve_length_);
    heap_reserve_ = *offset;
    heap_reserve_length_ = want;
    heap_reserve_used_ = used ? *offset + want : 0;
  }
  Pma piece{.end = end, .offset = heap_reserve_, .prot = PROT_READ | PROT_WRITE, .write_ok = true};
  heap_reserve_ += length;
  heap_reserve_length_ -= length;
  base::MemoryFile::Runs present;
  if (piece.offset < heap_reserve_used_) {
    file.Clean(piece.offset, std::min(length, heap_reserve_used_ - piece.offset), &present);
  }
  MapRecycled(start, piece, present);
  ForgetCache();
  pmas_.Insert(start, std::move(piece));
}

// malloc trims its heap and grows it again, over and over: what was there is mapped again at once, while new pages cost the
// host 2 us each.
bool MemoryManager::ReserveForHeap(uint64_t offset, uint64_t length) {
  if (offset + length != heap_reserve_ || heap_reserve_length_ == 0 || heap_reserve_length_ + length > kMaxHeapReserve) return false;
  for (uint64_t at = offset; at < offset + length; at += kPageSize) {
    if (base::MemoryFile::Get().RefCount(at) != 1) return false;  // a relative has it, too
  }
  heap_reserve_used_ = std::max(heap_reserve_used_, heap_reserve_);
  heap_reserve_ -= length;
  heap_reserve_length_ += length;
  return true;
}

// Maps pages of a file area from `address` on where there are none, as far as the file goes. `access` kWrite announces
// shared pages as written. kENXIO when there is no page at `address`. May park, and then does nothing where the area changed.
Result<void> MemoryManager::PopulateFile(uint64_t address, uint64_t end, Access access, Mapping mapping) {
  uint64_t at = address;
  while (at < end) {
    Vma* vma = vmas_.Find(at);
    if (vma == nullptr || vma->private_anonymous()) return {};
    if (uint64_t ahead = vma->mappable->populate_ahead(); end - address > ahead) end = address + ahead;
    if (at >= end) return {};
    auto present = pmas_.FindFrom(at);
    if (present != pmas_.end() && present->first <= at) {
      at = present->second.end;
      continue;
    }
    uint64_t stop = std::min(end, vma->end);
    if (present != pmas_.end()) stop = std::min(stop, present->first);
    RefPtr<vfs::Mappable> mappable = vma->mappable;
    uint64_t offset = vma->OffsetOf(at);
    bool write = vma->shared() && access == Access::kWrite;
    Result<vfs::Mappable::Pages> pages = mappable->Translate(offset, stop - at, write);
    // Under the lock since Translate looked at it, so its pages are still what it said.
    vma = vmas_.Find(at);
    if (vma == nullptr || vma->mappable != mappable || vma->OffsetOf(at) != offset) return {};
    if (!pages.ok() || pages->length == 0) {
      if (at > address) return {};
      return pages.ok() ? Errno::kENXIO : pages.error();
    }
    auto [gap_start, gap_end] = pmas_.GapAround(at, at, std::min(stop, vma->end));
    if (gap_end <= at || pmas_.Find(at) != pmas_.end()) continue;
    uint64_t length = std::min(gap_end - at, PageUp(pages->length));
    Pma piece{.end = at + length,
              .offset = pages->offset,
              .fd = pages->in_memory_file ? -1 : pages->fd,
              .prot = static_cast<uint8_t>(vma->prot),
              .write_ok = write,
              .shared = vma->shared(),
              .deferred = mapping == Mapping::kDeferred};
    if (piece.in_memory_file()) base::MemoryFile::Get().IncRef(piece.offset, length);
    if (!piece.deferred) (void)MapPiece(at, piece);
    ForgetCache();
    pmas_.Insert(at, std::move(piece));
    at += length;
  }
  return {};
}

// A small writable private file area: its own copy from the start.
void MemoryManager::CopyEagerly(uint64_t start, uint64_t end) {
  Vma* vma = vmas_.Find(start);
  RefPtr<vfs::Mappable> mappable = vma->mappable;
  uint64_t file_offset = vma->OffsetOf(start);
  // Pages wholly behind the end of the file stay absent: SIGBUS.
  Result<FileCopy> content = CopyFromFile(*mappable, file_offset, end - start);
  if (!content.ok() || content->length == 0) return;
  vma = vmas_.Find(start);
  bool unchanged = vma != nullptr && vma->mappable == mappable && !vma->shared() && vma->OffsetOf(start) == file_offset &&
                   vma->end >= end && pmas_.GapAround(start, start, end) == std::pair(start, end);
  if (!unchanged) return base::MemoryFile::Get().DecRef(content->offset, content->length);
  Pma piece{.end = start + content->length,
            .offset = content->offset,
            .prot = static_cast<uint8_t>(vma->prot),
            .write_ok = true};
  (void)MapPiece(start, piece, /*precommit=*/true);
  ForgetCache();
  pmas_.Insert(start, std::move(piece));
}

}  // namespace mm
