#pragma once

// AF_UNIX sockets, unix(7). A connected socket puts its messages straight into the receive queue of the other. Connections
// and names hold the other's Anchor, never the socket.
// Under the kernel lock.

#include <deque>

#include "vfs/fs/sock/message.h"
#include "vfs/fs/sock/unix_names.h"
#include "vfs/socket.h"

namespace unix_socket {

class UnixSocket final : public vfs::Socket {
 public:
  static inline char kKind;
  UnixSocket(int type, vfs::NetContext& net);
  ~UnixSocket() override;

  const void* kind() const override { return &kKind; }

  Result<void> Bind(const vfs::SocketCaller& caller, const vfs::SocketAddress& address) override;
  Result<void> Listen(const vfs::SocketCaller& caller, int backlog) override;
  Result<RefPtr<vfs::Socket>> Accept(int flags, vfs::SocketAddress* peer) override;
  Result<void> Connect(const vfs::SocketCaller& caller, const vfs::SocketAddress& address) override;
  Result<vfs::SocketAddress> GetSockName() override;
  Result<vfs::SocketAddress> GetPeerName() override;
  Result<size_t> SendMsg(const vfs::SocketCaller& caller, const IoVec& data, const vfs::SocketAddress* to,
                         vfs::ControlMessages* control, int flags) override;
  Result<size_t> RecvMsg(const IoVec& to, int flags, vfs::ReceivedMessage* message) override;
  Result<void> Shutdown(int how) override;
  Result<vfs::SocketCredentials> PeerCredentials() override { return peer_credentials_; }
  bool listening() const override { return state_ == State::kListening; }

  EventMask Readiness() override;
  WaitQueue* wait_queue() override { return &queue_; }
  Result<void> OnClose() override;
  Result<uint64_t> Ioctl(uint32_t request, uint64_t argument, const vfs::IoctlContext& context) override;

  // Two sockets that are each other's peers.
  static void ConnectPair(UnixSocket& a, UnixSocket& b);

  // A message of ours was taken off a queue.
  void OnSpaceFreed();

  // For rights_cycle.cc.
  struct {
    int64_t in_flight = 0;  // references from messages
    int64_t outside = 0;
    bool candidate = false;
  } cycle;
  MessageQueue& messages() { return messages_; }
  const std::deque<RefPtr<UnixSocket>>& accept_queue() const { return accept_queue_; }
  template <class Visit>
  static void ForAll(Visit visit) {
    for (UnixSocket* socket = all_; socket != nullptr; socket = socket->next_) visit(*socket);
  }

 private:
  enum class State { kUnconnected, kListening, kConnected };
  enum ShutdownBits { kReceive = 1, kSend = 2 };

  // Tells our queue of EPOLLOUT when the socket that we wait for has room.
  struct RoomWaiter final : base::Waiter {
    explicit RoomWaiter(UnixSocket& of) : socket(of) {}
    void OnEvent(EventMask) override {
      Remove();
      socket.queue_.Notify(EPOLLOUT);
    }
    UnixSocket& socket;
  };

  bool connection_based() const { return type() != SOCK_DGRAM; }
  UnixSocket* peer() const { return peer_ ? peer_->socket : nullptr; }
  // The queue of waiting messages or connections is as long as it may be.
  bool BacklogFull() const {
    return (state_ == State::kListening ? accept_queue_.size() : messages_.count()) > static_cast<size_t>(backlog_);
  }
  bool HasSendSpace() const { return anchor_->in_flight * 4 <= static_cast<size_t>(send_buffer_); }
  // Whether a datagram from us has to wait for room at `to`.
  bool MustWaitFor(const UnixSocket& to) const { return &to != this && to.peer() != this && to.BacklogFull(); }
  void OnBufferSizeChanged() override { OnSpaceFreed(); }

  Result<void> AutoBind();
  Result<void> ConnectDatagram(const vfs::SocketCaller& caller, const vfs::SocketAddress& address);
  Result<void> ConnectStream(const vfs::SocketCaller& caller, const vfs::SocketAddress& address);
  void Disconnect();
  void OnPeerGone(bool lost_data);

  Result<size_t> SendStream(const IoVec& data, vfs::ControlMessages* control);
  Result<size_t> SendPacket(UnixSocket& to, const IoVec& data, vfs::ControlMessages* control);
  Result<Message::Ptr> MakeMessage(const IoVec& data, size_t offset, size_t size, vfs::ControlMessages* control);
  void Deliver(Message::Ptr message);

  Result<size_t> ReceiveStream(const IoVec& to, int flags, vfs::ReceivedMessage* out);
  Result<size_t> ReceivePacket(const IoVec& to, int flags, vfs::ReceivedMessage* out);
  Result<size_t> NothingToReceive();
  void FillFrom(const Message& message, vfs::ReceivedMessage* out) const;

  const RefPtr<vfs::NetContext> net_;
  const RefPtr<Anchor> anchor_;
  State state_ = State::kUnconnected;
  int shutdown_ = 0;
  bool embryo_ = false;  // waits to be accepted
  RefPtr<const Name> name_;
  std::string abstract_name_;
  bool abstract_ = false;
  RefPtr<Anchor> peer_;
  RefPtr<const Name> peer_name_;  // kept after the peer is gone
  vfs::SocketCredentials credentials_, peer_credentials_;  // of listen, connect or creation

  MessageQueue messages_;
  int backlog_ = 10;  // of a listener; for datagrams /proc/sys/net/unix/max_dgram_qlen
  std::deque<RefPtr<UnixSocket>> accept_queue_;
  WaitQueue queue_;
  WaitQueue room_;  // RoomWaiters of those whom our full backlog or queue keeps from connecting or sending
  RoomWaiter room_waiter_{*this};

  UnixSocket* previous_ = nullptr;  // all unix sockets
  UnixSocket* next_ = nullptr;
  static inline UnixSocket* all_ = nullptr;
};

// Registers AF_UNIX with vfs::RegisterSocketFamily. Once, at start-up.
void Register();

}  // namespace unix_socket
