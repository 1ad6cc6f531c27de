#pragma once

// eventfd(2): a 64-bit counter as a file.

#include "vfs/file_description.h"

namespace anonfs {

class EventFile final : public vfs::FileDescription {
 public:
  static inline char kKind;
  EventFile(uint64_t count, bool semaphore) : count_(count), semaphore_(semaphore), id_(next_id_++) {}

  // Adds to the counter as an in-Sentry user (aio), which never waits: it stops at the largest value.
  void Signal(uint64_t n = 1);

  const void* kind() const override { return &kKind; }
  Result<size_t> Read(const IoVec& to) override;
  Result<size_t> Write(const IoVec& from) override;
  Result<int64_t> Seek(int64_t, int) override { return 0; }  // accepted without effect
  EventMask Readiness() override;
  WaitQueue* wait_queue() override { return &queue_; }
  std::string FdInfo() override;
  std::string LinkName() override { return "anon_inode:[eventfd]"; }

 private:
  static inline int next_id_ = 0;
  uint64_t count_;
  const bool semaphore_;
  const int id_;
  WaitQueue queue_;
};

// `flags`: EFD_CLOEXEC (left to the caller), EFD_NONBLOCK, EFD_SEMAPHORE; else EINVAL.
Result<RefPtr<vfs::FileDescription>> CreateEvent(uint32_t initial, int flags, RefPtr<const Credentials> creds);

}  // namespace anonfs
