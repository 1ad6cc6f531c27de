#include "vfs/fs/anon/eventfd.h"

#include <fmt/format.h>
#include <sys/eventfd.h>

#include <algorithm>

#include "vfs/operations.h"

namespace anonfs {

void EventFile::Signal(uint64_t n) {
  count_ += std::min(n, UINT64_MAX - count_);
  queue_.Notify(EPOLLIN | (count_ == UINT64_MAX ? EventMask{EPOLLERR} : 0));
}

Result<size_t> EventFile::Read(const IoVec& to) {
  if (to.size() < sizeof count_) return Errno::kEINVAL;
  if (count_ == 0) return Errno::kEAGAIN;
  const uint64_t value = semaphore_ ? 1 : count_;
  count_ -= value;
  if (!queue_.empty()) queue_.Notify(EPOLLOUT);
  if (to.Write(0, &value, sizeof value) < sizeof value) return Errno::kEFAULT;
  return sizeof value;
}

Result<size_t> EventFile::Write(const IoVec& from) {
  uint64_t value;
  if (from.size() < sizeof value) return Errno::kEINVAL;
  if (from.Read(0, &value, sizeof value) < sizeof value) return Errno::kEFAULT;
  if (value == UINT64_MAX) return Errno::kEINVAL;
  // The counter never gets to its largest value by a write.
  if (UINT64_MAX - count_ <= value) return Errno::kEAGAIN;
  count_ += value;
  if (!queue_.empty()) queue_.Notify(EPOLLIN);
  return sizeof value;
}

EventMask EventFile::Readiness() {
  EventMask events = 0;
  if (count_ > 0) events |= EPOLLIN;
  if (count_ == UINT64_MAX) events |= EPOLLERR;
  if (count_ < UINT64_MAX - 1) events |= EPOLLOUT;
  return events;
}

std::string EventFile::FdInfo() {
  return fmt::format("eventfd-count: {:16x}\neventfd-id: {}\neventfd-semaphore: {}\n", count_, id_, semaphore_ ? 1 : 0);
}

Result<RefPtr<vfs::FileDescription>> CreateEvent(uint32_t initial, int flags, RefPtr<const Credentials> creds) {
  if ((flags & ~(EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE)) != 0) return Errno::kEINVAL;
  auto file = MakeRef<EventFile>(initial, (flags & EFD_SEMAPHORE) != 0);
  vfs::InitAnonymous(*file, "anon_inode:[eventfd]", 0600, O_RDWR | (flags & O_NONBLOCK), std::move(creds));
  return RefPtr<vfs::FileDescription>(std::move(file));
}

}  // namespace anonfs
