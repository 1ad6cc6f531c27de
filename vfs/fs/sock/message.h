#pragma once

// What is in the receive queue of a unix socket, and who pays for it: the sender, whose SO_SNDBUF bounds what it has in flight.

#include <cstddef>
#include <vector>

#include "vfs/socket.h"

namespace unix_socket {

class UnixSocket;

// A socket as others know it: names and connected sockets hold this, so that they do not keep the socket itself open, and
// find out when it is gone. It is also where messages that are still on their way charge their size.
class Anchor : public RefCounted {
 public:
  explicit Anchor(UnixSocket* of) : socket(of) {}
  UnixSocket* socket;  // null once closed
  size_t in_flight = 0;
};

// One send: the header and, in the same allocation, the bytes.
class Message {
 public:
  struct Deleter {
    void operator()(Message* message) const;
  };
  using Ptr = std::unique_ptr<Message, Deleter>;

  // Copies `size` bytes of `data` from `offset` on. EFAULT. The message is charged to `sender` until it is destroyed.
  static Result<Ptr> Create(RefPtr<Anchor> sender, const IoVec& data, size_t offset, size_t size);

  // What a message of `size` bytes costs of SO_SNDBUF.
  static size_t Cost(size_t size) { return size + kOverhead; }

  char* data() { return reinterpret_cast<char*>(this + 1); }
  size_t left() const { return size_ - consumed; }
  size_t size() const { return size_; }

  size_t consumed = 0;  // of a stream
  vfs::SocketCredentials credentials;
  // The sender's name when it sent; null: unbound.
  RefPtr<const RefCounted> from;
  // Descriptors on their way; counted as in flight (rights_cycle.h).
  void SetRights(std::vector<RefPtr<vfs::FileDescription>> rights);
  std::vector<RefPtr<vfs::FileDescription>> TakeRights();
  const std::vector<RefPtr<vfs::FileDescription>>& rights() const { return rights_; }

 private:
  friend class MessageQueue;
  static constexpr size_t kOverhead = 576;  // about what Linux charges for a buffer's own memory
  Message() = default;
  ~Message();

  RefPtr<Anchor> sender_;
  std::vector<RefPtr<vfs::FileDescription>> rights_;
  size_t size_ = 0;
  Message* next_ = nullptr;
};

class MessageQueue {
 public:
  MessageQueue() = default;
  MessageQueue(const MessageQueue&) = delete;
  MessageQueue& operator=(const MessageQueue&) = delete;
  ~MessageQueue() { Clear(); }

  void Push(Message::Ptr message);
  Message::Ptr Pop();
  void Clear();
  Message* front() const { return first_; }
  static Message* Next(const Message& message) { return message.next_; }
  bool empty() const { return first_ == nullptr; }
  size_t count() const { return count_; }
  size_t bytes() const { return bytes_; }
  // A stream reader took `size` bytes of the first message.
  void Consume(size_t size) {
    first_->consumed += size;
    bytes_ -= size;
  }

 private:
  Message* first_ = nullptr;
  Message* last_ = nullptr;
  size_t count_ = 0, bytes_ = 0;
};

}  // namespace unix_socket
