#include "sentry/mm/vma_set.h"

#include <sys/mman.h>

#include <algorithm>

#include "base/log.h"
#include "base/memory_file.h"

namespace mm {

void VmaSet::SetBounds(uint64_t lowest, uint64_t base, uint64_t limit) {
  lowest_ = lowest;
  base_ = scan_from_ = base;
  limit_ = limit;
  skipped_largest_ = 0;
}

Vma* VmaSet::FindFrom(uint64_t address) const {
  auto it = map_.upper_bound(address);
  if (it != map_.begin()) {
    auto previous = std::prev(it);
    if (previous->second->end > address) return previous->second.get();
  }
  return it == map_.end() ? nullptr : it->second.get();
}

Vma* VmaSet::Find(uint64_t address) const {
  Vma* vma = FindFrom(address);
  return vma != nullptr && vma->start <= address ? vma : nullptr;
}

Vma* VmaSet::Next(const Vma& vma) const {
  auto it = map_.upper_bound(vma.start);
  return it == map_.end() ? nullptr : it->second.get();
}

Vma* VmaSet::Previous(const Vma& vma) const {
  auto it = map_.lower_bound(vma.start);
  return it == map_.begin() ? nullptr : std::prev(it)->second.get();
}

bool VmaSet::Intersects(uint64_t start, uint64_t end) const {
  Vma* vma = FindFrom(start);
  return vma != nullptr && vma->start < end;
}

bool VmaSet::Covers(uint64_t start, uint64_t end) const {
  for (Vma* vma = FindFrom(start); vma != nullptr && vma->start <= start; vma = Next(*vma)) {
    start = vma->end;
    if (start >= end) return true;
  }
  return start >= end;
}

bool VmaSet::Mergeable(const Vma& a, const Vma& b) {
  return a.end == b.start && a.prot == b.prot && a.max_prot == b.max_prot && a.flags == b.flags &&
         (a.flags & (Vma::kSpecial | Vma::kGrowsDown)) == 0 && a.file == b.file && a.mappable == b.mappable &&
         (!a.mappable || a.OffsetOf(a.end) == b.offset) && a.name == b.name;
}

void VmaSet::Account(const Vma& vma, int sign) {
  uint64_t length = vma.length() * static_cast<uint64_t>(sign);
  total_ += length;
  if (vma.counts_as_data()) data_ += length;
}

Vma* VmaSet::Insert(std::unique_ptr<Vma> vma) {
  CHECK(vma->start < vma->end && !Intersects(vma->start, vma->end));
  Account(*vma, 1);
  auto next = map_.upper_bound(vma->start);
  if (next != map_.begin()) {
    Vma& previous = *std::prev(next)->second;
    if (Mergeable(previous, *vma)) {
      previous.end = vma->end;
      if (next != map_.end() && Mergeable(previous, *next->second)) {
        previous.end = next->second->end;
        map_.erase(next);
      }
      return &previous;
    }
  }
  if (next != map_.end() && Mergeable(*vma, *next->second)) {
    vma->end = next->second->end;
    next = map_.erase(next);
  }
  uint64_t start = vma->start;
  return map_.insert(next, {start, std::move(vma)})->second.get();
}

void VmaSet::SplitAt(uint64_t address) {
  Vma* vma = Find(address);
  if (vma == nullptr || vma->start == address) return;
  auto upper = std::make_unique<Vma>(*vma);
  upper->start = address;
  if (upper->mappable) upper->offset = vma->OffsetOf(address);
  vma->end = address;
  map_.insert({address, std::move(upper)});
}

void VmaSet::MergeRange(uint64_t start, uint64_t end) {
  auto it = map_.lower_bound(start);
  if (it != map_.begin()) --it;
  while (it != map_.end()) {
    auto next = std::next(it);
    if (next == map_.end() || next->first > end) return;
    if (!Mergeable(*it->second, *next->second)) {
      it = next;
      continue;
    }
    Vma& vma = *it->second;
    uint64_t key = it->first;
    vma.end = next->second->end;
    map_.erase(next);
    it = map_.find(key);
  }
}

std::unique_ptr<Vma> VmaSet::Remove(Vma& vma) {
  Account(vma, -1);
  auto it = map_.find(vma.start);
  std::unique_ptr<Vma> taken = std::move(it->second);
  map_.erase(it);
  NoteFreed(taken->start, taken->end);
  return taken;
}

void VmaSet::Extend(Vma& vma, uint64_t new_start, uint64_t new_end) {
  Account(vma, -1);
  vma.end = new_end;
  if (new_start != vma.start) {
    auto it = map_.find(vma.start);
    std::unique_ptr<Vma> holder = std::move(it->second);
    map_.erase(it);
    if (holder->mappable) holder->offset -= holder->start - new_start;
    holder->start = new_start;
    map_.insert({new_start, std::move(holder)});
  }
  Account(vma, 1);
}

void VmaSet::SetProt(Vma& vma, int prot) {
  Account(vma, -1);
  vma.prot = prot;
  Account(vma, 1);
}

void VmaSet::NoteFreed(uint64_t start, uint64_t end) {
  if (end <= scan_from_) return;
  // The gap around it may be larger than what was skipped.
  Vma* next = FindFrom(start);
  uint64_t gap_end = next == nullptr ? base_ : std::min(GuardedStart(*next), base_);
  scan_from_ = std::max(scan_from_, gap_end);
}

// The highest gap of `length` below `from`, or 0. `*largest`: the largest gap seen before.
uint64_t VmaSet::Scan(uint64_t length, uint64_t from, uint64_t* largest) const {
  uint64_t top = from;
  auto it = map_.lower_bound(from);
  if (it != map_.end()) top = std::min(top, GuardedStart(*it->second));
  while (true) {
    uint64_t bottom = it == map_.begin() ? lowest_ : std::max(lowest_, std::prev(it)->second->end);
    if (top > bottom) {
      if (top - bottom >= length) return top - length;
      *largest = std::max(*largest, top - bottom);
    }
    if (it == map_.begin() || bottom == lowest_) return 0;
    --it;
    top = std::min(top, GuardedStart(*it->second));
    if (top <= lowest_) return 0;
  }
}

uint64_t VmaSet::FindFree(uint64_t length, uint64_t below) {
  uint64_t largest = 0;
  if (below != 0) return Scan(length, std::min(below, base_), &largest);
  if (length > skipped_largest_) {
    largest = skipped_largest_;
    uint64_t found = Scan(length, scan_from_, &largest);
    if (found != 0) {
      scan_from_ = found + length;
      skipped_largest_ = largest;
      return found;
    }
  } else if (uint64_t found = Scan(length, base_, &largest); found != 0) {
    return found;
  }
  // Linux falls back to the space above the base as well (bottom-up).
  return Scan(length, limit_, &largest);
}

bool VmaSet::IsFree(uint64_t start, uint64_t length) const {
  if (start < lowest_ || start > limit_ || length > limit_ - start) return false;
  Vma* next = FindFrom(start);
  return next == nullptr || GuardedStart(*next) >= start + length;
}

}  // namespace mm
