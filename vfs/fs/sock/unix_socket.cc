#include "vfs/fs/sock/unix_socket.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>

#include <algorithm>

#include "vfs/fs/sock/rights_cycle.h"
#include "vfs/operations.h"

namespace unix_socket {

namespace {

constexpr int kMaxBacklog = 4096;  // /proc/sys/net/core/somaxconn

Result<int> UsableType(const vfs::SocketRequest& request) {
  if (request.protocol != 0 && request.protocol != AF_UNIX) return Errno::kEPROTONOSUPPORT;
  switch (request.type) {
    case SOCK_RAW:  // Linux: net/unix/af_unix.c unix_create(): believe it or not, BSD has it
      return int{SOCK_DGRAM};
    case SOCK_STREAM:
    case SOCK_DGRAM:
    case SOCK_SEQPACKET:
      return request.type;
    default:
      return Errno::kESOCKTNOSUPPORT;
  }
}

}  // namespace

void Register() {
  vfs::RegisterSocketFamily(
      AF_UNIX, {.create = [](const vfs::SocketRequest& request) -> Result<RefPtr<vfs::Socket>> {
                  return RefPtr<vfs::Socket>(MakeRef<UnixSocket>(TRY(UsableType(request)), request.net));
                },
                .create_pair = [](const vfs::SocketRequest& request) -> Result<vfs::SocketPair> {
                  const int type = TRY(UsableType(request));
                  auto first = MakeRef<UnixSocket>(type, request.net);
                  auto second = MakeRef<UnixSocket>(type, request.net);
                  UnixSocket::ConnectPair(*first, *second);
                  return vfs::SocketPair{first, second};
                }});
}

UnixSocket::UnixSocket(int type, vfs::NetContext& net)
    : Socket(AF_UNIX, type, 0), net_(&net), anchor_(MakeRef<Anchor>(this)) {
  next_ = all_;
  if (next_ != nullptr) next_->previous_ = this;
  all_ = this;
}

UnixSocket::~UnixSocket() {
  (previous_ != nullptr ? previous_->next_ : all_) = next_;
  if (next_ != nullptr) next_->previous_ = previous_;
  if (abstract_) AbstractNames::Of(*net_).Remove(abstract_name_);
  // From here on nobody finds this socket.
  anchor_->socket = nullptr;
  if (connection_based() && peer() != nullptr) {
    peer()->peer_name_ = name_;
    peer()->OnPeerGone(embryo_ || !messages_.empty());
  }
  accept_queue_.clear();
  messages_.Clear();
  room_.Notify(EPOLLOUT);
}

void UnixSocket::ConnectPair(UnixSocket& a, UnixSocket& b) {
  a.credentials_ = b.credentials_ = a.peer_credentials_ = b.peer_credentials_ = CurrentCredentials();
  a.peer_ = b.anchor_;
  b.peer_ = a.anchor_;
  a.state_ = b.state_ = State::kConnected;
}

void UnixSocket::OnPeerGone(bool lost_data) {
  shutdown_ = kReceive | kSend;
  if (lost_data) error_ = Errno::kECONNRESET;
  queue_.Notify(EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLHUP);
}

Result<void> UnixSocket::OnClose() {
  if (cycle.in_flight > 0) ScheduleCollection();
  return {};
}

// --- names ---

Result<void> UnixSocket::Bind(const vfs::SocketCaller& caller, const vfs::SocketAddress& address) {
  const ParsedAddress parsed = TRY(ParseAddress(address));
  if (parsed.kind == ParsedAddress::Kind::kUnnamed) return AutoBind();
  if (name_) return Errno::kEINVAL;
  if (parsed.kind == ParsedAddress::Kind::kAbstract) {
    TRY(AbstractNames::Of(*net_).Add(parsed.name, *anchor_));
    abstract_ = true;
    abstract_name_ = parsed.name;
    name_ = MakeRef<Name>(AbstractAddress(parsed.name));
    return {};
  }
  const vfs::Attributes own = TRY(Stat());
  Result<vfs::Path> place = vfs::MknodPath(caller.walk, parsed.name, S_IFSOCK | (own.mode & 0777 & ~caller.umask), 0);
  if (!place.ok()) return place.error() == Errno::kEEXIST ? Errno::kEADDRINUSE : place.error();
  place->inode().attached = anchor_;
  name_ = MakeRef<Name>(PathAddress(parsed.name));
  return {};
}

Result<void> UnixSocket::AutoBind() {
  if (name_) return {};
  AbstractNames& names = AbstractNames::Of(*net_);
  abstract_name_ = TRY(names.Choose());
  TRY(names.Add(abstract_name_, *anchor_));
  abstract_ = true;
  name_ = MakeRef<Name>(AbstractAddress(abstract_name_));
  return {};
}

Result<vfs::SocketAddress> UnixSocket::GetSockName() { return name_ ? name_->address : UnnamedAddress(); }

Result<vfs::SocketAddress> UnixSocket::GetPeerName() {
  if (!peer_ || state_ != State::kConnected) return Errno::kENOTCONN;
  const Name* name = peer() != nullptr ? peer()->name_.get() : peer_name_.get();
  return name != nullptr ? name->address : UnnamedAddress();
}

// --- connections ---

Result<void> UnixSocket::Listen(const vfs::SocketCaller&, int backlog) {
  if (!connection_based()) return Errno::kEOPNOTSUPP;
  if (!name_ || state_ == State::kConnected) return Errno::kEINVAL;
  backlog_ = static_cast<unsigned>(backlog) > kMaxBacklog ? kMaxBacklog : backlog;
  state_ = State::kListening;
  credentials_ = peer_credentials_ = CurrentCredentials();
  if (!BacklogFull()) room_.Notify(EPOLLOUT);
  return {};
}

Result<RefPtr<vfs::Socket>> UnixSocket::Accept(int flags, vfs::SocketAddress* peer) {
  if (!connection_based()) return Errno::kEOPNOTSUPP;
  if (state_ != State::kListening || (shutdown_ & kReceive) != 0) return Errno::kEINVAL;
  if (accept_queue_.empty()) return Errno::kEAGAIN;
  RefPtr<UnixSocket> accepted = std::move(accept_queue_.front());
  accept_queue_.pop_front();
  accepted->embryo_ = false;
  vfs::InitSocket(*accepted, O_RDWR | flags, creds());
  if (peer != nullptr) *peer = TRY(accepted->GetPeerName());
  if (!room_.empty() && !BacklogFull()) room_.Notify(EPOLLOUT);
  return RefPtr<vfs::Socket>(std::move(accepted));
}

Result<void> UnixSocket::Connect(const vfs::SocketCaller& caller, const vfs::SocketAddress& address) {
  if (address.length() < sizeof(sa_family_t)) return Errno::kEINVAL;
  return connection_based() ? ConnectStream(caller, address) : ConnectDatagram(caller, address);
}

Result<void> UnixSocket::ConnectStream(const vfs::SocketCaller& caller, const vfs::SocketAddress& address) {
  if (pass_credentials_ && !name_) TRY(AutoBind());
  RefPtr<UnixSocket> listener = TRY(FindByAddress(caller, *net_, address, type()));
  if (!listener->listening() || (listener->shutdown_ & kReceive) != 0) return Errno::kECONNREFUSED;
  // Before the state of this socket is looked at, as Linux does.
  if (listener->BacklogFull()) {
    if (state_ != State::kUnconnected) return state_ == State::kConnected ? Errno::kEISCONN : Errno::kEINVAL;
    listener->room_.Add(room_waiter_, EPOLLOUT);
    return Errno::kEAGAIN;
  }
  if (state_ == State::kConnected) return Errno::kEISCONN;
  if (state_ == State::kListening) return Errno::kEINVAL;

  auto other = MakeRef<UnixSocket>(type(), *listener->net_);
  other->embryo_ = true;
  other->name_ = listener->name_;
  other->peer_name_ = name_;
  other->peer_ = anchor_;
  other->state_ = state_ = State::kConnected;
  other->pass_credentials_ = listener->pass_credentials_;
  peer_ = other->anchor_;
  peer_name_ = listener->name_;
  credentials_ = other->peer_credentials_ = CurrentCredentials();
  peer_credentials_ = other->credentials_ = listener->credentials_;
  listener->accept_queue_.push_back(std::move(other));
  listener->queue_.Notify(EPOLLIN);
  queue_.Notify(EPOLLOUT);
  return {};
}

Result<void> UnixSocket::ConnectDatagram(const vfs::SocketCaller& caller, const vfs::SocketAddress& address) {
  if (address.family() == AF_UNSPEC) {
    Disconnect();
    return {};
  }
  if (pass_credentials_ && !name_) TRY(AutoBind());
  RefPtr<UnixSocket> other = TRY(FindByAddress(caller, *net_, address, type()));
  if (other->peer() != nullptr && other->peer() != this) return Errno::kEPERM;
  if (peer_ && peer_ != other->anchor_) Disconnect();
  peer_ = other->anchor_;
  state_ = State::kConnected;
  credentials_ = CurrentCredentials();
  queue_.Notify(EPOLLOUT);
  return {};
}

// A datagram socket lets go of its peer; what came from it is not for this socket any more.
void UnixSocket::Disconnect() {
  if (!peer_) return;
  UnixSocket* other = peer();
  peer_ = nullptr;
  state_ = State::kUnconnected;
  room_waiter_.Remove();
  if (!messages_.empty()) {
    messages_.Clear();
    if (other != nullptr && other->peer() == this) {
      other->error_ = Errno::kECONNRESET;
      other->queue_.Notify(EPOLLERR);
    }
  }
  queue_.Notify(EPOLLOUT);
}

Result<void> UnixSocket::Shutdown(int how) {
  if (how < SHUT_RD || how > SHUT_RDWR) return Errno::kEINVAL;
  const int bits = how + 1;  // SHUT_RD 0, SHUT_WR 1, SHUT_RDWR 2
  shutdown_ |= bits;
  EventMask events = EPOLLIN | EPOLLOUT | EPOLLRDHUP;
  UnixSocket* other = peer();
  if (other != nullptr && connection_based()) {
    int others = 0;
    if ((bits & kReceive) != 0) others |= kSend;
    if ((bits & kSend) != 0) others |= kReceive;
    other->shutdown_ |= others;
    const bool all = other->shutdown_ == (kReceive | kSend);
    other->queue_.Notify(all ? events | EPOLLHUP : events);
  }
  if (shutdown_ == (kReceive | kSend)) events |= EPOLLHUP;
  queue_.Notify(events);
  if (state_ == State::kListening) room_.Notify(EPOLLOUT);
  return {};
}

// --- readiness ---

void UnixSocket::OnSpaceFreed() {
  if (!queue_.empty() && HasSendSpace()) queue_.Notify(EPOLLOUT);
}

EventMask UnixSocket::Readiness() {
  EventMask events = 0;
  if (error_ != Errno{}) events |= EPOLLERR;
  if (shutdown_ == (kReceive | kSend)) events |= EPOLLHUP;
  if ((shutdown_ & kReceive) != 0) events |= EPOLLRDHUP | EPOLLIN;
  if (!messages_.empty() || !accept_queue_.empty()) events |= EPOLLIN;
  if (connection_based() && state_ == State::kUnconnected) events |= EPOLLHUP;
  if (state_ == State::kListening || !HasSendSpace()) return events;
  UnixSocket* other = connection_based() ? nullptr : peer();
  if (other != nullptr && MustWaitFor(*other)) {
    if (!room_waiter_.queued()) other->room_.Add(room_waiter_, EPOLLOUT);
    return events;
  }
  return events | EPOLLOUT;
}

Result<uint64_t> UnixSocket::Ioctl(uint32_t request, uint64_t argument, const vfs::IoctlContext& context) {
  int value;
  switch (request) {
    case SIOCINQ:  // FIONREAD
      if (state_ == State::kListening) return Errno::kEINVAL;
      // Of packets, the first one's size.
      value = stream() ? messages_.bytes() : messages_.empty() ? 0 : messages_.front()->size();
      break;
    case SIOCOUTQ:
      value = std::min<size_t>(anchor_->in_flight, INT32_MAX);
      break;
    default:
      return Errno::kENOTTY;
  }
  TRY(context.memory.Write(argument, value));
  return uint64_t{0};
}

}  // namespace unix_socket
