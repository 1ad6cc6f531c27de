#include <algorithm>

#include "vfs/fs/sock/unix_socket.h"

namespace unix_socket {

Result<size_t> UnixSocket::RecvMsg(const IoVec& to, int flags, vfs::ReceivedMessage* out) {
  if ((flags & MSG_OOB) != 0) return stream() ? Errno::kEINVAL : Errno::kEOPNOTSUPP;
  if ((flags & MSG_ERRQUEUE) != 0) return Errno::kEAGAIN;
  if (stream()) {
    if (state_ != State::kConnected) return Errno::kEINVAL;
    return ReceiveStream(to, flags, out);
  }
  if (type() == SOCK_SEQPACKET && state_ != State::kConnected) return Errno::kENOTCONN;
  return ReceivePacket(to, flags, out);
}

Result<size_t> UnixSocket::NothingToReceive() {
  if (error_ != Errno{}) return TakeError();
  if ((shutdown_ & kReceive) != 0) return size_t{0};
  return Errno::kEAGAIN;
}

void UnixSocket::FillFrom(const Message& message, vfs::ReceivedMessage* out) const {
  if (const auto* name = static_cast<const Name*>(message.from.get())) out->from = name->address;
  if (pass_credentials_) out->control.credentials = message.credentials;
}

Result<size_t> UnixSocket::ReceivePacket(const IoVec& to, int flags, vfs::ReceivedMessage* out) {
  const bool peek = (flags & MSG_PEEK) != 0;
  Message* message = messages_.front();
  size_t skip = 0;
  if (peek && peek_offset_ >= 0) {
    // SO_PEEK_OFF counts over message ends.
    skip = peek_offset_;
    while (message != nullptr && skip > 0 && skip >= message->size()) {
      skip -= message->size();
      message = MessageQueue::Next(*message);
    }
  }
  if (message == nullptr) return NothingToReceive();
  const size_t available = message->size() - skip;
  const size_t size = std::min(to.size(), available);
  const size_t copied = to.Write(0, message->data() + skip, size);
  if (size < available) out->flags |= MSG_TRUNC;
  FillFrom(*message, out);
  if (peek) {
    if (copied < size) return Errno::kEFAULT;
    out->control.rights = message->rights();
    if (peek_offset_ >= 0) peek_offset_ += size;
  } else {
    if (peek_offset_ >= 0) peek_offset_ = std::max<int64_t>(0, peek_offset_ - static_cast<int64_t>(message->size()));
    out->control.rights = message->TakeRights();
    messages_.Pop();
    if (!room_.empty() && !BacklogFull()) room_.Notify(EPOLLOUT);
    if (copied < size) return Errno::kEFAULT;
  }
  return (flags & MSG_TRUNC) != 0 ? available : size;
}

Result<size_t> UnixSocket::ReceiveStream(const IoVec& to, int flags, vfs::ReceivedMessage* out) {
  const bool peek = (flags & MSG_PEEK) != 0;
  Message* message = messages_.front();
  size_t skip = peek && peek_offset_ >= 0 ? peek_offset_ : 0;
  while (message != nullptr && skip > 0 && skip >= message->left()) {
    skip -= message->left();
    message = MessageQueue::Next(*message);
  }
  if (message == nullptr) return NothingToReceive();
  FillFrom(*message, out);
  // The peer's name, whatever it was when it wrote.
  const vfs::SocketCredentials sender = message->credentials;
  size_t done = 0;
  bool fault = false;
  while (message != nullptr && done < to.size()) {
    // With SO_PASSCRED a receive does not run over from one sender's data into another's.
    if (pass_credentials_ && message->credentials != sender) break;
    const size_t size = std::min(to.size() - done, message->left() - skip);
    const size_t copied = to.Write(done, message->data() + message->consumed + skip, size);
    if (copied < size) {
      fault = true;
      break;
    }
    done += size;
    // Descriptors come with the first byte of their message, and end the receive with its last.
    const bool has_rights = !message->rights().empty();
    if (peek) {
      if (has_rights) {
        out->control.rights = message->rights();
        break;
      }
      skip = 0;
      message = MessageQueue::Next(*message);
      continue;
    }
    if (has_rights) out->control.rights = message->TakeRights();
    messages_.Consume(size);
    if (message->left() > 0) break;
    messages_.Pop();
    if (has_rights) break;
    message = messages_.front();
  }
  if (fault && done == 0 && to.size() > 0) return Errno::kEFAULT;
  if (peek_offset_ >= 0) {
    peek_offset_ = peek ? peek_offset_ + static_cast<int>(done) : std::max(0, peek_offset_ - static_cast<int>(done));
  }
  return done;
}

}  // namespace unix_socket
