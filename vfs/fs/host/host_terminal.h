#pragma once

// The host's terminal that a container was started on, as a terminal of the sandbox. Characters, line editing and window
// size are the host's; sessions and process groups of the sandbox mean nothing to it and stay in the Sentry.

#include "vfs/fs/host/host_descriptor.h"
#include "vfs/terminal.h"

namespace hostfs_fd {

class HostTerminal final : public vfs::Terminal {
 public:
  explicit HostTerminal(RefPtr<HostDescriptor> host) : host_(std::move(host)) {}

  uint64_t device() const override { return host_->rdev(); }
  Result<RefPtr<vfs::FileDescription>> Open(int flags) override;
  void Vhangup() override;
  bool hung_up() const { return hung_up_; }

  // Job control before data moves; EIO after a hang-up.
  Result<void> BeforeRead();
  Result<void> BeforeWrite();
  // Of the host's terminal: TCGETS, TCSETS, TCSETSW, TCSETSF, TIOCGWINSZ, TIOCSWINSZ, with copied arguments; nothing else
  // gets there. Job control ioctls are answered here.
  Result<uint64_t> Ioctl(uint32_t request, uint64_t argument, const vfs::IoctlContext& context, bool readable);

 private:
  const RefPtr<HostDescriptor> host_;
  bool hung_up_ = false;
};

}  // namespace hostfs_fd
