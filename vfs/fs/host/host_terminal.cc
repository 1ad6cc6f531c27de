#include "vfs/fs/host/host_terminal.h"

#include <asm/termbits.h>
#include <signal.h>
#include <asm/ioctls.h>
#include <sys/ioctl.h>

#include <vector>

#include "base/host.h"
#include "base/kernel_lock.h"
#include "vfs/fs/host/host_file.h"
#include "vfs/operations.h"

namespace hostfs_fd {

namespace {
std::vector<HostTerminal*>& All() {
  static auto* all = new std::vector<HostTerminal*>;
  return *all;
}
}  // namespace

RefPtr<HostTerminal> HostTerminal::Of(const RefPtr<HostDescriptor>& host) {
  for (HostTerminal* terminal : All()) {
    const HostDescriptor& other = *terminal->host_;
    const bool same = other.dev() == host->dev() && other.ino() == host->ino() && other.rdev() == host->rdev();
    if (same && terminal->TryIncRef()) return RefPtr<HostTerminal>::Adopt(terminal);
  }
  auto terminal = RefPtr<HostTerminal>::Adopt(new HostTerminal(host));
  All().push_back(terminal.get());
  return terminal;
}

HostTerminal::~HostTerminal() { std::erase(All(), this); }

Result<RefPtr<vfs::FileDescription>> HostTerminal::Open(int) {
  return RefPtr<vfs::FileDescription>(MakeRef<HostFile>(host_, RefPtr<HostTerminal>(this)));
}

void HostTerminal::Vhangup() {
  // The host's terminal goes on; what is open here is not usable any more.
  hang_ups_++;
  host_->queue.Notify(EPOLLIN | EPOLLOUT | EPOLLHUP | EPOLLERR);
}

Result<void> HostTerminal::BeforeRead() { return CheckAccess(vfs::TerminalOwner::Access::kRead); }

Result<void> HostTerminal::BeforeWrite() {
  if (owner() == nullptr) return {};
  struct termios attributes;
  TRY(HOST(ioctl(host_->fd(), TCGETS, &attributes)));
  if ((attributes.c_lflag & TOSTOP) == 0) return {};
  return CheckAccess(vfs::TerminalOwner::Access::kWrite);
}

Result<uint64_t> HostTerminal::Ioctl(uint32_t request, uint64_t argument, const vfs::IoctlContext& context, bool readable) {
  switch (request) {
    case TCGETS: {
      struct termios attributes;
      TRY(HOST(ioctl(host_->fd(), TCGETS, &attributes)));
      TRY(context.memory.Write(argument, attributes));
      return uint64_t{0};
    }
    case TCSETS:
    case TCSETSW:
    case TCSETSF: {
      TRY(CheckAccess(vfs::TerminalOwner::Access::kChange));
      auto attributes = TRY(context.memory.Read<struct termios>(argument));
      // W and F wait until the output is on the line.
      RefPtr<HostDescriptor> host = host_;
      KernelLock::Unlocked unlocked;
      TRY(HOST_RETRY(ioctl(host->fd(), request, &attributes)));
      return uint64_t{0};
    }
    case TIOCGWINSZ: {
      winsize size;
      TRY(HOST(ioctl(host_->fd(), TIOCGWINSZ, &size)));
      TRY(context.memory.Write(argument, size));
      return uint64_t{0};
    }
    case TIOCSWINSZ: {
      auto size = TRY(context.memory.Read<winsize>(argument));
      winsize old = {};
      TRY(HOST(ioctl(host_->fd(), TIOCGWINSZ, &old)));
      TRY(HOST(ioctl(host_->fd(), TIOCSWINSZ, &size)));
      const bool changed = old.ws_row != size.ws_row || old.ws_col != size.ws_col;
      if (changed && owner() != nullptr) owner()->SignalForeground(SIGWINCH);
      return uint64_t{0};
    }
    default:
      return JobControlIoctl(request, argument, context, vfs::TerminalOwner::Side::kTerminal, readable);
  }
}

}  // namespace hostfs_fd
