#include "vfs/fs/tmpfs/file_data.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#include <algorithm>
#include <bit>

#include "base/log.h"

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

namespace tmpfs {

using base::MemoryFile;
using base::PageDown;
using base::PageUp;

namespace {

constexpr uint32_t kWriteSeals = F_SEAL_WRITE | F_SEAL_FUTURE_WRITE;

uint64_t Mask(uint32_t first, uint32_t count) {
  return (count == 64 ? ~uint64_t{0} : (uint64_t{1} << count) - 1) << first;
}

}  // namespace

FileData::~FileData() { DropPages(0, UINT64_MAX); }

FileData::Extents::iterator FileData::Find(uint64_t page) {
  auto it = extents_.upper_bound(page);
  if (it == extents_.begin()) return extents_.end();
  --it;
  return page - it->first < it->second.pages ? it : extents_.end();
}

Result<FileData::Extents::iterator> FileData::Reserve(uint64_t page, uint64_t wanted, uint64_t whole, bool* raw) {
  auto next = extents_.upper_bound(page);
  uint64_t room = kMaxExtentPages;
  if (next != extents_.end()) room = std::min(room, next->first - page);
  uint64_t pages = std::min(wanted, room);
  if (next == extents_.end() && next != extents_.begin()) {
    // Written front to back: as much again as there is, so that large files have few extents and small ones little waste.
    auto last = std::prev(next);
    if (last->first + last->second.pages == page) pages = std::clamp(page - extents_.begin()->first, pages, room);
  }
  *raw = pages <= whole && pages <= space_->FreePages();
  MemoryFile& memory = MemoryFile::Get();
  Result<uint64_t> offset = *raw ? memory.Reserve(pages * kPageSize) : memory.Allocate(pages * kPageSize);
  if (!offset.ok()) return Errno::kENOSPC;
  return extents_.emplace_hint(next, page, Extent{*offset, static_cast<uint32_t>(pages), 0});
}

Result<void> FileData::ReserveRange(uint64_t first, uint64_t end) {
  for (uint64_t page = first; page < end;) {
    if (auto it = Find(page); it != extents_.end()) {
      page = it->first + it->second.pages;
      continue;
    }
    auto next = extents_.upper_bound(page);
    uint64_t gap_end = next == extents_.end() ? end : std::min(end, next->first);
    Result<uint64_t> offset = MemoryFile::Get().Allocate((gap_end - page) * kPageSize);
    if (!offset.ok()) return Errno::kENOSPC;
    for (uint64_t at = *offset; page < gap_end;) {
      uint64_t pages = std::min<uint64_t>(kMaxExtentPages, gap_end - page);
      extents_.emplace(page, Extent{at, static_cast<uint32_t>(pages), 0});
      at += pages * kPageSize;
      page += pages;
    }
  }
  return {};
}

Result<void> FileData::MarkPresent(Extent& extent, uint32_t first, uint32_t count) {
  uint64_t missing = Mask(first, count) & ~extent.present;
  if (missing == 0) return {};
  auto pages = static_cast<uint64_t>(std::popcount(missing));
  if (!space_->ChargePages(pages)) return Errno::kENOSPC;
  extent.present |= missing;
  data_pages_ += pages;
  return {};
}

void FileData::DropPages(uint64_t first, uint64_t end) {
  auto it = extents_.upper_bound(first);
  if (it != extents_.begin()) --it;
  while (it != extents_.end() && it->first < end) {
    const uint64_t start = it->first;
    const Extent extent = it->second;
    uint64_t from = std::max(start, first);
    uint64_t to = std::min(start + extent.pages, end);
    if (from >= to) {
      ++it;
      continue;
    }
    auto cut = static_cast<uint32_t>(from - start);
    auto count = static_cast<uint32_t>(to - from);
    auto present = static_cast<uint64_t>(std::popcount(extent.present & Mask(cut, count)));
    space_->UnchargePages(present);
    data_pages_ -= present;
    MemoryFile::Get().DecRef(extent.offset + cut * kPageSize, count * kPageSize);
    it = extents_.erase(it);
    if (cut > 0) {
      it = extents_.emplace(start, Extent{extent.offset, cut, extent.present & Mask(0, cut)}).first;
      ++it;
    }
    if (cut + count < extent.pages) {
      uint32_t shift = cut + count;
      it = extents_.emplace(to, Extent{extent.offset + shift * kPageSize, extent.pages - shift, extent.present >> shift}).first;
    }
  }
}

void FileData::ZeroBytes(uint64_t offset, uint64_t end) {
  while (offset < end) {
    uint64_t page = offset / kPageSize;
    uint64_t stop = std::min(end, PageDown(offset) + kPageSize);
    auto it = Find(page);
    if (it != extents_.end() && (it->second.present >> (page - it->first) & 1) != 0) {
      memset(MemoryFile::Get().At(it->second.offset + (offset - it->first * kPageSize)), 0, stop - offset);
    }
    offset = stop;
  }
}

void FileData::Invalidate(uint64_t offset, uint64_t end) {
  std::vector<Mapper*> mappers = mappers_;
  for (Mapper* mapper : mappers) {
    if (std::find(mappers_.begin(), mappers_.end(), mapper) != mappers_.end()) {
      mapper->InvalidateMappings(offset, end - offset);
    }
  }
}

void FileData::RemoveMapper(Mapper* mapper) { std::erase(mappers_, mapper); }

// Whatever a mapping wrote behind the old end must not become part of the file.
void FileData::Grow(uint64_t size) {
  if (mapped_ && size_ % kPageSize != 0) ZeroBytes(size_, std::min(size, PageUp(size_)));
  size_ = size;
}

Result<size_t> FileData::ReadAt(const IoVec& to, uint64_t offset) const {
  if (offset >= size_) return size_t{0};
  const size_t total = std::min<uint64_t>(to.size(), size_ - offset);
  size_t done = 0;
  while (done < total) {
    uint64_t at = offset + done;
    uint64_t page = at / kPageSize;
    auto it = Find(page);
    size_t length, moved;
    if (it == extents_.end()) {
      auto next = extents_.upper_bound(page);
      uint64_t stop = next == extents_.end() ? size_ : next->first * kPageSize;
      length = std::min<uint64_t>(total - done, stop - at);
      moved = to.Zero(done, length);
    } else {
      // The run of pages that all hold data, or all do not.
      const Extent& extent = it->second;
      auto index = static_cast<uint32_t>(page - it->first);
      uint64_t rest = extent.present >> index;
      bool present = (rest & 1) != 0;
      auto run = std::min<uint32_t>(static_cast<uint32_t>(present ? std::countr_one(rest) : std::countr_zero(rest)),
                                    extent.pages - index);
      length = std::min<uint64_t>(total - done, (page + run) * kPageSize - at);
      moved = present ? to.Write(done, MemoryFile::Get().At(extent.offset + (at - it->first * kPageSize)), length)
                      : to.Zero(done, length);
    }
    done += moved;
    if (moved < length) break;
  }
  if (done == 0 && total > 0) return Errno::kEFAULT;
  return done;
}

Result<size_t> FileData::WriteAt(const IoVec& from, uint64_t offset) {
  size_t total = from.size();
  if (total == 0) return size_t{0};
  if ((seals & kWriteSeals) != 0) return Errno::kEPERM;
  if (offset >= INT64_MAX) return Errno::kEFBIG;
  total = std::min<uint64_t>(total, INT64_MAX - offset);
  if ((seals & F_SEAL_GROW) != 0 && offset + total > size_) {
    if (offset >= size_) return Errno::kEPERM;
    total = size_ - offset;
  }
  if (mapped_ && offset > size_) ZeroBytes(size_, std::min(offset, PageUp(size_)));
  size_t done = 0;
  Errno stopped = Errno::kEFAULT;
  while (done < total) {
    uint64_t at = offset + done;
    uint64_t page = at / kPageSize;
    auto it = Find(page);
    bool raw = false;
    if (it == extents_.end()) {
      uint64_t whole = at % kPageSize == 0 ? (total - done) / kPageSize : 0;
      Result<Extents::iterator> reserved = Reserve(page, (PageUp(offset + total) - PageDown(at)) / kPageSize, whole, &raw);
      if (!reserved.ok()) {
        stopped = reserved.error();
        break;
      }
      it = *reserved;
    }
    Extent& extent = it->second;
    auto index = static_cast<uint32_t>(page - it->first);
    uint64_t last = (offset + total - 1) / kPageSize;
    auto count = static_cast<uint32_t>(std::min<uint64_t>(last - page + 1, extent.pages - index));
    // Also where only some of it is: one who writes front to back mostly begins within a page that is there.
    const bool fresh = (~extent.present & Mask(index, count)) != 0;
    if (Result<void> marked = MarkPresent(extent, index, count); !marked.ok()) {
      // As far as the space goes.
      count = static_cast<uint32_t>(std::min<uint64_t>(count, space_->FreePages()));
      if ((extent.present >> index & 1) != 0) count = std::max(count, 1u);
      if (count == 0 || !MarkPresent(extent, index, count).ok()) {
        stopped = Errno::kENOSPC;
        break;
      }
    }
    size_t length = std::min<uint64_t>(total - done, (page + count) * kPageSize - at);
    uint64_t to = extent.offset + (at - it->first * kPageSize);
    size_t moved = fresh && length >= kPageSize ? MemoryFile::Get().Fill(to, from.Slice(done, length))
                                                : from.Read(done, MemoryFile::Get().At(to), length);
    done += moved;
    if (moved < length && raw) {
      uint64_t whole = PageUp(moved);
      memset(MemoryFile::Get().At(to + moved), 0, whole - moved);
      if (whole < length) MemoryFile::Get().Clean(to + whole, length - whole, nullptr);
    }
    if (moved < length) break;
  }
  if (done == 0) return stopped;
  size_ = std::max(size_, offset + done);
  return done;
}

Result<void> FileData::SetSize(uint64_t size) {
  if (size > INT64_MAX) return Errno::kEFBIG;
  if (size < size_ && (seals & F_SEAL_SHRINK) != 0) return Errno::kEPERM;
  if (size > size_ && (seals & F_SEAL_GROW) != 0) return Errno::kEPERM;
  if (size >= size_) {
    Grow(size);
    return {};
  }
  uint64_t old_end = PageUp(size_);
  size_ = size;
  uint64_t kept = PageUp(size);
  ZeroBytes(size, kept);
  DropPages(kept / kPageSize, UINT64_MAX);
  if (!mappers_.empty() && kept < old_end) Invalidate(kept, old_end);
  return {};
}

Result<void> FileData::Allocate(uint64_t offset, uint64_t length, bool keep_size) {
  uint64_t end = offset + length;
  if (end > INT64_MAX) return Errno::kEFBIG;
  if (end > size_ && (seals & F_SEAL_GROW) != 0) return Errno::kEPERM;
  uint64_t first = offset / kPageSize, stop = PageUp(end) / kPageSize;
  // Refuse what cannot fit before anything is reserved.
  uint64_t held = 0;
  for (auto it = extents_.upper_bound(first) == extents_.begin() ? extents_.begin() : std::prev(extents_.upper_bound(first));
       it != extents_.end() && it->first < stop; ++it) {
    uint64_t from = std::max(it->first, first), to = std::min(it->first + it->second.pages, stop);
    if (from >= to) continue;
    held += static_cast<uint64_t>(std::popcount(
        it->second.present & Mask(static_cast<uint32_t>(from - it->first), static_cast<uint32_t>(to - from))));
  }
  if (stop - first - held > space_->FreePages()) return Errno::kENOSPC;
  TRY(ReserveRange(first, stop));
  for (uint64_t page = first; page < stop;) {
    auto it = Find(page);
    auto index = static_cast<uint32_t>(page - it->first);
    auto count = static_cast<uint32_t>(std::min<uint64_t>(stop - page, it->second.pages - index));
    TRY(MarkPresent(it->second, index, count));
    page += count;
  }
  if (!keep_size && end > size_) Grow(end);
  return {};
}

Result<void> FileData::PunchHole(uint64_t offset, uint64_t length) {
  if ((seals & kWriteSeals) != 0) return Errno::kEPERM;
  uint64_t end = std::min<uint64_t>(offset + length, INT64_MAX);
  uint64_t first = PageUp(offset), stop = PageDown(end);
  if (first >= stop) {
    ZeroBytes(offset, end);
    return {};
  }
  ZeroBytes(offset, first);
  ZeroBytes(stop, end);
  DropPages(first / kPageSize, stop / kPageSize);
  if (!mappers_.empty()) Invalidate(first, stop);
  return {};
}

Result<void> FileData::ZeroRange(uint64_t offset, uint64_t length, bool keep_size) {
  if (offset + length > size_ && !keep_size && (seals & F_SEAL_GROW) != 0) return Errno::kEPERM;
  TRY(PunchHole(offset, length));
  return Allocate(offset, length, keep_size);
}

Result<uint64_t> FileData::SeekData(uint64_t offset) const {
  if (offset >= size_) return Errno::kENXIO;
  uint64_t page = offset / kPageSize;
  auto it = extents_.upper_bound(page);
  if (it != extents_.begin()) --it;
  for (; it != extents_.end(); ++it) {
    if (it->first + it->second.pages <= page) continue;
    uint64_t from = std::max(page, it->first);
    uint64_t rest = it->second.present >> (from - it->first);
    if (rest == 0) continue;
    uint64_t found = std::max(offset, (from + static_cast<uint64_t>(std::countr_zero(rest))) * kPageSize);
    if (found >= size_) break;
    return found;
  }
  return Errno::kENXIO;
}

Result<uint64_t> FileData::SeekHole(uint64_t offset) const {
  if (offset >= size_) return Errno::kENXIO;
  for (uint64_t page = offset / kPageSize; page * kPageSize < size_;) {
    auto it = Find(page);
    if (it == extents_.end()) return std::max(offset, page * kPageSize);
    auto index = static_cast<uint32_t>(page - it->first);
    auto run = static_cast<uint32_t>(std::countr_one(it->second.present >> index));
    if (index + run < it->second.pages) return std::min(size_, std::max(offset, (page + run) * kPageSize));
    page += run;
  }
  return size_;
}

Result<vfs::Mappable::Pages> FileData::Translate(uint64_t offset, uint64_t length, bool write) {
  uint64_t end = PageUp(size_);
  if (offset >= end) return Errno::kENXIO;
  // Large sparse files are not reserved all at once.
  constexpr uint64_t kMaxPiece = uint64_t{256} << 20;
  end = std::min(end, offset + std::min(length, kMaxPiece));
  mapped_ = true;
  uint64_t first = offset / kPageSize, stop = end / kPageSize;
  if (!ReserveRange(first, stop).ok()) return Errno::kENXIO;
  // What is contiguous in the memory file too, as far as the space goes.
  Pages pages{.in_memory_file = true, .fd = MemoryFile::Get().fd()};
  uint64_t page = first;
  for (auto it = Find(first); page < stop; ++it) {
    Extent& extent = it->second;
    auto index = static_cast<uint32_t>(page - it->first);
    uint64_t at = extent.offset + index * kPageSize;
    if (page == first) {
      pages.offset = at;
    } else if (at != pages.offset + pages.length) {
      break;
    }
    auto count = static_cast<uint32_t>(std::min<uint64_t>(stop - page, extent.pages - index));
    while (count > 0 && !MarkPresent(extent, index, count).ok()) count /= 2;
    if (count == 0) break;
    pages.length += count * kPageSize;
    page += count;
    if (index + count < extent.pages) break;
  }
  if (pages.length == 0) return Errno::kENXIO;
  return pages;
}

Result<size_t> FileData::Read(void* to, uint64_t offset, size_t length) {
  IoVec span(to, length);
  size_t done = TRY(ReadAt(span, offset));
  if (done < length) memset(static_cast<char*>(to) + done, 0, length - done);
  return done;
}

Result<void> FileData::AddWritable() {
  if ((seals & kWriteSeals) != 0) return Errno::kEPERM;
  writable_mappings_++;
  return {};
}

}  // namespace tmpfs
