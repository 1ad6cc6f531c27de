#include "sentry/control/server.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/event_loop.h"
#include "base/host.h"
#include "base/log.h"
#include "sentry/control/connection.h"

namespace control {

Server::Server(Fd listening, ContainerOps& ops) : listening_(std::move(listening)), ops_(ops) {}

Server::~Server() {
  if (listening_.valid()) base::EventLoop::Get().Unwatch(listening_.get());
}

Result<void> Server::Start() {
  return base::EventLoop::Get().Watch(listening_.get(), EPOLLIN, [this](uint32_t) { Accept(); });
}

void Server::Accept() {
  Result<int> fd = HOST(accept4(listening_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (!fd.ok()) return;  // gone again, or out of descriptors: the next event tries again
  Fd socket(*fd);
  if (connections_.size() >= kMaxConnections) {
    LOG_WARNING("control: too many connections");
    return;
  }
  uint64_t serial = next_serial_++;
  auto connection = std::make_shared<Connection>(*this, serial, std::move(socket));
  if (connection->Start().ok()) connections_.emplace(serial, std::move(connection));
}

void Server::Remove(uint64_t serial) { connections_.erase(serial); }

}  // namespace control
