#include <algorithm>

#include "vfs/fs/sock/rights_cycle.h"
#include "vfs/fs/sock/unix_socket.h"

namespace unix_socket {

Result<size_t> UnixSocket::SendMsg(const vfs::SocketCaller& caller, const IoVec& data, const vfs::SocketAddress* to,
                                   vfs::ControlMessages* control, int flags) {
  if ((flags & MSG_OOB) != 0) return Errno::kEOPNOTSUPP;
  if (!control->rights.empty() && InFlight() + static_cast<int64_t>(control->rights.size()) > kMaxInFlight) {
    return Errno::kETOOMANYREFS;
  }
  switch (type()) {
    case SOCK_STREAM:
      if (to != nullptr && to->length() > 0) return state_ == State::kConnected ? Errno::kEISCONN : Errno::kEOPNOTSUPP;
      return SendStream(data, control);
    case SOCK_SEQPACKET: {
      if (error_ != Errno{}) return TakeError();
      if (state_ != State::kConnected) return Errno::kENOTCONN;
      // Where the peer has gone, so has our right to send.
      if ((shutdown_ & kSend) != 0 || peer() == nullptr) return Errno::kEPIPE;
      return SendPacket(*peer(), data, control);
    }
    default: {
      if (pass_credentials_ && !name_) TRY(AutoBind());
      RefPtr<UnixSocket> other;
      if (to != nullptr && to->length() > 0) {
        other = TRY(FindByAddress(caller, *net_, *to, type()));
      } else {
        if (!peer_) return Errno::kENOTCONN;
        if (peer() == nullptr) {
          Disconnect();
          return Errno::kECONNREFUSED;
        }
        other = RefPtr<UnixSocket>(peer());
      }
      return SendPacket(*other, data, control);
    }
  }
}

Result<Message::Ptr> UnixSocket::MakeMessage(const IoVec& data, size_t offset, size_t size, vfs::ControlMessages* control) {
  Message::Ptr message = TRY(Message::Create(anchor_, data, offset, size));
  message->credentials = control->credentials ? *control->credentials : CurrentCredentials();
  message->from = name_;
  if (!control->rights.empty()) message->SetRights(std::move(control->rights));
  control->rights.clear();
  return message;
}

void UnixSocket::Deliver(Message::Ptr message) {
  messages_.Push(std::move(message));
  if (!queue_.empty()) queue_.Notify(EPOLLIN);
}

Result<size_t> UnixSocket::SendStream(const IoVec& data, vfs::ControlMessages* control) {
  if (!peer_) return Errno::kENOTCONN;
  size_t sent = 0;
  while (sent < data.size()) {
    UnixSocket* other = peer();
    if ((shutdown_ & kSend) != 0 || other == nullptr || (other->shutdown_ & kReceive) != 0) {
      return sent > 0 ? Result<size_t>(sent) : Errno::kEPIPE;
    }
    if (error_ != Errno{} && sent == 0) return TakeError();
    if (anchor_->in_flight >= static_cast<size_t>(send_buffer_)) break;
    // In pieces, so that the reader can begin (and we be let go on) before all of a large write fits.
    constexpr size_t kLargest = 64 * 1024;
    const size_t size = std::min({data.size() - sent, static_cast<size_t>(send_buffer_) / 2 - 64, kLargest});
    Result<Message::Ptr> message = MakeMessage(data, sent, size, control);
    if (!message.ok()) return sent > 0 ? Result<size_t>(sent) : message.error();
    other->Deliver(std::move(*message));
    sent += size;
  }
  if (sent == 0 && !data.empty()) return Errno::kEAGAIN;
  return sent;
}

Result<size_t> UnixSocket::SendPacket(UnixSocket& to, const IoVec& data, vfs::ControlMessages* control) {
  if (error_ != Errno{}) return TakeError();
  if ((shutdown_ & kSend) != 0) return Errno::kEPIPE;
  if (data.size() > static_cast<size_t>(send_buffer_) - 32) return Errno::kEMSGSIZE;
  // A datagram socket that is connected takes messages of its peer only.
  if (!connection_based() && to.peer() != nullptr && to.peer() != this) return Errno::kEPERM;
  if ((to.shutdown_ & kReceive) != 0) return Errno::kEPIPE;
  if (anchor_->in_flight >= static_cast<size_t>(send_buffer_)) return Errno::kEAGAIN;
  if (MustWaitFor(to)) {
    to.room_.Add(room_waiter_, EPOLLOUT);
    return Errno::kEAGAIN;
  }
  to.Deliver(TRY(MakeMessage(data, 0, data.size(), control)));
  return data.size();
}

}  // namespace unix_socket
