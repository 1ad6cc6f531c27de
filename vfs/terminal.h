#pragma once

// Terminals and the processes that they control. A terminal (a pseudo-terminal of devpts, or the host's terminal that a
// container was started on) does characters; sessions, process groups and signals are the kernel's. Each reaches the other
// through the two interfaces here.

#include "vfs/file_description.h"

namespace vfs {

// The kernel's side of one terminal: which session it controls and which process group is in the foreground. Implemented
// by sentry/kernel. The calling task is found by the kernel itself, from the fiber; where nobody implements this (tests),
// terminals act as if there were no job control.
class TerminalOwner : public RefCounted {
 public:
  // To the foreground process group, if there is one: SIGINT, SIGQUIT, SIGTSTP, SIGWINCH.
  virtual void SignalForeground(int signal) = 0;
  // The terminal hung up: SIGHUP and SIGCONT to the leader of its session, which has no controlling terminal from then on.
  virtual void HangUp() = 0;

  // open(2) without O_NOCTTY of a leader without a terminal makes it the controlling one.
  virtual void OnOpen(int flags) = 0;

  // Job control (tty_ioctl(4), "background process groups"): OK in the foreground or when this is not the caller's terminal. Else
  // SIGTTIN or SIGTTOU is sent to the caller's group and the result is ERESTARTSYS; EIO where the group is orphaned (or, for
  // kRead, ignores or blocks SIGTTIN); OK where a write or change is by a caller that ignores or blocks SIGTTOU.
  enum class Access { kRead, kWrite, kChange };
  virtual Result<void> CheckAccess(Access access) = 0;

  // ioctl_tty(2). `side` tells whether the caller went by the master of a pseudo-terminal, which exempts it from having to be
  // in the session for the two that only look. ENOTTY, EPERM, ESRCH, EINVAL.
  enum class Side { kTerminal, kMaster };
  virtual Result<void> SetControlling(bool steal, bool readable) = 0;      // TIOCSCTTY
  virtual Result<void> GiveUp() = 0;                                         // TIOCNOTTY
  virtual Result<int> ForegroundGroup(Side side) = 0;                        // TIOCGPGRP, as the caller's namespace numbers it
  virtual Result<void> SetForegroundGroup(Side side, int process_group) = 0; // TIOCSPGRP
  virtual Result<int> Session(Side side) = 0;                                // TIOCGSID
};

class Terminal : public RefCounted {
 public:
  // How the kernel makes the owner of a new terminal. The owner may keep the Terminal by raw pointer: the terminal holds it.
  static void SetOwnerFactory(RefPtr<TerminalOwner> (*factory)(Terminal&)) { owner_factory_ = factory; }

  // Its path in the container ("/dev/pts/0") where it did not get one by being opened; see devpts::Adopt.
  std::string name;

  // Null without a kernel.
  TerminalOwner* owner() {
    if (!owner_ && owner_factory_ != nullptr) owner_ = owner_factory_(*this);
    return owner_.get();
  }

  // For tty_nr in /proc/PID/stat.
  virtual uint64_t device() const = 0;
  // A description of the terminal for open(2) of /dev/tty; the caller calls Init. EIO when hung up.
  virtual Result<RefPtr<FileDescription>> Open(int flags) = 0;
  // vhangup(2), and the exit of the leader of its session: open descriptions read end of file and write EIO.
  virtual void Vhangup() = 0;

 protected:
  // The ioctls above, for any terminal; ENOTTY for others.
  Result<uint64_t> JobControlIoctl(uint32_t request, uint64_t argument, const IoctlContext& context,
                                   TerminalOwner::Side side, bool readable);
  Result<void> CheckAccess(TerminalOwner::Access access) {
    return owner() != nullptr ? owner()->CheckAccess(access) : Result<void>();
  }

 private:
  static inline RefPtr<TerminalOwner> (*owner_factory_)(Terminal&) = nullptr;
  RefPtr<TerminalOwner> owner_;
};

}  // namespace vfs
