#include "base/memory_file.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "base/host.h"
#include "base/log.h"

namespace base {

namespace {
MemoryFile* memory_file = nullptr;

// Zeroing a present page takes 110 ns, finding out about 16 pages 280 ns, mapping one populated 200 ns, where the host takes
// 1.1 us to allocate one at a fault. Larger ranges are mostly reserved rather than used, as stacks of threads are.
constexpr uint64_t kMaxRecycledRange = 4 << 20;
constexpr uint64_t kMaxUsedBytes = 64 << 20;
// What the host maps around a read fault, unless told otherwise (fault_around_bytes).
constexpr uint64_t kFaultAround = 64 << 10;
// Gaps up to this size between present pages are not worth telling.
constexpr uint64_t kSmallGap = 4 * kPageSize;
// A range in more pieces is given back whole: each costs a host call.
constexpr int kMaxPieces = 64;
}  // namespace

MemoryFile& MemoryFile::Get() { return *memory_file; }

Result<void> MemoryFile::Create(uint64_t capacity) {
  CHECK(capacity % kBlockSize == 0);
  auto* file = new MemoryFile;
  file->fd_ = Fd(TRY(HOST(memfd_create("runsc-memory", MFD_CLOEXEC))));
  TRY(HOST(ftruncate(file->fd_.get(), static_cast<off_t>(capacity))));
  auto map = [](uint64_t length, int flags, int fd) {
    return mmap(nullptr, length, PROT_READ | PROT_WRITE, flags | MAP_NORESERVE, fd, 0);
  };
  void* window = map(capacity, MAP_SHARED, file->fd_.get());
  void* refs = map(capacity / kPageSize * sizeof(uint32_t), MAP_PRIVATE | MAP_ANONYMOUS, -1);
  void* blocks = map(capacity / kBlockSize * sizeof(Block), MAP_PRIVATE | MAP_ANONYMOUS, -1);
  if (window == MAP_FAILED || refs == MAP_FAILED || blocks == MAP_FAILED) return Errno::kENOMEM;
  file->base_ = static_cast<char*>(window);
  file->refs_ = static_cast<uint32_t*>(refs);
  file->blocks_ = static_cast<Block*>(blocks);
  file->capacity_ = file->fresh_ = capacity;
  memory_file = file;
  return {};
}

void MemoryFile::Pool::Add(uint64_t offset, uint64_t length) {
  bytes += length;
  auto next = by_offset.lower_bound(offset);
  if (next != by_offset.end() && next->first == offset + length) {
    length += next->second;
    by_length.erase({next->second, next->first});
    next = by_offset.erase(next);
  }
  if (next != by_offset.begin()) {
    auto previous = std::prev(next);
    if (previous->first + previous->second == offset) {
      by_length.erase({previous->second, previous->first});
      previous->second += length;
      by_length.insert({previous->second, previous->first});
      return;
    }
  }
  by_offset.insert({offset, length});
  by_length.insert({length, offset});
}

void MemoryFile::Pool::Remove(uint64_t offset, uint64_t length) {
  auto it = std::prev(by_offset.upper_bound(offset));
  uint64_t start = it->first, end = it->first + it->second;
  CHECK(start <= offset && offset + length <= end);
  bytes -= length;
  by_length.erase({it->second, it->first});
  if (start < offset) {
    it->second = offset - start;
    by_length.insert({offset - start, start});
  } else {
    by_offset.erase(it);
  }
  if (offset + length < end) {
    by_offset.insert({offset + length, end - offset - length});
    by_length.insert({end - offset - length, offset + length});
  }
}

bool MemoryFile::Pool::Has(uint64_t offset, uint64_t length) const {
  auto it = by_offset.upper_bound(offset);
  if (it == by_offset.begin()) return false;
  --it;
  return it->first <= offset && offset + length <= it->first + it->second;
}

void MemoryFile::Split(uint64_t index) {
  Block& block = blocks_[index];
  if (block.split != 0) return;
  block.split = 1;
  uint32_t* first = refs_ + index * (kBlockSize / kPageSize);
  std::fill(first, first + kBlockSize / kPageSize, block.count);
}

namespace {
// Calls whole(block) for blocks that are covered and part(first page, end page, block) for others.
template <uint64_t block_size, class Whole, class Part>
void ForBlocks(uint64_t offset, uint64_t length, Whole whole, Part part) {
  uint64_t end = offset + length;
  while (offset < end) {
    uint64_t index = offset / block_size;
    uint64_t stop = std::min(end, (index + 1) * block_size);
    if (stop - offset == block_size) {
      whole(index);
    } else {
      part(index, offset / kPageSize, stop / kPageSize);
    }
    offset = stop;
  }
}
}  // namespace

void MemoryFile::SetCounts(uint64_t offset, uint64_t length, uint32_t count) {
  ForBlocks<kBlockSize>(
      offset, length, [&](uint64_t index) { blocks_[index] = {count, 0}; },
      [&](uint64_t index, uint64_t first, uint64_t end) {
        Split(index);
        std::fill(refs_ + first, refs_ + end, count);
      });
}

// Zeroes what the host has of the range, and says what that is.
void MemoryFile::Clean(uint64_t offset, uint64_t length, Runs* present) {
  uint8_t flags[kMaxRecycledRange / kPageSize];
  if (length > kMaxRecycledRange || mincore(At(offset), length, flags) != 0) return Decommit(offset, length);
  const uint64_t pages = length / kPageSize;
  int borders = 0;
  for (uint64_t page = 1; page < pages; page++) borders += (flags[page] ^ flags[page - 1]) & 1;
  if (borders > kMaxPieces) return Decommit(offset, length);
  for (uint64_t page = 0; page < pages;) {
    const uint64_t first = page;
    const bool there = (flags[page] & 1) != 0;
    while (page < pages && ((flags[page] & 1) != 0) == there) page++;
    const Run run{offset + first * kPageSize, (page - first) * kPageSize};
    if (!there) {
      // Not in the page cache may also mean swapped out, and then it is not a hole.
      Decommit(run.offset, run.length);
      continue;
    }
    ZeroPresent(run.offset, run.length);
    if (present == nullptr) continue;
    if (!present->empty() && run.offset - (present->back().offset + present->back().length) <= kSmallGap) {
      present->back().length = run.offset + run.length - present->back().offset;
    } else {
      present->push_back(run);
    }
  }
}

// Pages that only stubs have touched are not mapped here yet: a read maps what lies around it, where each write would fault.
void MemoryFile::ZeroPresent(uint64_t offset, uint64_t length) {
  const uint64_t end = offset + length;
  for (uint64_t at = offset; at < end; at = (at | (kFaultAround - 1)) + 1) (void)*static_cast<volatile char*>(At(at));
  memset(At(offset), 0, length);
}

// Takes a free range and gives its pages count 1. `*used`: its content is not known.
Result<uint64_t> MemoryFile::TakeRange(uint64_t length, uint64_t near, bool* used) {
  CHECK(length > 0 && length % kPageSize == 0);
  if (length > capacity_) return Errno::kENOMEM;
  uint64_t offset = kAnywhere;
  *used = false;
  if (length <= kMaxRecycledRange) {
    if (near != kAnywhere && used_.Has(near, length)) {
      offset = near;
    } else if (auto fit = used_.by_length.lower_bound({length, 0}); fit != used_.by_length.end()) {
      // The upper end: what remains is adjacent to what a mapping below this one will want.
      offset = fit->second + fit->first - length;
    }
    if (offset != kAnywhere) {
      used_.Remove(offset, length);
      *used = true;
    }
  }
  if (offset == kAnywhere && near != kAnywhere) {
    if (near < fresh_ && near + length == fresh_) {
      offset = fresh_ = near;
    } else if (holes_.Has(near, length)) {
      holes_.Remove(near, length);
      offset = near;
    }
  }
  if (offset == kAnywhere) {
    if (auto fit = holes_.by_length.lower_bound({length, 0}); fit != holes_.by_length.end()) {
      offset = fit->second + fit->first - length;
      holes_.Remove(offset, length);
    } else if (length <= fresh_) {
      offset = fresh_ -= length;
    } else if (used_.bytes > 0) {
      Trim();
      return TakeRange(length, near, used);
    } else {
      return Errno::kENOMEM;
    }
  }
  SetCounts(offset, length, 1);
  allocated_ += length;
  return offset;
}

Result<uint64_t> MemoryFile::Allocate(uint64_t length, uint64_t near, Runs* present) {
  bool used = false;
  uint64_t offset = TRY(TakeRange(length, near, &used));
  if (used) Clean(offset, length, present);
  return offset;
}

Result<uint64_t> MemoryFile::Reserve(uint64_t length, bool* used) {
  bool perhaps = false;
  return TakeRange(length, kAnywhere, used != nullptr ? used : &perhaps);
}

Result<uint64_t> MemoryFile::AllocateCopy(const void* source, uint64_t length) {
  bool used = false;
  uint64_t offset = TRY(TakeRange(length, kAnywhere, &used));
  size_t done = Fill(offset, IoVec(const_cast<void*>(source), length));
  if (done < length) memcpy(At(offset + done), static_cast<const char*>(source) + done, length - done);
  return offset;
}

size_t MemoryFile::Fill(uint64_t offset, const IoVec& from) {
  // 1.0 us for a page that the host has to allocate, where memcpy to the mapping takes 1.8.
  Result<ssize_t> written = HOST_RETRY(pwritev(fd_.get(), from.data(), std::min(from.count(), IOV_MAX), static_cast<off_t>(offset)));
  size_t done = written.ok() ? static_cast<size_t>(*written) : 0;
  if (done == from.size()) return done;
  return done + from.Read(done, At(offset + done), from.size() - done);
}

void MemoryFile::IncRef(uint64_t offset, uint64_t length) {
  auto part = [&](uint64_t index, uint64_t first, uint64_t end) {
    Split(index);
    for (uint64_t page = first; page < end; page++) {
      CHECK(refs_[page] > 0 && refs_[page] < UINT32_MAX);
      refs_[page]++;
    }
  };
  ForBlocks<kBlockSize>(
      offset, length,
      [&](uint64_t index) {
        Block& block = blocks_[index];
        if (block.split != 0) {
          return part(index, index * (kBlockSize / kPageSize), (index + 1) * (kBlockSize / kPageSize));
        }
        CHECK(block.count > 0 && block.count < UINT32_MAX);
        block.count++;
      },
      part);
}

void MemoryFile::DecRef(uint64_t offset, uint64_t length) {
  // Runs that become free are collected over block borders.
  uint64_t free_start = 0, free_end = 0;
  auto freed = [&](uint64_t start, uint64_t end) {
    if (free_end == start && free_end > free_start) {
      free_end = end;
      return;
    }
    if (free_end > free_start) Free(free_start, free_end - free_start);
    free_start = start;
    free_end = end;
  };
  auto part = [&](uint64_t index, uint64_t first, uint64_t end) {
    Split(index);
    for (uint64_t page = first; page < end;) {
      CHECK(refs_[page] > 0);
      if (--refs_[page] > 0) {
        page++;
        continue;
      }
      uint64_t start = page++;
      while (page < end && refs_[page] == 1) refs_[page++] = 0;
      freed(start * kPageSize, page * kPageSize);
    }
  };
  ForBlocks<kBlockSize>(
      offset, length,
      [&](uint64_t index) {
        Block& block = blocks_[index];
        if (block.split != 0) {
          return part(index, index * (kBlockSize / kPageSize), (index + 1) * (kBlockSize / kPageSize));
        }
        CHECK(block.count > 0);
        if (--block.count == 0) freed(index * kBlockSize, (index + 1) * kBlockSize);
      },
      part);
  if (free_end > free_start) Free(free_start, free_end - free_start);
}

void MemoryFile::Free(uint64_t offset, uint64_t length) {
  allocated_ -= length;
  if (length > kMaxUsedBytes / 2) return Punch(offset, length);
  used_.Add(offset, length);
  // The largest first: many small ones serve more.
  while (used_.bytes > kMaxUsedBytes) {
    auto [size, start] = *used_.by_length.rbegin();
    used_.Remove(start, size);
    Punch(start, size);
  }
}

void MemoryFile::Punch(uint64_t offset, uint64_t length) {
  Decommit(offset, length);
  holes_.Add(offset, length);
  if (auto lowest = holes_.by_offset.begin(); lowest->first == fresh_) {
    // As good as never used.
    uint64_t size = lowest->second;
    holes_.Remove(fresh_, size);
    fresh_ += size;
  }
}

void MemoryFile::Trim() {
  Pool used = std::exchange(used_, Pool());
  for (auto [offset, length] : used.by_offset) Punch(offset, length);
}

void MemoryFile::Decommit(uint64_t offset, uint64_t length) {
  CHECK_OK(HOST(fallocate(fd_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset),
                          static_cast<off_t>(length))));
}

uint64_t MemoryFile::committed_bytes() const {
  struct stat st;
  if (fstat(fd_.get(), &st) != 0) return 0;
  return static_cast<uint64_t>(st.st_blocks) * 512;
}

void MemoryFile::Residency(uint64_t offset, uint64_t length, uint8_t* flags) const {
  uint64_t pages = length / kPageSize;
  if (mincore(At(offset), length, flags) != 0) {
    std::fill(flags, flags + pages, 1);
    return;
  }
  for (uint64_t i = 0; i < pages; i++) flags[i] &= 1;
}

uint64_t MemoryFile::CommittedIn(uint64_t offset, uint64_t length) const {
  uint8_t present[4096];
  uint64_t bytes = 0;
  for (uint64_t done = 0; done < length;) {
    uint64_t take = std::min<uint64_t>(length - done, sizeof present * kPageSize);
    Residency(offset + done, take, present);
    for (uint64_t i = 0; i < take / kPageSize; i++) bytes += present[i] * kPageSize;
    done += take;
  }
  return bytes;
}

}  // namespace base
