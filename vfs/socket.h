#pragma once

// Sockets as the system call layer sees them, whatever the protocol: socket(7). A family (AF_UNIX, AF_INET...) derives from
// Socket and registers a factory.
//
// As with other files, operations never block on readiness: EAGAIN, and the caller waits on wait_queue(). The functions
// ...Blocking at the end do that waiting for a system call: time-outs (SO_RCVTIMEO, SO_SNDTIMEO), MSG_WAITALL, restart codes.

#include <sys/socket.h>

#include <array>
#include <cstring>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "vfs/file_description.h"
#include "vfs/path_walk.h"

namespace vfs {

// A sockaddr of any family, as bytes of the application's layout.
class SocketAddress {
 public:
  SocketAddress() = default;
  SocketAddress(const void* bytes, size_t length) : length_(static_cast<uint32_t>(length)) {
    memcpy(bytes_.data(), bytes, length);
  }
  static constexpr size_t kMaxLength = sizeof(sockaddr_storage);  // longer: EINVAL, by the caller

  uint16_t family() const {
    uint16_t family = AF_UNSPEC;
    if (length_ >= sizeof family) memcpy(&family, bytes_.data(), sizeof family);
    return family;
  }
  const char* data() const { return bytes_.data(); }
  size_t length() const { return length_; }
  template <class T>
  const T& As() const {
    static_assert(sizeof(T) <= kMaxLength);
    return *reinterpret_cast<const T*>(bytes_.data());
  }

 private:
  alignas(sockaddr_storage) std::array<char, kMaxLength> bytes_ = {};
  uint32_t length_ = 0;
};

// A process as socket peers see it. Ids are kernel ids; the pid is that of the root pid namespace. The system call layer
// translates to what the receiver may see (SCM_CREDENTIALS, SO_PEERCRED).
struct SocketCredentials {
  int32_t pid = 0;
  uid_t uid = UINT32_MAX;
  gid_t gid = UINT32_MAX;
  friend bool operator==(const SocketCredentials&, const SocketCredentials&) = default;
};

// Ancillary data, cmsg(3), parsed. The system call layer does the byte format, installs descriptors, and checks that a sender may
// claim the credentials it gives.
struct ControlMessages {
  std::vector<RefPtr<FileDescription>> rights;        // SCM_RIGHTS, at most SCM_MAX_FD = 253
  std::optional<SocketCredentials> credentials;       // SCM_CREDENTIALS
  struct Other {
    int level, type;
    std::string data;
  };
  std::vector<Other> others;  // anything else (IP_PKTINFO, SO_TIMESTAMP): the bytes behind the cmsghdr
  bool empty() const { return rights.empty() && !credentials && others.empty(); }
};

// Per network namespace: each family keeps what it has there (abstract names, a protocol stack). The kernel only makes and holds it.
class NetContext : public RefCounted {
 public:
  RefPtr<RefCounted>& family_state(int family) { return state_[family]; }

 private:
  std::map<int, RefPtr<RefCounted>> state_;
};

// Who makes a call that resolves path names.
struct SocketCaller {
  const WalkContext& walk;
  uint32_t umask = 0;
};

struct ReceivedMessage {
  SocketAddress from;  // length 0: none
  ControlMessages control;
  int flags = 0;       // MSG_TRUNC, MSG_EOR, MSG_OOB...
};

class Socket : public FileDescription {
 public:
  Socket(int family, int type, int protocol) : family_(family), type_(type), protocol_(protocol) {}

  int family() const { return family_; }
  int type() const { return type_; }  // SOCK_STREAM...
  int protocol() const { return protocol_; }
  // Nanoseconds that a blocking receive or accept, send or connect takes at most; 0: for ever.
  int64_t receive_timeout() const { return receive_timeout_; }
  int64_t send_timeout() const { return send_timeout_; }

  virtual Result<void> Bind(const SocketCaller& caller, const SocketAddress& address) = 0;
  virtual Result<void> Listen(const SocketCaller& caller, int backlog) = 0;
  // `flags`: O_NONBLOCK for the new socket, which was initialised. `peer` is filled with the other side's address.
  virtual Result<RefPtr<Socket>> Accept(int flags, SocketAddress* peer) = 0;
  // EAGAIN: not now, try again at EPOLLOUT. EINPROGRESS: under way; calling again at EPOLLOUT gives the outcome, EALREADY before.
  virtual Result<void> Connect(const SocketCaller& caller, const SocketAddress& address) = 0;
  virtual Result<SocketAddress> GetSockName() = 0;
  virtual Result<SocketAddress> GetPeerName() = 0;
  // `to` may be null. `control` is taken from when the call succeeds. EPIPE: the caller raises SIGPIPE unless MSG_NOSIGNAL (and only for
  // stream sockets). MSG_DONTWAIT and MSG_NOSIGNAL need no treatment here.
  virtual Result<size_t> SendMsg(const SocketCaller& caller, const IoVec& data, const SocketAddress* to,
                                 ControlMessages* control, int flags) = 0;
  // `flags`: MSG_PEEK, MSG_TRUNC, MSG_OOB, MSG_ERRQUEUE; MSG_CMSG_CLOEXEC, MSG_DONTWAIT and MSG_WAITALL are the caller's.
  virtual Result<size_t> RecvMsg(const IoVec& to, int flags, ReceivedMessage* message) = 0;
  virtual Result<void> Shutdown(int how) = 0;  // SHUT_RD...; else EINVAL
  // Values are the bytes of the application's layout; a getter's caller cuts them to the length that was asked for.
  // The defaults do SOL_SOCKET. SO_PEERCRED goes by PeerCredentials.
  virtual Result<std::string> GetSockOpt(int level, int name);
  virtual Result<void> SetSockOpt(const Credentials& creds, int level, int name, std::string_view value);
  virtual Result<SocketCredentials> PeerCredentials() { return SocketCredentials{}; }
  virtual bool listening() const { return false; }

