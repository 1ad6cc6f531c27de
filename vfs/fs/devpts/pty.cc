#include "vfs/fs/devpts/pty.h"

#include <signal.h>
#include <sys/sysmacros.h>
#include <termios.h>

#include <algorithm>

#include "vfs/fs/devpts/devpts.h"

namespace devpts {

Pty::Pty(RefPtr<DevptsFs> fs, unsigned index)
    : fs_(std::move(fs)), index_(index), read_timer_([this] {
        read_timed_out_ = true;
        slave_queue.Notify(EPOLLIN);
      }) {}

Pty::~Pty() = default;

uint64_t Pty::device() const { return makedev(kSlaveMajor, index_); }

Result<RefPtr<vfs::FileDescription>> Pty::Open(int flags) {
  if (locked_ || master_closed_) return Errno::kEIO;
  if (exclusive_ && slaves_ > 0) return Errno::kEBUSY;
  auto file = MakeRef<SlaveFile>(RefPtr<Pty>(this));
  if (owner() != nullptr && (flags & O_NOCTTY) == 0) owner()->OnOpen(flags);
  return RefPtr<vfs::FileDescription>(std::move(file));
}

void Pty::Vhangup() {
  hang_ups_++;
  discipline_.FlushInput();
  exclusive_ = false;
  discipline_.SetTermios(Termios::Default());
  slave_queue.Notify(EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP);
}

void Pty::MasterClosed() {
  RefPtr<Pty> keep(this);
  master_closed_ = true;
  fs_->Remove(index_);
  Vhangup();
  if (owner() != nullptr) owner()->HangUp();
}

void Pty::SlaveClosed() {
  if (--slaves_ > 0) return;
  slave_closed_ = true;
  exclusive_ = false;
  read_timer_.Cancel();
  master_queue.Notify(EPOLLIN | EPOLLHUP);
}

// --- line discipline's side ---

void Pty::Signal(int signal) {
  if (owner() != nullptr) owner()->SignalForeground(signal);
}

void Pty::FlushOutput() {
  // What the master's own buffer has taken has arrived, and stays.
  constexpr size_t kArrived = 4096;
  if (output_.size() > kArrived) output_.resize(kArrived);
  Report(TIOCPKT_FLUSHWRITE);
  slave_queue.Notify(EPOLLOUT);
}

void Pty::OnStopped(bool stopped) {
  // Only a program that does its own flow control is told: one that uses ^S and ^Q as its termios says.
  Report(stopped ? TIOCPKT_STOP : TIOCPKT_START);
  if (!stopped) slave_queue.Notify(EPOLLOUT);
}

void Pty::Report(uint8_t packet_status) {
  if (!packet_mode_) return;
  if (packet_status == TIOCPKT_STOP) packet_status_ &= ~TIOCPKT_START;
  if (packet_status == TIOCPKT_START) packet_status_ &= ~TIOCPKT_STOP;
  packet_status_ |= packet_status;
  master_queue.Notify(EPOLLIN | EPOLLPRI);
}

// --- master ---

Result<size_t> Pty::MasterRead(const IoVec& to) {
  if (to.empty()) return size_t{0};
  size_t header = 0;
  if (packet_mode_) {
    const uint8_t status = packet_status_;
    if (status == 0 && output_.empty()) return slave_closed_ ? Errno::kEIO : Errno::kEAGAIN;
    if (to.Write(0, &status, 1) < 1) return Errno::kEFAULT;
    packet_status_ = 0;
    header = 1;
    if (status != 0) return header;
  }
  if (output_.empty()) return slave_closed_ ? Errno::kEIO : Errno::kEAGAIN;
  const size_t size = to.Write(header, output_.data(), std::min(to.size() - header, output_.size()));
  if (size == 0 && to.size() > header) return Errno::kEFAULT;
  output_.erase(0, size);
  if (!slave_queue.empty()) slave_queue.Notify(EPOLLOUT);
  return header + size;
}

Result<size_t> Pty::MasterWrite(const IoVec& from) {
  size_t done = 0;
  const bool had_output = !output_.empty();
  while (done < from.size()) {
    char chunk[512];
    const size_t size = from.Read(done, chunk, std::min(from.size() - done, sizeof chunk));
    if (size == 0) {
      if (done == 0) return Errno::kEFAULT;
      break;
    }
    const size_t taken = discipline_.Type({chunk, size}, &output_);
    done += taken;
    if (taken < size) break;
  }
  if (done > 0 && !slave_queue.empty()) slave_queue.Notify(EPOLLIN);
  if (!output_.empty() && (!had_output || done > 0)) master_queue.Notify(EPOLLIN);  // the echo
  if (done == 0 && !from.empty()) return Errno::kEAGAIN;
  return done;
}

EventMask Pty::MasterReadiness() const {
  EventMask events = 0;
  if (!output_.empty()) events |= EPOLLIN;
  if (packet_mode_ && packet_status_ != 0) events |= EPOLLIN | EPOLLPRI;
  if (slave_closed_) events |= EPOLLHUP;
  if (discipline_.buffered() < 4096 || (discipline_.canonical() && discipline_.pending() == 0)) events |= EPOLLOUT;
  return events;
}

// --- slave ---

Result<size_t> Pty::SlaveRead(const IoVec& to, bool nonblocking) {
  TRY(CheckAccess(vfs::TerminalOwner::Access::kRead));
  if (to.empty()) return size_t{0};
  const bool timed_out = std::exchange(read_timed_out_, false);
  if (!discipline_.canonical()) {
    const size_t available = discipline_.buffered();
    const size_t minimum = discipline_.termios().cc[VMIN];
    const int64_t time = discipline_.termios().cc[VTIME] * int64_t{100'000'000};
    // termios(3), the four cases of noncanonical mode.
    const size_t wanted = nonblocking ? 1 : std::min(std::max<size_t>(minimum, 1), to.size());
    if (available < wanted && !(timed_out && (minimum == 0 || available > 0))) {
      if (minimum == 0 && time == 0) return size_t{0};
      if (nonblocking) return Errno::kEAGAIN;
      const bool starts = minimum == 0 ? !read_timer_.armed() : available > 0 && available != timed_size_;
      if (time > 0 && starts) read_timer_.Arm(base::MonotonicNow() + time);
      timed_size_ = available;
      return Errno::kEAGAIN;
    }
    read_timer_.Cancel();
    timed_size_ = 0;
    if (available == 0) return size_t{0};
  } else if (!discipline_.Readable(1)) {
    return Errno::kEAGAIN;
  }
  const bool was_full = discipline_.buffered() >= 4096;
  const std::string taken = discipline_.Take(to.size());
  if (was_full) master_queue.Notify(EPOLLOUT);
  if (to.Write(0, taken.data(), taken.size()) < taken.size()) return Errno::kEFAULT;
  return taken.size();
}

Result<size_t> Pty::SlaveWrite(const IoVec& from) {
  if ((discipline_.termios().lflag & TOSTOP) != 0) TRY(CheckAccess(vfs::TerminalOwner::Access::kWrite));
  if (from.empty()) return size_t{0};
  if (discipline_.stopped()) return Errno::kEAGAIN;
  size_t done = 0;
  while (done < from.size() && output_.size() < kOutputLimit) {
    char chunk[1024];
    const size_t size = from.Read(done, chunk, std::min(from.size() - done, sizeof chunk));
    if (size == 0) {
      if (done == 0) return Errno::kEFAULT;
      break;
    }
    discipline_.Print({chunk, size}, &output_);
    done += size;
  }
  if (done == 0) return Errno::kEAGAIN;
  if (!master_queue.empty()) master_queue.Notify(EPOLLIN);
  return done;
}

EventMask Pty::SlaveReadiness() const {
  EventMask events = 0;
  const Termios& t = discipline_.termios();
  if (discipline_.Readable(t.cc[VTIME] == 0 ? t.cc[VMIN] : 1)) events |= EPOLLIN;
  if (!discipline_.stopped() && output_.size() < kOutputLimit) events |= EPOLLOUT;
  return events;
}

}  // namespace devpts
