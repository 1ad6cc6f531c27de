#pragma once

// The command line's side of the control protocol: one connection, one request at a time, blocking.

#include <string>
#include <vector>

#include "base/fd.h"
#include "sentry/boot/status.h"
#include "sentry/control/control.pb.h"

namespace control {

// Binds and listens on `directory`/control.sock. Paths of any length work (sun_path is short).
boot::StatusOr<Fd> ListenControl(const std::string& directory);

class Client {
 public:
  // ECONNREFUSED or ENOENT when the sandbox is gone.
  static boot::StatusOr<Client> Connect(const std::string& directory);
  explicit Client(Fd socket) : socket_(std::move(socket)) {}

  // Sends a request (its id is set here) and waits for its answer; an error of the other side
  // becomes the status, with its code as the cause. kECONNRESET when the Sentry ends meanwhile.
  boot::StatusOr<Response> Call(Request request, const std::vector<int>& fds = {});

  // The two halves of Call, for callers that poll on fd() for the answer.
  boot::Status Send(Request request, const std::vector<int>& fds = {});
  boot::StatusOr<Response> Receive();
  // Later calls fail with kEAGAIN when the other side takes longer.
  void SetTimeout(int seconds);
  int fd() const { return socket_.get(); }

 private:
  Fd socket_;
  uint64_t next_id_ = 1;
};

}  // namespace control
