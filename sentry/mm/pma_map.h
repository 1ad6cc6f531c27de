#pragma once

// PmaMap: which pages stand behind which address now. A piece is contiguous both in addresses and in its file (the memory
// file or a host file) and is what the stub has mapped: with `prot`, less PROT_WRITE until `write_ok`; unless it is `deferred`.

#include <cstdint>
#include <utility>

#include "absl/container/btree_map.h"
#include "absl/container/inlined_vector.h"
#include "absl/functional/function_ref.h"
#include "base/ref.h"
#include "sentry/mm/window.h"

namespace mm {

struct Pma {
  uint64_t end = 0;
  uint64_t offset = 0;     // in `fd`, or in the memory file, of the first byte
  RefPtr<Window> window;   // the Sentry's view of a host file; made on first use
  int fd = -1;             // host file, lent by the VMA's Mappable; -1: the memory file, whose pages are counted for this piece
  uint8_t prot = 0;        // of the VMA
  bool write_ok = false;   // may be written as it is: neither copy-on-write nor still to be announced to the Mappable
  bool shared = false;     // of a MAP_SHARED VMA
  bool deferred = false;   // the stub has nothing here yet: its first touch comes to the Sentry (deferred.cc)

  bool in_memory_file() const { return fd < 0; }
  int stub_prot() const { return write_ok ? prot : prot & ~2; }
};

class PmaMap {
 public:
  using Map = absl::btree_map<uint64_t, Pma>;
  using iterator = Map::iterator;

  iterator end() { return map_.end(); }
  iterator begin() { return map_.begin(); }
  iterator Find(uint64_t address);      // that contains it, or end()
  iterator FindFrom(uint64_t address);  // the first that ends behind it
  iterator Insert(uint64_t start, Pma pma);   // into a free place; merges with contiguous neighbours
  void SplitAt(uint64_t address);
  // Splits so that the piece at `it` is exactly its part within [start, end); returns it.
  iterator Isolate(iterator it, uint64_t start, uint64_t end);
  iterator Erase(iterator it) { return map_.erase(it); }
  // Merges neighbours around and within the range.
  void MergeRange(uint64_t start, uint64_t end);
  // The free range around `address` (which is in none), clipped to [start, end).
  std::pair<uint64_t, uint64_t> GapAround(uint64_t address, uint64_t start, uint64_t end);
  size_t size() const { return map_.size(); }
  void clear() { map_.clear(); }

 private:
  static bool Mergeable(uint64_t start, const Pma& a, uint64_t next_start, const Pma& b) {
    return a.end == next_start && a.offset + (a.end - start) == b.offset && a.fd == b.fd && a.prot == b.prot &&
           a.write_ok == b.write_ok && a.shared == b.shared && a.deferred == b.deferred && a.window == b.window;
  }
  Map map_;
};

}  // namespace mm
