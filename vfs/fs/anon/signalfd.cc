#include "vfs/fs/anon/signalfd.h"

#include <fmt/format.h>

#include "vfs/operations.h"

namespace anonfs {

namespace {

enum class Layout { kKill, kTimer, kPoll, kFault, kChild, kQueue, kSystemCall };

// Which of siginfo_t's variants holds. Linux: kernel/signal.c siginfo_layout().
Layout LayoutOf(int signal, int code) {
  if (code > SI_USER && code < SI_KERNEL) {
    switch (signal) {
      case SIGILL:
      case SIGFPE:
      case SIGSEGV:
      case SIGBUS:
      case SIGTRAP:
        return Layout::kFault;
      case SIGCHLD:
        return Layout::kChild;
      case SIGPOLL:
        return Layout::kPoll;
      case SIGSYS:
        return Layout::kSystemCall;
      default:
        return Layout::kKill;
    }
  }
  if (code == SI_TIMER) return Layout::kTimer;
  if (code == SI_SIGIO) return Layout::kPoll;
  if (code == SI_TKILL || code >= SI_USER) return Layout::kKill;
  return Layout::kQueue;
}

}  // namespace

signalfd_siginfo ToSignalfdInfo(const siginfo_t& info) {
  signalfd_siginfo out = {};
  out.ssi_signo = info.si_signo;
  out.ssi_errno = info.si_errno;
  out.ssi_code = info.si_code;
  switch (LayoutOf(info.si_signo, info.si_code)) {
    case Layout::kKill:
      out.ssi_pid = info.si_pid;
      out.ssi_uid = info.si_uid;
      break;
    case Layout::kTimer:
      out.ssi_tid = info.si_timerid;
      out.ssi_overrun = info.si_overrun;
      out.ssi_ptr = reinterpret_cast<uint64_t>(info.si_ptr);
      out.ssi_int = info.si_int;
      break;
    case Layout::kPoll:
      out.ssi_band = info.si_band;
      out.ssi_fd = info.si_fd;
      break;
    case Layout::kFault:
      out.ssi_addr = reinterpret_cast<uint64_t>(info.si_addr);
      if (info.si_signo == SIGBUS && (info.si_code == BUS_MCEERR_AR || info.si_code == BUS_MCEERR_AO)) {
        out.ssi_addr_lsb = info.si_addr_lsb;
      }
      break;
    case Layout::kChild:
      out.ssi_pid = info.si_pid;
      out.ssi_uid = info.si_uid;
      out.ssi_status = info.si_status;
      out.ssi_utime = info.si_utime;
      out.ssi_stime = info.si_stime;
      break;
    case Layout::kQueue:
      out.ssi_pid = info.si_pid;
      out.ssi_uid = info.si_uid;
      out.ssi_ptr = reinterpret_cast<uint64_t>(info.si_ptr);
      out.ssi_int = info.si_int;
      break;
    case Layout::kSystemCall:
      out.ssi_call_addr = reinterpret_cast<uint64_t>(info.si_call_addr);
      out.ssi_syscall = info.si_syscall;
      out.ssi_arch = info.si_arch;
      break;
  }
  return out;
}

void SignalFile::SetMask(uint64_t mask) {
  mask_ = mask & ~((uint64_t{1} << (SIGKILL - 1)) | (uint64_t{1} << (SIGSTOP - 1)));
  // Who waits for what the mask let in just now finds out.
  if (WaitQueue* queue = wait_queue()) queue->Notify(EPOLLIN);
}

Result<size_t> SignalFile::Read(const IoVec& to) {
  if (to.size() < sizeof(signalfd_siginfo)) return Errno::kEINVAL;
  vfs::SignalSource* source = vfs::SignalSource::Current();
  size_t done = 0;
  siginfo_t info;
  while (source != nullptr && to.size() - done >= sizeof(signalfd_siginfo) && source->DequeueSignal(mask_, &info)) {
    const signalfd_siginfo out = ToSignalfdInfo(info);
    if (to.Write(done, &out, sizeof out) < sizeof out) {
      if (done == 0) return Errno::kEFAULT;
      break;
    }
    done += sizeof out;
  }
  if (done == 0) return Errno::kEAGAIN;
  return done;
}

EventMask SignalFile::Readiness() {
  vfs::SignalSource* source = vfs::SignalSource::Current();
  return source != nullptr && source->HasPendingSignal(mask_) ? EventMask{EPOLLIN} : 0;
}

WaitQueue* SignalFile::wait_queue() {
  vfs::SignalSource* source = vfs::SignalSource::Current();
  return source != nullptr ? &source->signal_queue() : &nobody_;
}

std::string SignalFile::FdInfo() { return fmt::format("sigmask:\t{:016x}\n", mask_); }

Result<RefPtr<vfs::FileDescription>> CreateSignal(uint64_t mask, int flags, RefPtr<const Credentials> creds) {
  if ((flags & ~(SFD_CLOEXEC | SFD_NONBLOCK)) != 0) return Errno::kEINVAL;
  auto file = MakeRef<SignalFile>(mask);
  vfs::InitAnonymous(*file, "anon_inode:[signalfd]", 0600, O_RDWR | (flags & O_NONBLOCK), std::move(creds));
  return RefPtr<vfs::FileDescription>(std::move(file));
}

}  // namespace anonfs