  Socket* AsSocket() override { return this; }
  bool stream() const override { return type_ == SOCK_STREAM; }
  Result<size_t> Read(const IoVec& to) override;
  Result<size_t> Write(const IoVec& from) override;
  Result<int64_t> Seek(int64_t, int) override { return Errno::kESPIPE; }
  std::string LinkName() override;

  // How sockets learn who is calling (SO_PASSCRED, SO_PEERCRED, write(2)); set once by the kernel.
  static void SetCurrentCredentials(SocketCredentials (*current)()) { current_credentials_ = current; }
  static SocketCredentials CurrentCredentials() {
    return current_credentials_ != nullptr ? current_credentials_() : SocketCredentials{};
  }

 protected:
  // Error to be reported once by the next operation (SO_ERROR).
  virtual Errno TakeError() { return std::exchange(error_, Errno{}); }
  virtual void OnBufferSizeChanged() {}

  Errno error_{};
  int send_buffer_ = 212992, receive_buffer_ = 212992;
  int receive_low_water_ = 1;
  int64_t receive_timeout_ = 0, send_timeout_ = 0;
  bool reuse_address_ = false, reuse_port_ = false, broadcast_ = false, keep_alive_ = false, dont_route_ = false,
       oob_inline_ = false, pass_credentials_ = false, no_check_ = false, receive_queue_overflow_ = false;
  // SO_TIMESTAMP or SO_TIMESTAMPNS when on, else 0.
  int timestamps_ = 0;
  linger linger_ = {};
  int priority_ = 0, mark_ = 0, peek_offset_ = -1, incoming_cpu_ = -1, busy_poll_ = 0;
  std::string device_;  // SO_BINDTODEVICE

 private:
  Result<void> SetIntOption(const Credentials& creds, int name, int value);
  static inline SocketCredentials (*current_credentials_)() = nullptr;
  static inline uint64_t next_cookie_ = 1;
  const int family_, type_, protocol_;
  uint64_t cookie_ = 0;  // given when asked for
};

// --- families ---

struct SocketRequest {
  int type;       // without flags
  int protocol;
  NetContext& net;
  RefPtr<const Credentials> creds;
};
struct SocketPair {
  RefPtr<Socket> first, second;
};
struct SocketFamily {
  Result<RefPtr<Socket>> (*create)(const SocketRequest&) = nullptr;
  Result<SocketPair> (*create_pair)(const SocketRequest&) = nullptr;  // null: EOPNOTSUPP
};
// Once, at start-up.
void RegisterSocketFamily(int family, SocketFamily functions);

// socket(2), socketpair(2): `type` with SOCK_NONBLOCK and SOCK_CLOEXEC (the latter left to the caller). EAFNOSUPPORT, EINVAL, EPROTONOSUPPORT...
Result<RefPtr<Socket>> CreateSocket(int family, int type, int protocol, NetContext& net, RefPtr<const Credentials> creds);
Result<SocketPair> CreateSocketPair(int family, int type, int protocol, NetContext& net, RefPtr<const Credentials> creds);

// For families: gives a new socket (of accept) its inode on sockfs.
void InitSocket(Socket& socket, int flags, RefPtr<const Credentials> creds);

// --- whole system calls; they park the calling fiber ---
// They do not wait where the socket is O_NONBLOCK or `flags` has MSG_DONTWAIT. Interrupted: ERESTARTSYS, or EINTR where a
// time-out is set. `flags` of accept4(2): SOCK_NONBLOCK, SOCK_CLOEXEC (left to the caller), else EINVAL.
Result<RefPtr<Socket>> AcceptBlocking(Socket& socket, int flags, SocketAddress* peer);
Result<void> ConnectBlocking(Socket& socket, const SocketCaller& caller, const SocketAddress& address);
// A stream sends all, unless it fails in the middle. `control` may be null.
Result<size_t> SendBlocking(Socket& socket, const SocketCaller& caller, const IoVec& data, const SocketAddress* to,
                            ControlMessages* control, int flags);
Result<size_t> ReceiveBlocking(Socket& socket, const IoVec& to, int flags, ReceivedMessage* message);

}  // namespace vfs
