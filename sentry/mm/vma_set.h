#pragma once

// VmaSet: what the application asked for: disjoint virtual memory areas, ordered by address, split and merged as Linux
// does. Knows no pages. A Vma object keeps its address in memory until its range is erased.

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/container/btree_map.h"
#include "base/ref.h"
#include "vfs/file_description.h"
#include "vfs/mappable.h"

namespace mm {

// Keeps a file counted as one that may be written through a mapping.
class WritableHold : public RefCounted {
 public:
  static Result<RefPtr<WritableHold>> Create(RefPtr<vfs::Mappable> mappable) {
    TRY(mappable->AddWritable());
    return MakeRef<WritableHold>(std::move(mappable));
  }
  explicit WritableHold(RefPtr<vfs::Mappable> mappable) : mappable_(std::move(mappable)) {}
  ~WritableHold() override { mappable_->RemoveWritable(); }

 private:
  const RefPtr<vfs::Mappable> mappable_;
};

struct Vma {
  enum Flag : uint32_t {
    kShared = 1 << 0,
    kGrowsDown = 1 << 1,
    kNoReserve = 1 << 2,
    kSpecial = 1 << 3,      // the vDSO
    kLocked = 1 << 4,
    kDontFork = 1 << 5,
    kWipeOnFork = 1 << 6,
    kDontDump = 1 << 7,
    kHugePage = 1 << 8,
    kNoHugePage = 1 << 9,
    kMergeable = 1 << 10,
    kSequential = 1 << 11,
    kRandom = 1 << 12,
    kAccount = 1 << 13,     // is or was private and writable; keeps areas apart as VM_ACCOUNT does
  };

  uint64_t start = 0, end = 0;
  int prot = 0;
  int max_prot = 7;  // what mprotect may still add
  uint32_t flags = 0;
  RefPtr<vfs::FileDescription> file;
  RefPtr<vfs::Mappable> mappable;  // null: private anonymous
  uint64_t offset = 0;             // in the mappable; 0 for private anonymous
  std::string name;
  RefPtr<WritableHold> writable_hold;  // shared file mappings that are or may become writable
  RefPtr<RefCounted> truncate_link;    // tells the memory manager of truncation

  bool shared() const { return (flags & kShared) != 0; }
  bool private_anonymous() const { return !mappable; }
  bool counts_as_data() const { return !shared() && (prot & 2) != 0; }
  uint64_t length() const { return end - start; }
  uint64_t OffsetOf(uint64_t address) const { return offset + (address - start); }
};

class VmaSet {
 public:
  using Map = absl::btree_map<uint64_t, std::unique_ptr<Vma>>;

  // Linux: sysctl_max_map_count.
  static constexpr size_t kMaxCount = 65530;
  static constexpr uint64_t kGuardGap = 256 * 4096;  // kept free below what grows down

  // Where mmap without a hint allocates: [lowest, base), from the top.
  void SetBounds(uint64_t lowest, uint64_t base, uint64_t limit);
  void CopyBounds(const VmaSet& other) { SetBounds(other.lowest_, other.base_, other.limit_); }
  uint64_t lowest() const { return lowest_; }
  uint64_t limit() const { return limit_; }

  Vma* Find(uint64_t address) const;         // that contains it
  Vma* FindFrom(uint64_t address) const;     // the first that ends behind it
  Vma* Next(const Vma& vma) const;
  Vma* Previous(const Vma& vma) const;
  bool Intersects(uint64_t start, uint64_t end) const;
  // Whether all of it is covered.
  bool Covers(uint64_t start, uint64_t end) const;

  // Into a free place; merges with compatible neighbours. Returns the area that holds it.
  Vma* Insert(std::unique_ptr<Vma> vma);
  // Makes [start, end) begin and end at area borders.
  void SplitAt(uint64_t address);
  // Merges areas around and within [start, end) where they became compatible.
  void MergeRange(uint64_t start, uint64_t end);
  // Takes out an area, whole (SplitAt before).
  std::unique_ptr<Vma> Remove(Vma& vma);
  // Moves a border of an area into free space.
  void Extend(Vma& vma, uint64_t new_start, uint64_t new_end);
  // The counters that depend on protection and flags change with it.
  void SetProt(Vma& vma, int prot);

  // A free range, or 0. The highest below the base; `below`: another upper bound (MAP_32BIT), 0 for none.
  uint64_t FindFree(uint64_t length, uint64_t below = 0);
  // Whether a mapping may be put there: free, within bounds, not in a stack's guard gap.
  bool IsFree(uint64_t start, uint64_t length) const;

  size_t count() const { return map_.size(); }
  uint64_t total_bytes() const { return total_; }
  uint64_t data_bytes() const { return data_; }
  const Map& map() const { return map_; }

 private:
  static bool Mergeable(const Vma& a, const Vma& b);
  static uint64_t GuardedStart(const Vma& vma) {
    return (vma.flags & Vma::kGrowsDown) != 0 ? vma.start - std::min(vma.start, kGuardGap) : vma.start;
  }
  void Account(const Vma& vma, int sign);
  void NoteFreed(uint64_t start, uint64_t end);
  uint64_t Scan(uint64_t length, uint64_t from, uint64_t* largest) const;

  Map map_;
  uint64_t total_ = 0, data_ = 0;
  uint64_t lowest_ = 0, base_ = 0, limit_ = 0;
  // All gaps in [scan_from_, base_) are at most skipped_largest_ bytes: the search for more starts below.
  uint64_t scan_from_ = 0, skipped_largest_ = 0;
};

}  // namespace mm
