#pragma once

// The memory file: one sparse memfd that holds all application memory, tmpfs data and shared memory of a sandbox. The
// Sentry maps the whole of it once, so copying is memcpy; stubs map parts of it. Pages are counted, since copy-on-write
// shares them: a page is free, and reads as zeroes when next allocated, once its count is 0.
// Offsets and lengths are multiples of kPageSize. Under the kernel lock.
//
// Counts are kept by 2 MB block: one number while all pages of a block agree, one per page otherwise, so that allocating,
// sharing and freeing gigabytes costs nanoseconds per block. Freed ranges are kept with their host pages ("used"), up to
// 64 MB, and zeroed when next allocated, which is several times cheaper than having the host free and allocate them again.

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "base/fd.h"
#include "base/io_vec.h"
#include "base/result.h"

namespace base {

inline constexpr uint64_t kPageSize = 4096;
inline constexpr uint64_t PageDown(uint64_t v) { return v & ~(kPageSize - 1); }
inline constexpr uint64_t PageUp(uint64_t v) { return (v + kPageSize - 1) & ~(kPageSize - 1); }

class MemoryFile {
 public:
  // The sandbox's memory file; Create comes first, while memfd_create is still allowed. `capacity`: bytes of offsets.
  static Result<void> Create(uint64_t capacity = uint64_t{1} << 38);
  static MemoryFile& Get();

  int fd() const { return fd_.get(); }

  // Reserves `length` contiguous zeroed bytes, each page with count 1. Costs no host memory until touched. ENOMEM when
  // the sandbox's limit or the capacity is reached.
  static constexpr uint64_t kAnywhere = UINT64_MAX;
  // `near`: an offset that would suit, so that neighbouring mappings become one. `*present` (may be null): the parts that
  // the host has pages for already, in order, so that mapping them populated costs little.
  struct Run {
    uint64_t offset, length;
  };
  using Runs = std::vector<Run>;
  Result<uint64_t> Allocate(uint64_t length, uint64_t near = kAnywhere, Runs* present = nullptr);
  // The same in two steps, for what is used bit by bit: what Reserve gives has any content until Clean, if it is `*used` (may
  // be null), or else none.
  Result<uint64_t> Reserve(uint64_t length, bool* used = nullptr);
  void Clean(uint64_t offset, uint64_t length, Runs* present);
  // Like Allocate with a copy of `source` in place of zeroes.
  Result<uint64_t> AllocateCopy(const void* source, uint64_t length);
  // Stores `from` into an allocated range that was perhaps never touched: the host then fills new pages without zeroing
  // them first, and without a fault for each. Returns how much arrived, less than all where `from` cannot be read.
  size_t Fill(uint64_t offset, const IoVec& from);
  void IncRef(uint64_t offset, uint64_t length);
  // Pages whose count gets to 0 are freed. No stub may have them mapped any more.
  void DecRef(uint64_t offset, uint64_t length);
  uint32_t RefCount(uint64_t offset) const {
    const Block& block = blocks_[offset / kBlockSize];
    return block.split ? refs_[offset / kPageSize] : block.count;
  }

  // Where the Sentry sees it; valid as long as the range is allocated.
  char* At(uint64_t offset) const { return base_ + offset; }
  bool Contains(const void* p) const { return p >= base_ && p < base_ + capacity_; }

  // Gives the host pages of an allocated range back; it reads as zeroes (MADV_DONTNEED, hole punching).
  void Decommit(uint64_t offset, uint64_t length);
  // Gives the host pages of freed ranges back: for idle times.
  void Trim();

  uint64_t capacity() const { return capacity_; }
  uint64_t allocated_bytes() const { return allocated_; }  // reserved offsets
  uint64_t recyclable_bytes() const { return used_.bytes; }
  uint64_t committed_bytes() const;  // host pages in use (one fstat)
  // Host pages present in an allocated range (one host call per 16 MB).
  uint64_t CommittedIn(uint64_t offset, uint64_t length) const;
  // The same page by page: 1 where present (length / kPageSize flags).
  void Residency(uint64_t offset, uint64_t length, uint8_t* flags) const;

 private:
  static constexpr uint64_t kBlockSize = 512 * kPageSize;
  struct Block {
    uint32_t count;  // of each page, unless split
    uint32_t split;  // refs_ has the counts
  };
  // Free ranges, coalesced.
  struct Pool {
    absl::btree_map<uint64_t, uint64_t> by_offset;              // offset -> length
    absl::btree_set<std::pair<uint64_t, uint64_t>> by_length;  // {length, offset}
    uint64_t bytes = 0;

    void Add(uint64_t offset, uint64_t length);
    void Remove(uint64_t offset, uint64_t length);  // which lies within one range
    bool Has(uint64_t offset, uint64_t length) const;
  };

  MemoryFile() = default;
  Result<uint64_t> TakeRange(uint64_t length, uint64_t near, bool* used);
  void Free(uint64_t offset, uint64_t length);
  void Punch(uint64_t offset, uint64_t length);
  void Split(uint64_t block);
  void SetCounts(uint64_t offset, uint64_t length, uint32_t count);
  void ZeroPresent(uint64_t offset, uint64_t length);

  Fd fd_;
  char* base_ = nullptr;
  uint64_t capacity_ = 0;
  Block* blocks_ = nullptr;
  uint32_t* refs_ = nullptr;  // one a page, lazily backed
  uint64_t fresh_ = 0;        // offsets below this are holes, too; taken from the top, since mmap goes down as well
  uint64_t allocated_ = 0;
  Pool holes_;  // no host pages
  Pool used_;   // perhaps with host pages, of any content
};

}  // namespace base

using base::kPageSize;
