#include "syscalls/control_message.h"

#include "sentry/kernel/kernel.h"

namespace syscalls {

using kernel::Task;

namespace {

Result<vfs::SocketCredentials> ClaimCredentials(Task& task, const ucred& claimed) {
  const Credentials& creds = *task.creds();
  uid_t uid = creds.user_ns->UidToKernel(claimed.uid);
  gid_t gid = creds.user_ns->GidToKernel(claimed.gid);
  if (uid == UINT32_MAX || gid == UINT32_MAX) return Errno::kEINVAL;
  bool own_uid = uid == creds.ruid || uid == creds.euid || uid == creds.suid;
  bool own_gid = gid == creds.rgid || gid == creds.egid || gid == creds.sgid;
  if (claimed.pid != task.tgid() && !creds.Has(CAP_SYS_ADMIN)) return Errno::kEPERM;
  if ((!own_uid && !creds.Has(CAP_SETUID)) || (!own_gid && !creds.Has(CAP_SETGID))) return Errno::kEPERM;
  // On the wire the number is that of the root namespace.
  kernel::ThreadGroup* group = task.pid_ns()->FindThreadGroup(claimed.pid);
  if (group == nullptr) return Errno::kESRCH;
  return vfs::SocketCredentials{.pid = group->tgid(*task.kernel().pid_ns), .uid = uid, .gid = gid};
}

}  // namespace

ucred ToUcred(Task& task, const vfs::SocketCredentials& credentials) {
  ucred out{.pid = 0, .uid = UINT32_MAX, .gid = UINT32_MAX};
  if (Task* peer = task.kernel().pid_ns->FindTask(credentials.pid)) out.pid = peer->thread_group().tgid(*task.pid_ns());
  else if (task.pid_ns() == task.kernel().pid_ns) out.pid = credentials.pid;
  if (credentials.uid != UINT32_MAX) {
    uid_t uid = task.creds()->user_ns->UidFromKernel(credentials.uid);
    out.uid = uid == UINT32_MAX ? 65534 : uid;
  }
  if (credentials.gid != UINT32_MAX) {
    gid_t gid = task.creds()->user_ns->GidFromKernel(credentials.gid);
    out.gid = gid == UINT32_MAX ? 65534 : gid;
  }
  return out;
}

Result<vfs::ControlMessages> ReadControl(Task& task, UserAddress address, size_t length) {
  vfs::ControlMessages control;
  if (address == 0 || length == 0) return control;
  if (length > 65536) return Errno::kENOBUFS;
  std::string bytes(length, 0);
  TRY(task.mm().CopyIn(bytes.data(), address, length));
  for (size_t at = 0; at + sizeof(cmsghdr) <= length;) {
    cmsghdr header;
    memcpy(&header, bytes.data() + at, sizeof header);
    if (header.cmsg_len < sizeof header || header.cmsg_len > length - at) return Errno::kEINVAL;
    const char* data = bytes.data() + at + CMSG_LEN(0);
    size_t size = header.cmsg_len - CMSG_LEN(0);
    if (header.cmsg_level == SOL_SOCKET && header.cmsg_type == SCM_RIGHTS) {
      if (size / sizeof(int) + control.rights.size() > 253) return Errno::kEINVAL;
      for (size_t i = 0; i < size / sizeof(int); i++) {
        int fd;
        memcpy(&fd, data + i * sizeof(int), sizeof fd);
        control.rights.push_back(TRY(task.GetFile(fd)));
      }
    } else if (header.cmsg_level == SOL_SOCKET && header.cmsg_type == SCM_CREDENTIALS) {
      if (size != sizeof(ucred)) return Errno::kEINVAL;
      ucred claimed;
      memcpy(&claimed, data, sizeof claimed);
      control.credentials = TRY(ClaimCredentials(task, claimed));
    } else if (header.cmsg_level == SOL_SOCKET) {
      return Errno::kEINVAL;
    } else {
      control.others.push_back({.level = header.cmsg_level, .type = header.cmsg_type, .data = std::string(data, size)});
    }
    at += CMSG_ALIGN(header.cmsg_len);
  }
  return control;
}

Result<size_t> WriteControl(Task& task, vfs::ControlMessages& control, UserAddress address, size_t room, bool cloexec, int* flags) {
  size_t used = 0;
  // One message: its header and as much of `size` bytes as fits, or nothing.
  auto put = [&](int level, int type, const void* data, size_t size) -> Result<void> {
    if (room - used < CMSG_LEN(0)) {
      *flags |= MSG_CTRUNC;
      return {};
    }
    size_t fits = std::min(size, room - used - CMSG_LEN(0));
    if (fits < size) *flags |= MSG_CTRUNC;
    std::string bytes(CMSG_LEN(fits), 0);
    cmsghdr header{.cmsg_len = CMSG_LEN(fits), .cmsg_level = level, .cmsg_type = type};
    memcpy(bytes.data(), &header, sizeof header);
    memcpy(bytes.data() + CMSG_LEN(0), data, fits);
    TRY(task.mm().CopyOut(address + used, bytes.data(), bytes.size()));
    used = std::min(room, used + CMSG_SPACE(fits));
    return {};
  };
  for (const auto& other : control.others) TRY(put(other.level, other.type, other.data.data(), other.data.size()));
  if (control.credentials) {
    ucred peer = ToUcred(task, *control.credentials);
    TRY(put(SOL_SOCKET, SCM_CREDENTIALS, &peer, sizeof peer));
  }
  if (!control.rights.empty()) {
    size_t fit = room - used > CMSG_LEN(0) ? (room - used - CMSG_LEN(0)) / sizeof(int) : 0;
    if (fit < control.rights.size()) *flags |= MSG_CTRUNC;
    std::vector<int> fds;
    for (size_t i = 0; i < control.rights.size() && i < fit; i++) {
      Result<int> fd = task.InstallFd(std::move(control.rights[i]), cloexec);
      if (!fd.ok()) {
        *flags |= MSG_CTRUNC;
        break;
      }
      fds.push_back(*fd);
    }
    if (!fds.empty()) TRY(put(SOL_SOCKET, SCM_RIGHTS, fds.data(), fds.size() * sizeof(int)));
    control.rights.clear();
  }
  return used;
}

}  // namespace syscalls
