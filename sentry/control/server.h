#pragma once

// The control server of a Sentry: accepts connections on the listening socket that the creator
// bound, and passes requests on to ContainerOps. Runs on the event thread under the kernel lock.
// Sockets are nonblocking; a client that sends half a message or reads no answers holds its own
// connection only.

#include <cstdint>
#include <map>
#include <memory>

#include "base/fd.h"
#include "base/result.h"
#include "sentry/control/container_ops.h"

namespace control {

class Connection;

class Server {
 public:
  // At most this many connections; more are closed at once.
  static constexpr size_t kMaxConnections = 128;

  Server(Fd listening, ContainerOps& ops);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Watches the listening socket. Under the kernel lock, after EventLoop::Init.
  Result<void> Start();

  size_t connections() const { return connections_.size(); }

 private:
  friend class Connection;
  void Accept();
  void Remove(uint64_t serial);

  Fd listening_;
  ContainerOps& ops_;
  uint64_t next_serial_ = 1;
  // By serial, not by descriptor: answers that come late must not find a new connection of the same
  // number.
  std::map<uint64_t, std::shared_ptr<Connection>> connections_;
};

}  // namespace control
