#include "vfs/socket.h"

#include "absl/container/flat_hash_map.h"
#include "base/event_loop.h"
#include "vfs/operations.h"
#include "vfs/simple_statfs.h"

namespace vfs {

namespace {

class SockFs : public FileSystem {
 public:
  SockFs() : FileSystem("sockfs", "sockfs") {}
  RefPtr<Inode> root() override { return nullptr; }
  Result<struct statfs> StatFs() override {
    return SimpleStatFs(0x534f434b);  // SOCKFS_MAGIC
  }
  static SockFs& Get() {
    static SockFs* fs = new SockFs;
    return *fs;
  }
};

class SocketInode : public Inode {
 public:
  explicit SocketInode(const Credentials& creds) : Inode(&SockFs::Get()) {
    attributes_.dev = fs_->dev();
    attributes_.ino = fs_->NextIno();
    attributes_.mode = S_IFSOCK | 0777;
    attributes_.uid = creds.fsuid;
    attributes_.gid = creds.fsgid;
    attributes_.atime = attributes_.mtime = attributes_.ctime = base::RealtimeNow();
  }
  uint64_t ino() const { return attributes_.ino; }
  Result<Attributes> Stat() override { return attributes_; }
  uint32_t type() const override { return S_IFSOCK; }
  Result<void> SetAttr(const SetAttributes& changes) override {
    if (changes.valid & SetAttributes::kSize) return Errno::kEINVAL;
    if (changes.valid & SetAttributes::kMode) attributes_.mode = S_IFSOCK | (changes.mode & 07777);
    if (changes.valid & SetAttributes::kUid) attributes_.uid = changes.uid;
    if (changes.valid & SetAttributes::kGid) attributes_.gid = changes.gid;
    attributes_.ctime = base::RealtimeNow();
    return {};
  }
  Result<RefPtr<FileDescription>> Open(const OpenOptions&, const Credentials&) override { return Errno::kENXIO; }

