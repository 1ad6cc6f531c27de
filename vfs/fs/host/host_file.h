#pragma once

// An inherited host descriptor as an open file of the sandbox: a container's stdin, stdout and stderr.

#include <string>

#include "vfs/file_description.h"
#include "vfs/fs/host/host_descriptor.h"
#include "vfs/terminal.h"

namespace hostfs_fd {

class HostTerminal;

class HostFile final : public vfs::FileDescription {
 public:
  static inline char kKind;
  HostFile(RefPtr<HostDescriptor> host, RefPtr<HostTerminal> terminal);
  ~HostFile() override;

  const HostDescriptor& host() const { return *host_; }

  const void* kind() const override { return &kKind; }
  vfs::Terminal* AsTerminal() override;
  bool stream() const override { return host_->waits(); }
  Result<size_t> ReadAt(const IoVec& to, uint64_t offset, int rwf_flags) override;
  Result<size_t> WriteAt(const IoVec& from, uint64_t offset, int rwf_flags) override;
  Result<size_t> Read(const IoVec& to) override;
  Result<size_t> Write(const IoVec& from) override;
  Result<size_t> AppendWrite(const IoVec& from, uint64_t* end) override;
  Result<int64_t> Seek(int64_t offset, int whence) override;
  Result<void> Sync(bool data_only) override;
  EventMask Readiness() override;
  WaitQueue* wait_queue() override { return host_->waits() ? &host_->queue : nullptr; }
  Result<uint64_t> Ioctl(uint32_t request, uint64_t argument, const vfs::IoctlContext& context) override;
  std::string LinkName() override;

 private:
  bool hung_up() const;

  const RefPtr<HostDescriptor> host_;
  const RefPtr<HostTerminal> terminal_;  // null unless it is one
  const uint32_t opened_at_;             // its count of hang-ups
};

// Takes over `fd`. The file belongs to `creds`'s user, who may open it again through /proc/self/fd.
// Host calls: fstat, fcntl(F_GETFL), ioctl(TCGETS).
Result<RefPtr<vfs::FileDescription>> ImportHostFd(Fd fd, RefPtr<const Credentials> creds);

}  // namespace hostfs_fd
