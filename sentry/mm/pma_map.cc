#include "sentry/mm/pma_map.h"

#include <algorithm>

#include "base/log.h"

namespace mm {

PmaMap::iterator PmaMap::FindFrom(uint64_t address) {
  auto it = map_.upper_bound(address);
  if (it != map_.begin()) {
    auto previous = std::prev(it);
    if (previous->second.end > address) return previous;
  }
  return it;
}

PmaMap::iterator PmaMap::Find(uint64_t address) {
  auto it = map_.upper_bound(address);
  if (it == map_.begin()) return map_.end();
  --it;
  return it->second.end > address ? it : map_.end();
}

PmaMap::iterator PmaMap::Insert(uint64_t start, Pma pma) {
  auto next = map_.upper_bound(start);
  CHECK(next == map_.end() || next->first >= pma.end);
  if (next != map_.end() && Mergeable(start, pma, next->first, next->second)) {
    pma.end = next->second.end;
    next = map_.erase(next);
  }
  if (next != map_.begin()) {
    auto previous = std::prev(next);
    CHECK(previous->second.end <= start);
    if (Mergeable(previous->first, previous->second, start, pma)) {
      previous->second.end = pma.end;
      return previous;
    }
  }
  return map_.insert(next, {start, std::move(pma)});
}

void PmaMap::SplitAt(uint64_t address) {
  auto it = Find(address);
  if (it == map_.end() || it->first == address) return;
  Pma upper = it->second;
  upper.offset += address - it->first;
  it->second.end = address;
  map_.insert({address, std::move(upper)});
}

PmaMap::iterator PmaMap::Isolate(iterator it, uint64_t start, uint64_t end) {
  if (it->first >= start && it->second.end <= end) return it;
  uint64_t key = std::max(it->first, start);
  SplitAt(start);
  SplitAt(end);
  return map_.find(key);
}

void PmaMap::MergeRange(uint64_t start, uint64_t end) {
  auto it = map_.lower_bound(start);
  if (it != map_.begin()) --it;
  while (it != map_.end()) {
    auto next = std::next(it);
    if (next == map_.end() || next->first > end) return;
    if (!Mergeable(it->first, it->second, next->first, next->second)) {
      it = next;
      continue;
    }
    uint64_t key = it->first;
    it->second.end = next->second.end;
    map_.erase(next);
    it = map_.find(key);
  }
}

std::pair<uint64_t, uint64_t> PmaMap::GapAround(uint64_t address, uint64_t start, uint64_t end) {
  auto next = map_.upper_bound(address);
  if (next != map_.end()) end = std::min(end, next->first);
  if (next != map_.begin()) start = std::max(start, std::prev(next)->second.end);
  return {start, end};
}

}  // namespace mm
