// socket(2), bind(2), listen(2), accept(2), connect(2), send(2), recv(2), sendmmsg(2), getsockopt(2), shutdown(2),
// socketpair(2).

#include "vfs/socket.h"

#include "sentry/kernel/kernel.h"
#include "syscalls/control_message.h"
#include "syscalls/handlers.h"
#include "syscalls/io_util.h"
#include "syscalls/time_util.h"

namespace syscalls {

namespace {

// The socket behind a descriptor, with its description held.
struct SocketRef {
  RefPtr<vfs::FileDescription> file;
  vfs::Socket* operator->() const { return file->AsSocket(); }
  vfs::Socket& operator*() const { return *file->AsSocket(); }
};
Result<SocketRef> GetSocket(Task& task, int fd) {
  RefPtr<vfs::FileDescription> file = TRY(task.GetIoFile(fd));
  if (file->AsSocket() == nullptr) return Errno::kENOTSOCK;
  return SocketRef{std::move(file)};
}

Result<vfs::SocketAddress> ReadAddress(Task& task, UserAddress address, uint32_t length) {
  if (length > vfs::SocketAddress::kMaxLength) return Errno::kEINVAL;
  char bytes[vfs::SocketAddress::kMaxLength];
  TRY(task.mm().CopyIn(bytes, address, length));
  return vfs::SocketAddress(bytes, length);
}

// Writes an address as far as the caller's buffer goes and reports its true length.
Result<void> WriteAddress(Task& task, const vfs::SocketAddress& from, UserAddress address, UserAddress length_address) {
  if (address == 0) return {};
  int room = TRY(task.mm().Read<int>(length_address));
  if (room < 0) return Errno::kEINVAL;
  TRY(task.mm().CopyOut(address, from.data(), std::min(static_cast<size_t>(room), from.length())));
  return task.mm().Write<int>(length_address, static_cast<int>(from.length()));
}

vfs::NetContext& Net(Task& task) {
  RefPtr<RefCounted>& slot = task.namespaces.net->abstract_sockets;
  if (!slot) slot = MakeRef<vfs::NetContext>();
  return static_cast<vfs::NetContext&>(*slot);
}

void RaiseSigpipe(Task& task, const vfs::Socket& socket, Errno error, int flags) {
  if (error == Errno::kEPIPE && (flags & MSG_NOSIGNAL) == 0 && socket.type() == SOCK_STREAM) {
    task.SendSignal(kernel::MakeSignalInfo(SIGPIPE, SI_USER, task.tgid(), task.creds()->ruid));
  }
}

}  // namespace

Result<uint64_t> SysSocket(Task& task, int family, int type, int protocol) {
  RefPtr<vfs::Socket> socket = TRY(vfs::CreateSocket(family, type, protocol, Net(task), task.creds()));
  return static_cast<uint64_t>(TRY(task.InstallFd(std::move(socket), (type & SOCK_CLOEXEC) != 0)));
}

Result<uint64_t> SysSocketpair(Task& task, int family, int type, int protocol, UserAddress out) {
  vfs::SocketPair pair = TRY(vfs::CreateSocketPair(family, type, protocol, Net(task), task.creds()));
  TRY(InstallPair(task, std::move(pair.first), std::move(pair.second), (type & SOCK_CLOEXEC) != 0, out));
  return 0;
}

Result<uint64_t> SysBind(Task& task, FdArg fd, UserAddress address, uint32_t length) {
  SocketRef socket = TRY(GetSocket(task, fd));
  vfs::SocketAddress name = TRY(ReadAddress(task, address, length));
  vfs::WalkContext walk = task.WalkFromCwd();
  TRY(socket->Bind({.walk = walk, .umask = task.fs()->umask}, name));
  return 0;
}

Result<uint64_t> SysListen(Task& task, FdArg fd, int backlog) {
  SocketRef socket = TRY(GetSocket(task, fd));
  vfs::WalkContext walk = task.WalkFromCwd();
  TRY(socket->Listen({.walk = walk, .umask = task.fs()->umask}, backlog));
  return 0;
}

Result<uint64_t> SysAccept4(Task& task, FdArg fd, UserAddress address, UserAddress length, FlagsArg flags) {
  if ((flags.value & ~uint64_t{SOCK_NONBLOCK | SOCK_CLOEXEC}) != 0) return Errno::kEINVAL;
  SocketRef socket = TRY(GetSocket(task, fd));
  vfs::SocketAddress peer;
  RefPtr<vfs::Socket> accepted = TRY(vfs::AcceptBlocking(*socket, flags, &peer));
  TRY(WriteAddress(task, peer, address, length));
  return static_cast<uint64_t>(TRY(task.InstallFd(std::move(accepted), (flags & SOCK_CLOEXEC) != 0)));
}
Result<uint64_t> SysAccept(Task& task, FdArg fd, UserAddress address, UserAddress length) {
  return SysAccept4(task, fd, address, length, {0});
}

Result<uint64_t> SysConnect(Task& task, FdArg fd, UserAddress address, uint32_t length) {
  SocketRef socket = TRY(GetSocket(task, fd));
  vfs::SocketAddress name = TRY(ReadAddress(task, address, length));
  vfs::WalkContext walk = task.WalkFromCwd();
  TRY(vfs::ConnectBlocking(*socket, {.walk = walk, .umask = task.fs()->umask}, name));
  return 0;
}

Result<uint64_t> SysGetsockname(Task& task, FdArg fd, UserAddress address, UserAddress length) {
  SocketRef socket = TRY(GetSocket(task, fd));
  vfs::SocketAddress name = TRY(socket->GetSockName());
  TRY(task.mm().Read<int>(length));
  TRY(WriteAddress(task, name, address, length));
  return 0;
}
Result<uint64_t> SysGetpeername(Task& task, FdArg fd, UserAddress address, UserAddress length) {
  SocketRef socket = TRY(GetSocket(task, fd));
  vfs::SocketAddress name = TRY(socket->GetPeerName());
  TRY(task.mm().Read<int>(length));
  TRY(WriteAddress(task, name, address, length));
  return 0;
}

Result<uint64_t> SysShutdown(Task& task, FdArg fd, int how) {
  SocketRef socket = TRY(GetSocket(task, fd));
  TRY(socket->Shutdown(how));
  return 0;
}

Result<uint64_t> SysSetsockopt(Task& task, FdArg fd, int level, int name, UserAddress value, int length) {
  SocketRef socket = TRY(GetSocket(task, fd));
  if (length < 0 || static_cast<size_t>(length) > kPageSize) return Errno::kEINVAL;
  std::string bytes(static_cast<size_t>(length), 0);
  TRY(task.mm().CopyIn(bytes.data(), value, bytes.size()));
  TRY(socket->SetSockOpt(*task.creds(), level, name, bytes));
  return 0;
}

Result<uint64_t> SysGetsockopt(Task& task, FdArg fd, int level, int name, UserAddress value, UserAddress length) {
  SocketRef socket = TRY(GetSocket(task, fd));
  int room = TRY(task.mm().Read<int>(length));
  if (room < 0) return Errno::kEINVAL;
  std::string bytes;
  if (level == SOL_SOCKET && name == SO_PEERCRED) {
    ucred peer = ToUcred(task, TRY(socket->PeerCredentials()));
    bytes.assign(reinterpret_cast<const char*>(&peer), sizeof peer);
  } else {
    bytes = TRY(socket->GetSockOpt(level, name));
  }
  size_t n = std::min(bytes.size(), static_cast<size_t>(room));
  TRY(task.mm().CopyOut(value, bytes.data(), n));
  TRY(task.mm().Write<int>(length, static_cast<int>(n)));
  return 0;
}

// --- sending ---

namespace {

Result<uint64_t> Send(Task& task, const SocketRef& socket, const UserRanges& ranges, const vfs::SocketAddress* to,
                      vfs::ControlMessages& control, int flags) {
  vfs::WalkContext walk = task.WalkFromCwd();
  mm::Pinned data;
  if (TotalSize(ranges) > 0) {
    data = TRY(task.mm().PinVector(ranges, false));
    if (data.size() < TotalSize(ranges)) return Errno::kEFAULT;
  }
  Result<size_t> sent = vfs::SendBlocking(*socket, {.walk = walk, .umask = task.fs()->umask}, data.io(), to, &control, flags);
  if (!sent.ok()) {
    RaiseSigpipe(task, *socket, sent.error(), flags);
    return sent.error();
  }
  return static_cast<uint64_t>(*sent);
}

// Where read(2) and write(2) say EINVAL, messages of too many pieces are too long.
Result<UserRanges> ReadMessageIovecs(Task& task, const msghdr& message) {
  if (message.msg_iovlen > IOV_MAX) return Errno::kEMSGSIZE;
  return ReadIovecs(task, reinterpret_cast<UserAddress>(message.msg_iov), message.msg_iovlen);
}

Result<uint64_t> SendOne(Task& task, const SocketRef& socket, const msghdr& message, int flags) {
  UserRanges ranges = TRY(ReadMessageIovecs(task, message));
  vfs::SocketAddress to;
  bool named = message.msg_name != nullptr && message.msg_namelen > 0;
  if (named) to = TRY(ReadAddress(task, reinterpret_cast<UserAddress>(message.msg_name), std::min<uint32_t>(message.msg_namelen, vfs::SocketAddress::kMaxLength)));
  vfs::ControlMessages control = TRY(ReadControl(task, reinterpret_cast<UserAddress>(message.msg_control), message.msg_controllen));
  return Send(task, socket, ranges, named ? &to : nullptr, control, flags);
}

}  // namespace

Result<uint64_t> SysSendto(Task& task, FdArg fd, UserAddress buffer, size_t size, FlagsArg flags, UserAddress address, uint32_t length) {
  SocketRef socket = TRY(GetSocket(task, fd));
  vfs::SocketAddress to;
  if (address != 0) to = TRY(ReadAddress(task, address, length));
  vfs::ControlMessages none;
  return Send(task, socket, {{buffer, std::min(size, kMaxTransfer)}}, address != 0 ? &to : nullptr, none, flags);
}

Result<uint64_t> SysSendmsg(Task& task, FdArg fd, InArg<msghdr> message, FlagsArg flags) {
  SocketRef socket = TRY(GetSocket(task, fd));
  return SendOne(task, socket, TRY(message.Read(task)), flags);
}

Result<uint64_t> SysSendmmsg(Task& task, FdArg fd, UserAddress messages, uint32_t count, FlagsArg flags) {
  SocketRef socket = TRY(GetSocket(task, fd));
  count = std::min<uint32_t>(count, IOV_MAX);
  for (uint32_t i = 0; i < count; i++) {
    UserAddress at = messages + i * sizeof(mmsghdr);
    Result<mmsghdr> message = task.mm().Read<mmsghdr>(at);
    Result<uint64_t> sent = message.ok() ? SendOne(task, socket, message->msg_hdr, flags) : Result<uint64_t>(message.error());
    if (sent.ok()) {
      Result<void> written = task.mm().Write<uint32_t>(at + offsetof(mmsghdr, msg_len), static_cast<uint32_t>(*sent));
      if (written.ok()) continue;
      sent = written.error();
    }
    if (i > 0) return uint64_t{i};
    return sent.error();
  }
  return uint64_t{count};
}

// --- receiving ---

namespace {

Result<uint64_t> Receive(Task& task, const SocketRef& socket, const UserRanges& ranges, int flags, vfs::ReceivedMessage* message) {
  mm::Pinned data;
  if (TotalSize(ranges) > 0) data = TRY(task.mm().PinVector(ranges, true));
  return static_cast<uint64_t>(TRY(vfs::ReceiveBlocking(*socket, data.io(), flags, message)));
}

Result<uint64_t> ReceiveOne(Task& task, const SocketRef& socket, UserAddress header, int flags) {
  msghdr message = TRY(task.mm().Read<msghdr>(header));
  UserRanges ranges = TRY(ReadMessageIovecs(task, message));
  vfs::ReceivedMessage received;
  uint64_t size = TRY(Receive(task, socket, ranges, flags, &received));
  if (message.msg_name != nullptr) {
    size_t room = std::min<size_t>(message.msg_namelen, received.from.length());
    TRY(task.mm().CopyOut(reinterpret_cast<UserAddress>(message.msg_name), received.from.data(), room));
    TRY(task.mm().Write<uint32_t>(header + offsetof(msghdr, msg_namelen), static_cast<uint32_t>(received.from.length())));
  }
  int out_flags = received.flags | (flags & MSG_CMSG_CLOEXEC);
  size_t used = TRY(WriteControl(task, received.control, reinterpret_cast<UserAddress>(message.msg_control),
                                 message.msg_control != nullptr ? message.msg_controllen : 0, (flags & MSG_CMSG_CLOEXEC) != 0, &out_flags));
  TRY(task.mm().Write<size_t>(header + offsetof(msghdr, msg_controllen), used));
  TRY(task.mm().Write<int>(header + offsetof(msghdr, msg_flags), out_flags));
  return size;
}

}  // namespace

Result<uint64_t> SysRecvfrom(Task& task, FdArg fd, UserAddress buffer, size_t size, FlagsArg flags, UserAddress address, UserAddress length) {
  SocketRef socket = TRY(GetSocket(task, fd));
  vfs::ReceivedMessage received;
  uint64_t got = TRY(Receive(task, socket, {{buffer, std::min(size, kMaxTransfer)}}, flags, &received));
  TRY(WriteAddress(task, received.from, address, length));
  return got;
}

Result<uint64_t> SysRecvmsg(Task& task, FdArg fd, UserAddress message, FlagsArg flags) {
  SocketRef socket = TRY(GetSocket(task, fd));
  return ReceiveOne(task, socket, message, flags);
}

Result<uint64_t> SysRecvmmsg(Task& task, FdArg fd, UserAddress messages, uint32_t count, FlagsArg flags_arg, InArg<timespec> timeout) {
  SocketRef socket = TRY(GetSocket(task, fd));
  int flags = flags_arg;
  int64_t deadline = base::kNoDeadline;
  if (!timeout.null()) deadline = TRY(RelativeDeadline(TRY(timeout.Read(task))));
  count = std::min<uint32_t>(count, IOV_MAX);
  for (uint32_t i = 0; i < count; i++) {
    UserAddress at = messages + i * sizeof(mmsghdr);
    Result<uint64_t> got = ReceiveOne(task, socket, at, flags & ~MSG_WAITFORONE);
    if (got.ok()) {
      Result<void> written = task.mm().Write<uint32_t>(at + offsetof(mmsghdr, msg_len), static_cast<uint32_t>(*got));
      if (!written.ok()) got = written.error();
    }
    if (!got.ok()) {
      if (i > 0) return uint64_t{i};
      return got.error();
    }
    if ((flags & MSG_WAITFORONE) != 0) flags |= MSG_DONTWAIT;
    // recvmmsg(2), BUGS: the time-out is looked at after each message only.
    if (base::MonotonicNow() >= deadline) return uint64_t{i} + 1;
  }
  return uint64_t{count};
}

}  // namespace syscalls