 private:
  Attributes attributes_;
};

using Families = absl::flat_hash_map<int, SocketFamily>;
Families& Registered() {
  static Families* families = new Families;
  return *families;
}

constexpr int kTypeMask = 0xf;
constexpr int kTypes = 11;      // SOCK_MAX
constexpr int kFamilies = 46;   // AF_MAX

Result<SocketFamily> Find(int family, int type) {
  if (((type & ~kTypeMask) & ~(SOCK_NONBLOCK | SOCK_CLOEXEC)) != 0) return Errno::kEINVAL;
  if (family < 0 || family >= kFamilies) return Errno::kEAFNOSUPPORT;
  if ((type & kTypeMask) >= kTypes) return Errno::kEINVAL;
  auto it = Registered().find(family);
  if (it == Registered().end()) return Errno::kEAFNOSUPPORT;
  return it->second;
}

int OpenFlags(int type) { return O_RDWR | ((type & SOCK_NONBLOCK) != 0 ? O_NONBLOCK : 0); }

}  // namespace

void RegisterSocketFamily(int family, SocketFamily functions) { Registered()[family] = functions; }

void InitSocket(Socket& socket, int flags, RefPtr<const Credentials> creds) {
  auto inode = MakeRef<SocketInode>(*creds);
  const std::string name = "socket:[" + std::to_string(inode->ino()) + "]";
  InitAnonymous(socket, name, inode, flags, std::move(creds));
}

std::string Socket::LinkName() { return std::string(path().dentry->name()); }

Result<RefPtr<Socket>> CreateSocket(int family, int type, int protocol, NetContext& net, RefPtr<const Credentials> creds) {
  const SocketFamily functions = TRY(Find(family, type));
  RefPtr<Socket> socket = TRY(functions.create({type & kTypeMask, protocol, net, creds}));
  InitSocket(*socket, OpenFlags(type), std::move(creds));
  return socket;
}

Result<SocketPair> CreateSocketPair(int family, int type, int protocol, NetContext& net, RefPtr<const Credentials> creds) {
  const SocketFamily functions = TRY(Find(family, type));
  if (functions.create_pair == nullptr) return Errno::kEOPNOTSUPP;
  SocketPair pair = TRY(functions.create_pair({type & kTypeMask, protocol, net, creds}));
  InitSocket(*pair.first, OpenFlags(type), creds);
  InitSocket(*pair.second, OpenFlags(type), std::move(creds));
  return pair;
}

Result<size_t> Socket::Read(const IoVec& to) {
  if (to.empty()) return size_t{0};
  ReceivedMessage message;
  return RecvMsg(to, 0, &message);
}

Result<size_t> Socket::Write(const IoVec& from) {
  // Without an address no name is looked up, so it does not matter from where.
  const WalkContext nowhere{};
  ControlMessages none;
  return SendMsg({nowhere}, from, nullptr, &none, 0);
}

// --- waiting ---

namespace {

int64_t DeadlineOf(int64_t timeout) {
  if (timeout == 0) return base::kNoDeadline;
  return base::MonotonicNow() + timeout;
}

// BlockUntil with the rules of sockets.
template <class T, class Attempt>
Result<T> Await(Socket& socket, EventMask mask, bool wait, int64_t timeout, Attempt attempt) {
  if (!wait) return attempt();
  RefPtr<Socket> keep(&socket);
  Result<T> result = base::BlockUntil<T>(*socket.wait_queue(), mask, DeadlineOf(timeout), attempt);
  if (!result.ok() && result.error() == Errno::kERESTARTSYS && timeout != 0) return Errno::kEINTR;
  return result;
}

}  // namespace

Result<RefPtr<Socket>> AcceptBlocking(Socket& socket, int flags, SocketAddress* peer) {
  if ((flags & ~(SOCK_NONBLOCK | SOCK_CLOEXEC)) != 0) return Errno::kEINVAL;
  return Await<RefPtr<Socket>>(socket, EPOLLIN, !socket.nonblocking(), socket.receive_timeout(),
                               [&] { return socket.Accept((flags & SOCK_NONBLOCK) != 0 ? O_NONBLOCK : 0, peer); });
}

Result<void> ConnectBlocking(Socket& socket, const SocketCaller& caller, const SocketAddress& address) {
  if (socket.nonblocking()) return socket.Connect(caller, address);
  // EINPROGRESS waits like EAGAIN; which of them it was shows again at the time-out.
  Errno pending = Errno::kEAGAIN;
  Result<void> result = Await<void>(socket, EPOLLOUT, true, socket.send_timeout(), [&]() -> Result<void> {
    Result<void> r = socket.Connect(caller, address);
    if (r.ok()) return r;
    if (r.error() == Errno::kEINPROGRESS || (r.error() == Errno::kEALREADY && pending == Errno::kEINPROGRESS)) {
      pending = Errno::kEINPROGRESS;
      return Errno::kEAGAIN;
    }
    return r;
  });
  if (!result.ok() && result.error() == Errno::kEAGAIN) return pending;
  return result;
}

Result<size_t> SendBlocking(Socket& socket, const SocketCaller& caller, const IoVec& data, const SocketAddress* to,
                            ControlMessages* control, int flags) {
  const bool wait = !socket.nonblocking() && (flags & MSG_DONTWAIT) == 0;
  ControlMessages none;
  if (control == nullptr) control = &none;
  size_t sent = 0;
  for (;;) {
    const IoVec& rest = sent == 0 ? data : data.Slice(sent, data.size() - sent);
    Result<size_t> n = Await<size_t>(socket, EPOLLOUT, wait, socket.send_timeout(),
                                     [&] { return socket.SendMsg(caller, rest, to, control, flags); });
    if (!n.ok()) return sent > 0 ? Result<size_t>(sent) : n;
    sent += *n;
    if (!socket.stream() || !wait || sent >= data.size()) return sent;
  }
}

Result<size_t> ReceiveBlocking(Socket& socket, const IoVec& to, int flags, ReceivedMessage* message) {
  const bool wait = !socket.nonblocking() && (flags & (MSG_DONTWAIT | MSG_ERRQUEUE)) == 0;
  auto receive = [&](const IoVec& part, ReceivedMessage* into) {
    return Await<size_t>(socket, EPOLLIN, wait, socket.receive_timeout(), [&] { return socket.RecvMsg(part, flags, into); });
  };
  Result<size_t> first = receive(to, message);
  if (!first.ok() || !wait || !socket.stream() || (flags & MSG_WAITALL) == 0 || (flags & MSG_PEEK) != 0) return first;
  size_t got = *first;
  // Ancillary data ends a receive, as does the end of the stream.
  while (got > 0 && got < to.size() && message->control.rights.empty()) {
    ReceivedMessage next;
    Result<size_t> n = receive(to.Slice(got, to.size() - got), &next);
    if (!n.ok() || *n == 0) break;
    got += *n;
    message->control.rights = std::move(next.control.rights);
    message->flags |= next.flags;
  }
  return got;
}

}  // namespace vfs
