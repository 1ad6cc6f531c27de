#pragma once

// The host's terminal that a container was started on, as a terminal of the sandbox. Characters, line editing and window
// size are the host's; sessions and process groups of the sandbox mean nothing to it and stay in the Sentry.

#include "vfs/fs/host/host_descriptor.h"
#include "vfs/terminal.h"

namespace hostfs_fd {

class HostTerminal final : public vfs::Terminal {
 public:
  // The terminal that `host` is a descriptor of: one object for all descriptors of one terminal, since a container's standard input
  // and output are mostly the same, and job control asks whether two files are on one terminal.
  static RefPtr<HostTerminal> Of(const RefPtr<HostDescriptor>& host);
  ~HostTerminal() override;

  uint64_t device() const override { return host_->rdev(); }
  Result<RefPtr<vfs::FileDescription>> Open(int flags) override;
  void Vhangup() override;
  // Descriptions opened before the last hang-up are dead.
  uint32_t hang_ups() const { return hang_ups_; }

  // What all its descriptions are of; null while there is none. Kept by the inode itself.
  vfs::Inode* inode = nullptr;

  // Job control before data moves.
  Result<void> BeforeRead();
  Result<void> BeforeWrite();
  // Of the host's terminal: TCGETS, TCSETS, TCSETSW, TCSETSF, TIOCGWINSZ, TIOCSWINSZ, with copied arguments; nothing else
  // gets there. Job control ioctls are answered here.
  Result<uint64_t> Ioctl(uint32_t request, uint64_t argument, const vfs::IoctlContext& context, bool readable);

 private:
  explicit HostTerminal(RefPtr<HostDescriptor> host) : host_(std::move(host)) {}

  const RefPtr<HostDescriptor> host_;
  uint32_t hang_ups_ = 0;
};

}  // namespace hostfs_fd
