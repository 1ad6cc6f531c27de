#pragma once

// The memory file: one sparse memfd that holds all application memory, tmpfs data and shared memory of a sandbox. The
// Sentry maps the whole of it once, so copying is memcpy; stubs map parts of it. Pages are counted, since copy-on-write
// shares them: a page is free, and reads as zeroes when next allocated, once its count is 0.
// Offsets and lengths are multiples of kPageSize. Under the kernel lock.

#include <cstdint>
#include <map>
#include <vector>

#include "base/fd.h"
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
  Result<uint64_t> Allocate(uint64_t length);
  void IncRef(uint64_t offset, uint64_t length);
  // Pages whose count gets to 0 are freed. No stub may have them mapped any more.
  void DecRef(uint64_t offset, uint64_t length);
  uint32_t RefCount(uint64_t offset) const { return refs_[offset / kPageSize]; }

  // Where the Sentry sees it; valid as long as the range is allocated.
  char* At(uint64_t offset) const { return base_ + offset; }
  bool Contains(const void* p) const { return p >= base_ && p < base_ + capacity_; }

  // Gives the host pages of an allocated range back; it reads as zeroes (MADV_DONTNEED, hole punching).
  void Decommit(uint64_t offset, uint64_t length);

  uint64_t allocated_bytes() const { return allocated_; }   // reserved offsets
  uint64_t committed_bytes() const;                          // host pages in use (one fstat)

 private:
  MemoryFile() = default;
  void Free(uint64_t offset, uint64_t length);

  Fd fd_;
  char* base_ = nullptr;
  uint64_t capacity_ = 0;
  uint32_t* refs_ = nullptr;  // one a page, lazily backed
  uint64_t bump_ = 0;         // offsets from here on were never used
  uint64_t allocated_ = 0;
  std::map<uint64_t, uint64_t> free_;           // offset -> length, coalesced
  std::multimap<uint64_t, uint64_t> by_length_;  // length -> offset of the same
};

}  // namespace base

using base::kPageSize;
