#pragma once

// pidfd_open(2): a file that stands for a process.

#include "vfs/file_description.h"

namespace anonfs {

// The process; implemented by sentry/kernel, which gets back at its own class from PidFile::target().
class PidTarget : public RefCounted {
 public:
  virtual bool exited() const = 0;  // all threads ended
  virtual bool reaped() const = 0;  // and somebody waited for it
  // Told of EPOLLIN at the exit, of EPOLLHUP when reaped.
  virtual WaitQueue& exit_queue() = 0;
  // "Pid:\t12\nNSpid:\t12\n" as the reader of /proc sees it.
  virtual std::string FdInfo() const { return ""; }
};

class PidFile final : public vfs::FileDescription {
 public:
  static inline char kKind;
  explicit PidFile(RefPtr<PidTarget> target) : target_(std::move(target)) {}

  PidTarget& target() const { return *target_; }

  const void* kind() const override { return &kKind; }
  Result<size_t> Read(const IoVec&) override { return Errno::kEINVAL; }
  Result<size_t> Write(const IoVec&) override { return Errno::kEINVAL; }
  Result<int64_t> Seek(int64_t, int) override { return Errno::kESPIPE; }
  EventMask Readiness() override {
    if (!target_->exited()) return 0;
    return target_->reaped() ? EPOLLIN | EPOLLHUP : EPOLLIN;
  }
  WaitQueue* wait_queue() override { return &target_->exit_queue(); }
  std::string FdInfo() override { return target_->FdInfo(); }
  std::string LinkName() override { return "anon_inode:[pidfd]"; }

 private:
  const RefPtr<PidTarget> target_;
};

// `flags`: PIDFD_NONBLOCK (O_NONBLOCK); else EINVAL.
Result<RefPtr<vfs::FileDescription>> CreatePid(RefPtr<PidTarget> target, unsigned flags, RefPtr<const Credentials> creds);

}  // namespace anonfs
