#include "platform/systrap/listener.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/utsname.h>

#include <cstdio>
#include <cstring>

#include "base/host.h"

#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (1UL << 0)
#endif

namespace platform::systrap {

bool Listener::SetSynchronousWakeUp() {
  return ioctl(fd_.get(), SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP) == 0;
}

namespace {

// Before Linux 6.11 a receiver is not told that all threads behind the listener are gone.
bool MustPoll() {
  static const bool must = [] {
    utsname name = {};
    int major = 0, minor = 0;
    if (uname(&name) != 0 || sscanf(name.release, "%d.%d", &major, &minor) != 2) return true;
    return major < 6 || (major == 6 && minor < 11);
  }();
  return must;
}

}  // namespace

void Listener::Probe() { (void)MustPoll(); }

short Listener::Poll(int timeout_ms) const {
  pollfd entry = {fd_.get(), POLLIN, 0};
  (void)poll(&entry, 1, timeout_ms);
  return entry.revents;
}

Result<void> Listener::Receive(seccomp_notif& notification) {
  for (;;) {
    if (MustPoll() && (Poll(-1) & POLLIN) == 0 && Dead()) return Errno::kENOENT;
    memset(&notification, 0, sizeof notification);
    Result<int> received = HOST(ioctl(fd_.get(), SECCOMP_IOCTL_NOTIF_RECV, &notification));
    if (received.ok()) return {};
    if (received.error() == Errno::kEINTR) continue;
    if (received.error() == Errno::kENOENT && !Dead()) continue;
    return Errno::kENOENT;
  }
}

void Listener::Send(uint64_t id, int64_t value, uint32_t flags) {
  seccomp_notif_resp response = {};
  response.id = id;
  response.val = value;
  response.flags = flags;
  (void)ioctl(fd_.get(), SECCOMP_IOCTL_NOTIF_SEND, &response);
}

Result<void> Listener::AddFd(uint64_t id, int fd, int target) {
  seccomp_notif_addfd request = {};
  request.id = id;
  request.srcfd = fd;
  request.newfd = target;
  request.flags = SECCOMP_ADDFD_FLAG_SETFD;
  request.newfd_flags = 0;
  TRY(HOST_RETRY(ioctl(fd_.get(), SECCOMP_IOCTL_NOTIF_ADDFD, &request)));
  return {};
}

}  // namespace platform::systrap
