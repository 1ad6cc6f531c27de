// ioctl_tty(2) on both sides of a pseudo-terminal.

#include <signal.h>
#include <termios.h>

#include "base/kernel_lock.h"
#include "vfs/fs/devpts/devpts.h"
#include "vfs/fs/devpts/pty.h"

namespace devpts {

namespace {

// With struct termios2, which <termios.h> does not know.
constexpr uint32_t kTCGETS2 = _IOR('T', 0x2A, Termios), kTCSETS2 = _IOW('T', 0x2B, Termios),
                   kTCSETSW2 = _IOW('T', 0x2C, Termios), kTCSETSF2 = _IOW('T', 0x2D, Termios);

// The flags of c_cflag's speed bits: BOTHER says that ispeed and ospeed hold.
constexpr uint32_t kSpeedMask = 0010017, kOther = 0010000;

uint32_t SpeedOf(uint32_t cflag, uint32_t other) {
  constexpr uint32_t kLow[] = {0, 50, 75, 110, 134, 150, 200, 300, 600, 1200, 1800, 2400, 4800, 9600, 19200, 38400};
  constexpr uint32_t kHigh[] = {0, 57600, 115200, 230400, 460800, 500000, 576000, 921600, 1000000, 1152000, 1500000, 2000000,
                                2500000, 3000000, 3500000, 4000000};
  const uint32_t bits = cflag & kSpeedMask;
  if (bits == kOther) return other;
  return (bits & kOther) != 0 ? kHigh[bits & 017] : kLow[bits & 017];
}

Result<uint64_t> PutInt(const vfs::IoctlContext& context, uint64_t argument, int value) {
  TRY(context.memory.Write(argument, value));
  return uint64_t{0};
}

}  // namespace

Result<uint64_t> Pty::SetAttributes(uint32_t request, uint64_t argument, const vfs::IoctlContext& context, bool master) {
  if (!master) TRY(CheckAccess(vfs::TerminalOwner::Access::kChange));
  const bool with_speeds = request == kTCSETS2 || request == kTCSETSW2 || request == kTCSETSF2;
  Termios t = discipline_.termios();
  TRY(context.memory.CopyIn(&t, argument, with_speeds ? sizeof t : Termios::kShortSize));
  t.line = 0;
  t.ospeed = SpeedOf(t.cflag, t.ospeed);
  t.ispeed = SpeedOf((t.cflag >> 16) & kSpeedMask, with_speeds ? t.ispeed : t.ospeed);
  if (((t.cflag >> 16) & kSpeedMask) == 0) t.ispeed = t.ospeed;
  // A pseudo-terminal has eight bits and no line to hang up.
  t.cflag = (t.cflag & ~(CSIZE | PARENB)) | CS8 | CREAD;
  if (request == TCSETSF || request == kTCSETSF2) discipline_.FlushInput();
  const Termios old = discipline_.termios();
  discipline_.SetTermios(t);
  // Packet mode tells whether ^S and ^Q work as the keys of flow control.
  auto flow = [](const Termios& x) { return (x.iflag & IXON) != 0 && x.cc[VSTOP] == 023 && x.cc[VSTART] == 021; };
  if (flow(old) != flow(t)) Report(flow(t) ? TIOCPKT_DOSTOP : TIOCPKT_NOSTOP);
  if (((old.lflag ^ t.lflag) & EXTPROC) != 0) Report(TIOCPKT_IOCTL);
  slave_queue.Notify(EPOLLIN | EPOLLOUT);
  return uint64_t{0};
}

Result<uint64_t> Pty::SetWindowSize(uint64_t argument, const vfs::IoctlContext& context) {
  const auto size = TRY(context.memory.Read<winsize>(argument));
  const bool changed = size.ws_row != window_.ws_row || size.ws_col != window_.ws_col ||
                       size.ws_xpixel != window_.ws_xpixel || size.ws_ypixel != window_.ws_ypixel;
  window_ = size;
  if (changed) Signal(SIGWINCH);
  return uint64_t{0};
}

Result<void> Pty::Flush(int which, bool master) {
  if (which < TCIFLUSH || which > TCIOFLUSH) return Errno::kEINVAL;
  // The master's input is the slave's output.
  const bool slave_input = which == TCIOFLUSH || (which == TCIFLUSH) != master;
  const bool slave_output = which == TCIOFLUSH || (which == TCOFLUSH) != master;
  if (slave_input) {
    discipline_.FlushInput();
    Report(TIOCPKT_FLUSHREAD);
    master_queue.Notify(EPOLLOUT);
  }
  if (slave_output) FlushOutput();
  return {};
}

Result<uint64_t> Pty::CommonIoctl(uint32_t request, uint64_t argument, const vfs::IoctlContext& context, bool master) {
  switch (request) {
    case TCGETS:
      TRY(context.memory.CopyOut(argument, &discipline_.termios(), Termios::kShortSize));
      return uint64_t{0};
    case kTCGETS2:
      TRY(context.memory.CopyOut(argument, &discipline_.termios(), sizeof(Termios)));
      return uint64_t{0};
    case TCSETS:
    case TCSETSW:
    case TCSETSF:
    case kTCSETS2:
    case kTCSETSW2:
    case kTCSETSF2:
      return SetAttributes(request, argument, context, master);
    case TIOCGWINSZ:
      TRY(context.memory.Write(argument, window_));
      return uint64_t{0};
    case TIOCSWINSZ:
      return SetWindowSize(argument, context);
    case TCFLSH:
      if (!master) TRY(CheckAccess(vfs::TerminalOwner::Access::kChange));
      TRY(Flush(static_cast<int>(argument), master));
      return uint64_t{0};
    case TCSBRK:
    case TCSBRKP:
      if (!master) TRY(CheckAccess(vfs::TerminalOwner::Access::kChange));
      return uint64_t{0};  // there is no line to break, and output is with the master at once
    case TCXONC:
      if (!master) TRY(CheckAccess(vfs::TerminalOwner::Access::kChange));
      switch (argument) {
        case TCOOFF:
          discipline_.SetStopped(true);
          return uint64_t{0};
        case TCOON:
          discipline_.SetStopped(false);
          return uint64_t{0};
        case TCIOFF:
        case TCION: {
          const char c = static_cast<char>(discipline_.termios().cc[argument == TCIOFF ? VSTOP : VSTART]);
          if (c != 0) output_.push_back(c);
          master_queue.Notify(EPOLLIN);
          return uint64_t{0};
        }
        default:
          return Errno::kEINVAL;
      }
    case TIOCEXCL:
      exclusive_ = true;
      return uint64_t{0};
    case TIOCNXCL:
      exclusive_ = false;
      return uint64_t{0};
    case TIOCGEXCL:
      return PutInt(context, argument, exclusive_);
    case TIOCGETD:
      return PutInt(context, argument, 0);
    case TIOCSETD:
      if (TRY(context.memory.Read<int>(argument)) != 0) return Errno::kEINVAL;
      return uint64_t{0};
    case TIOCGDEV:
      return PutInt(context, argument, static_cast<int>(device()));
    case TIOCSTI:
      return Errno::kEIO;  // as with Linux's dev.tty.legacy_tiocsti = 0
    case TIOCSCTTY:
    case TIOCNOTTY:
    case TIOCGPGRP:
    case TIOCSPGRP:
    case TIOCGSID: {
      using Side = vfs::TerminalOwner::Side;
      return JobControlIoctl(request, argument, context, master ? Side::kMaster : Side::kTerminal, true);
    }
    default:
      return Errno::kENOTTY;
  }
}

Result<uint64_t> Pty::MasterIoctl(uint32_t request, uint64_t argument, const vfs::IoctlContext& context) {
  switch (request) {
    case TIOCGPTN:
      return PutInt(context, argument, static_cast<int>(index_));
    case TIOCSPTLCK:
      locked_ = TRY(context.memory.Read<int>(argument)) != 0;
      return uint64_t{0};
    case TIOCGPTLCK:
      return PutInt(context, argument, locked_);
    case TIOCPKT:
      packet_mode_ = TRY(context.memory.Read<int>(argument)) != 0;
      packet_status_ = 0;
      return uint64_t{0};
    case TIOCGPKT:
      return PutInt(context, argument, packet_mode_);
    case TIOCSIG:
      if (argument < 1 || argument > 64) return Errno::kEINVAL;
      Signal(static_cast<int>(argument));
      return uint64_t{0};
    case FIONREAD:
      return PutInt(context, argument, static_cast<int>(output_.size()));
    case TIOCOUTQ:
      return PutInt(context, argument, static_cast<int>(discipline_.buffered()));
    default:
      return CommonIoctl(request, argument, context, true);
  }
}

Result<uint64_t> Pty::SlaveIoctl(uint32_t request, uint64_t argument, const vfs::IoctlContext& context, bool readable) {
  switch (request) {
    case FIONREAD:
      return PutInt(context, argument, static_cast<int>(discipline_.pending()));
    case TIOCOUTQ:
      return PutInt(context, argument, 0);
    case TIOCVHANGUP:
      if (!context.creds.Has(CAP_SYS_ADMIN)) return Errno::kEPERM;
      Vhangup();
      return uint64_t{0};
    case TIOCSCTTY:
      return JobControlIoctl(request, argument, context, vfs::TerminalOwner::Side::kTerminal, readable);
    default:
      return CommonIoctl(request, argument, context, false);
  }
}

Result<uint64_t> SlaveFile::Ioctl(uint32_t request, uint64_t argument, const vfs::IoctlContext& context) {
  // Linux: drivers/tty/tty_io.c hung_up_tty_ioctl()
  if (hung_up()) return request == TIOCSPGRP ? Errno::kENOTTY : Errno::kEIO;
  return pty_->SlaveIoctl(request, argument, context, readable());
}

}  // namespace devpts
