#pragma once

// signalfd(2). The signals are those of whoever reads or polls, as in Linux, not of the creator: the kernel says who that is.

#include <sys/signalfd.h>

#include "vfs/file_description.h"
#include "vfs/signal_source.h"

namespace anonfs {

class SignalFile final : public vfs::FileDescription {
 public:
  static inline char kKind;
  explicit SignalFile(uint64_t mask) { SetMask(mask); }

  void SetMask(uint64_t mask);

  const void* kind() const override { return &kKind; }
  Result<size_t> Read(const IoVec& to) override;
  Result<size_t> Write(const IoVec&) override { return Errno::kEINVAL; }
  Result<int64_t> Seek(int64_t, int) override { return 0; }  // accepted without effect
  EventMask Readiness() override;
  WaitQueue* wait_queue() override;
  std::string FdInfo() override;
  std::string LinkName() override { return "anon_inode:[signalfd]"; }

 private:
  uint64_t mask_ = 0;
  WaitQueue nobody_;  // for pollers outside any task
};

// What signalfd reads give for `info`.
signalfd_siginfo ToSignalfdInfo(const siginfo_t& info);

// `flags`: SFD_CLOEXEC (left to the caller), SFD_NONBLOCK; else EINVAL. For an existing descriptor: FileAs<SignalFile>
// (EINVAL where it is null) and SetMask.
Result<RefPtr<vfs::FileDescription>> CreateSignal(uint64_t mask, int flags, RefPtr<const Credentials> creds);

}  // namespace anonfs
