#pragma once

// One client of the control server: a state machine that reads frames, hands requests to
// ContainerOps and queues answers.

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/fd.h"
#include "sentry/control/container_ops.h"
#include "sentry/control/control.pb.h"

namespace control {

class Server;

// Held by shared_ptr because answers outlive it: each keeps a weak one.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  // Requests that wait for their answer; a client with more is cut off.
  static constexpr size_t kMaxPending = 64;
  // Unread answers, in bytes, likewise.
  static constexpr size_t kMaxOutput = 1 << 20;

  Connection(Server& server, uint64_t serial, Fd socket);
  ~Connection();

  Result<void> Start();

 private:
  void OnEvents(uint32_t events);
  // False when the connection has to go.
  bool Read();
  bool HandleFrames();
  bool HandleRequest(Request request);
  void HandleExec(uint64_t id, const Exec& exec);
  bool Flush();
  void Close();

  // Makes the function that answers request `id`; it does nothing once the connection is gone.
  auto Answer(uint64_t id);
  void Reply(Response response);
  void ReplyError(uint64_t id, const OpError& error);

  Server& server_;
  const uint64_t serial_;
  Fd socket_;
  std::string input_, output_;
  std::vector<Fd> fds_;  // that came with the current frame
  size_t pending_ = 0;
  std::set<int> kill_on_close_;  // processes of Exec with kill_on_disconnect
  bool watching_output_ = false;
};

}  // namespace control
