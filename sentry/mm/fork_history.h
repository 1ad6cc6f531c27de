#pragma once

// ForkHistory: the pages that a process and its children wrote soon after earlier forks. Shells and build tools fork again
// and again and write the same few pages each time; those are copied at once at the next fork, which costs 1.3 us a page
// where a fault on each side costs 5 to 8 us each. And where children touched what their stubs did not have: the next one
// gets that at once. Shared by a memory manager and the children it forked.

#include <cstddef>
#include <cstdint>

#include "absl/container/btree_set.h"
#include "base/ref.h"

namespace mm {

class ForkHistory : public RefCounted {
 public:
  void Note(uint64_t page) {
    if (pages_.size() < kMaxPages) pages_.insert(page);
  }
  // Called for each fork. Pages that are no longer written are found out by forgetting all of them now and then.
  void NextFork() {
    if (++forks_ % kForgetEvery != 0) return;
    pages_.clear();
    touched_.clear();
  }
  const absl::btree_set<uint64_t>& pages() const { return pages_; }
  void NoteTouched(uint64_t page) {
    if (touched_.size() < kMaxPages) touched_.insert(page);
  }
  // Children that touch more than is remembered touch everything.
  bool TouchedIn(uint64_t start, uint64_t end) const {
    if (touched_.size() >= kMaxPages) return true;
    auto next = touched_.lower_bound(start);
    return next != touched_.end() && *next < end;
  }

 private:
  static constexpr size_t kMaxPages = 64;
  static constexpr unsigned kForgetEvery = 64;
  absl::btree_set<uint64_t> pages_, touched_;
  unsigned forks_ = 0;
};

}  // namespace mm
