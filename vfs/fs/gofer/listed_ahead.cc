#include "vfs/fs/gofer/listed_ahead.h"

#include <algorithm>

namespace goferfs {

namespace {
constexpr size_t kMaxDirectories = 1024;
constexpr uint32_t kFirstBudget = 4 * 1024;
constexpr uint32_t kMaxBudget = 64 * 1024;
}  // namespace

void ListedAhead::Add(const InodeKey& key, std::unique_ptr<Contents> contents) {
  if (!directories_.try_emplace(key, std::move(contents)).second) return;
  order_.push_back(key);
  while (order_.size() > kMaxDirectories) {
    // Nobody wanted what it brought.
    if (directories_.erase(order_.front()) != 0) Restart();
    order_.pop_front();
  }
}

std::unique_ptr<Contents> ListedAhead::Take(const InodeKey& key) {
  auto it = directories_.find(key);
  if (it == directories_.end()) return nullptr;
  std::unique_ptr<Contents> contents = std::move(it->second);
  directories_.erase(it);
  return contents;
}

uint32_t ListedAhead::NextFirstBudget() {
  return std::exchange(run_, std::max(run_, 1)) == 0 ? 0 : kFirstBudget;
}

uint32_t ListedAhead::NextBudget() {
  run_ = std::clamp(run_, 1, 8);
  return std::min(kFirstBudget << run_++, kMaxBudget);
}

}  // namespace goferfs
