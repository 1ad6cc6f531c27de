#include "vfs/fs/gofer/host_file.h"

namespace goferfs {

namespace {
// How many holders one Touch looks at, at most: those in use are passed over.
constexpr int kTrimSteps = 64;
}  // namespace

HostFile::HostFile(HostFilePool& pool, Fd fd, bool writable) : pool_(pool), fd_(std::move(fd)), writable_(writable) { pool_.open_++; }
HostFile::~HostFile() { pool_.open_--; }

HostFileHolder::~HostFileHolder() {
  if (pool_ != nullptr) pool_->Remove(*this);
}

HostFilePool::HostFilePool(size_t limit) : limit_(limit) {}

HostFilePool::~HostFilePool() {
  while (newest_ != nullptr) Remove(*newest_);
}

void HostFilePool::Touch(HostFileHolder& holder) {
  if (newest_ != &holder) {
    if (holder.pool_ != nullptr) Remove(holder);
    holder.pool_ = this;
    holder.older_ = newest_;
    (newest_ != nullptr ? newest_->newer_ : oldest_) = &holder;
    newest_ = &holder;
  }
  if (open_ > limit_) Trim();
}

void HostFilePool::Remove(HostFileHolder& holder) {
  (holder.newer_ != nullptr ? holder.newer_->older_ : newest_) = holder.older_;
  (holder.older_ != nullptr ? holder.older_->newer_ : oldest_) = holder.newer_;
  holder.newer_ = holder.older_ = nullptr;
  holder.pool_ = nullptr;
}

void HostFilePool::Trim() {
  // A holder that was looked at is out of the list until it is touched again: if it is in use it holds what it has, and its next open brings
  // it back.
  for (int i = 0; i < kTrimSteps && open_ > limit_ && oldest_ != nullptr && oldest_ != newest_; i++) {
    HostFileHolder& holder = *oldest_;
    Remove(holder);
    holder.DropIdleHostFiles();
  }
}

}  // namespace goferfs
