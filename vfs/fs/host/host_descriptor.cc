#include "vfs/fs/host/host_descriptor.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>

#include "base/event_loop.h"
#include "base/host.h"
#include "base/kernel_lock.h"

namespace hostfs_fd {

namespace {

// What a pipe or terminal that polls as writable takes without waiting.
constexpr size_t kSafeWrite = 4096;

EventMask PollNow(int fd, short events) {
  pollfd poll_fd = {.fd = fd, .events = events};
  return ::poll(&poll_fd, 1, 0) == 1 ? static_cast<EventMask>(poll_fd.revents) : 0;
}

int Count(const IoVec& iov) { return std::min(iov.count(), 1024); }  // IOV_MAX

msghdr Message(const IoVec& iov) {
  msghdr message = {};
  message.msg_iov = const_cast<iovec*>(iov.data());
  message.msg_iovlen = Count(iov);
  return message;
}

}  // namespace

Result<RefPtr<HostDescriptor>> HostDescriptor::Create(Fd fd) {
  struct stat stat;
  TRY(HOST(fstat(fd.get(), &stat)));
  auto descriptor = RefPtr<HostDescriptor>::Adopt(new HostDescriptor(std::move(fd)));
  descriptor->mode_ = stat.st_mode;
  descriptor->dev_ = stat.st_dev;
  descriptor->ino_ = stat.st_ino;
  descriptor->rdev_ = stat.st_rdev;
  descriptor->flags_ = TRY(HOST(fcntl(descriptor->fd(), F_GETFL))) & (O_ACCMODE | O_APPEND | O_NONBLOCK);
  termios terminal;
  if (S_ISFIFO(stat.st_mode)) {
    descriptor->type_ = Type::kStream;
  } else if (S_ISSOCK(stat.st_mode)) {
    descriptor->type_ = Type::kSocket;
  } else if (S_ISCHR(stat.st_mode) && tcgetattr(descriptor->fd(), &terminal) == 0) {
    descriptor->type_ = Type::kTerminal;
  }
  return descriptor;
}

HostDescriptor::~HostDescriptor() {
  if (watched_) base::EventLoop::Get().Unwatch(fd());
}

Result<size_t> HostDescriptor::TryRead(const IoVec& to) {
  if (type_ == Type::kSocket) {
    msghdr message = Message(to);
    return static_cast<size_t>(TRY(HOST_RETRY(recvmsg(fd(), &message, MSG_DONTWAIT))));
  }
  if (nowait_) {
    Result<ssize_t> n = HOST_RETRY(preadv2(fd(), to.data(), Count(to), -1, RWF_NOWAIT));
    if (n.ok()) return static_cast<size_t>(*n);
    if (n.error() != Errno::kEOPNOTSUPP) return n.error();
    nowait_ = false;
  }
  if ((PollNow(fd(), POLLIN) & (POLLIN | POLLHUP | POLLERR)) == 0) return Errno::kEAGAIN;
  // Somebody else may take the data before we do; then this host thread waits, but not the Sentry.
  KernelLock::Unlocked unlocked;
  return static_cast<size_t>(TRY(HOST_RETRY(readv(fd(), to.data(), Count(to)))));
}

Result<size_t> HostDescriptor::TryWrite(const IoVec& from) {
  if (type_ == Type::kSocket) {
    msghdr message = Message(from);
    return static_cast<size_t>(TRY(HOST_RETRY(sendmsg(fd(), &message, MSG_DONTWAIT | MSG_NOSIGNAL))));
  }
  if (nowait_) {
    Result<ssize_t> n = HOST_RETRY(pwritev2(fd(), from.data(), Count(from), -1, RWF_NOWAIT));
    if (n.ok()) return static_cast<size_t>(*n);
    if (n.error() != Errno::kEOPNOTSUPP) return n.error();
    nowait_ = false;
  }
  if ((PollNow(fd(), POLLOUT) & (POLLOUT | POLLHUP | POLLERR)) == 0) return Errno::kEAGAIN;
  const IoVec part = from.Slice(0, kSafeWrite);
  KernelLock::Unlocked unlocked;
  return static_cast<size_t>(TRY(HOST_RETRY(writev(fd(), part.data(), Count(part)))));
}

Result<size_t> HostDescriptor::Read(const IoVec& to) {
  if (to.empty()) return size_t{0};
  RefPtr<HostDescriptor> keep(this);
  if (!waits()) {
    KernelLock::Unlocked unlocked;
    return static_cast<size_t>(TRY(HOST_RETRY(readv(fd(), to.data(), Count(to)))));
  }
  Result<size_t> n = TryRead(to);
  // A short count means empty to those who wait for the next edge.
  if (n.ok() ? *n > 0 && *n < to.size() : n.error() == Errno::kEAGAIN) Arm(EPOLLIN);
  return n;
}

Result<size_t> HostDescriptor::Write(const IoVec& from, int rwf_flags) {
  if (from.empty()) return size_t{0};
  RefPtr<HostDescriptor> keep(this);
  if (!waits()) {
    KernelLock::Unlocked unlocked;
    if (rwf_flags == 0) return static_cast<size_t>(TRY(HOST_RETRY(writev(fd(), from.data(), Count(from)))));
    return static_cast<size_t>(TRY(HOST_RETRY(pwritev2(fd(), from.data(), Count(from), -1, rwf_flags))));
  }
  Result<size_t> n = TryWrite(from);
  if (n.ok() ? *n < from.size() : n.error() == Errno::kEAGAIN) Arm(EPOLLOUT);
  return n;
}

EventMask HostDescriptor::Readiness() {
  if (!waits()) return EPOLLIN | EPOLLOUT;
  const int access = flags_ & O_ACCMODE;
  EventMask wanted = EPOLLPRI | EPOLLRDHUP;
  if (access != O_WRONLY) wanted |= EPOLLIN;
  if (access != O_RDONLY) wanted |= EPOLLOUT;
  const EventMask events = PollNow(fd(), static_cast<short>(wanted));
  const EventMask missing = wanted & ~events & (EPOLLIN | EPOLLOUT);
  if (missing != 0 && (events & (EPOLLHUP | EPOLLERR)) == 0) Arm(missing);
  return events;
}

void HostDescriptor::Arm(EventMask events) {
  if (queue.empty() || (events & ~armed_) == 0) return;
  armed_ |= events;
  base::EventLoop& loop = base::EventLoop::Get();
  const uint32_t host_events = armed_ | EPOLLONESHOT;
  if (watched_) {
    CHECK_OK(loop.Modify(fd(), host_events));
    return;
  }
  watched_ = loop.Watch(fd(), host_events, [this](uint32_t e) { OnHostEvent(e); }).ok();
}

void HostDescriptor::OnHostEvent(EventMask events) {
  RefPtr<HostDescriptor> keep(this);
  const EventMask rest = armed_ & ~events;
  armed_ = 0;
  queue.Notify(events);
  if (rest != 0 && (events & (EPOLLHUP | EPOLLERR)) == 0) Arm(rest);
}

}  // namespace hostfs_fd
