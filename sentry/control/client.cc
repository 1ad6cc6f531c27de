#include "sentry/control/client.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/host.h"
#include "sentry/control/wire.h"

namespace control {

using boot::Status;
using boot::StatusOr;

namespace {

// The address of control.sock by way of a descriptor of its directory, so that it fits whatever the
// directory's path.
sockaddr_un AddressIn(const Fd& directory) {
  sockaddr_un address{.sun_family = AF_UNIX};
  snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/control.sock",
           directory.get());
  return address;
}

StatusOr<Fd> OpenDirectory(const std::string& directory) {
  return Fd(TRY_HOST(HOST(open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)), directory));
}

StatusOr<Fd> NewSocket() {
  return Fd(TRY_HOST(HOST(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)), "control socket"));
}

}  // namespace

StatusOr<Fd> ListenControl(const std::string& directory) {
  Fd dir = TRY_STATUS(OpenDirectory(directory));
  Fd socket = TRY_STATUS(NewSocket());
  sockaddr_un address = AddressIn(dir);
  TRY_HOST(HOST(bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address)),
           "binding the control socket");
  TRY_HOST(HOST(listen(socket.get(), 64)), "listening on the control socket");
  // For the Sentry's event loop; accept never blocks there.
  TRY_HOST(HOST(fcntl(socket.get(), F_SETFL, O_NONBLOCK)), "control socket");
  return socket;
}

StatusOr<Client> Client::Connect(const std::string& directory) {
  Fd dir = TRY_STATUS(OpenDirectory(directory));
  Fd socket = TRY_STATUS(NewSocket());
  sockaddr_un address = AddressIn(dir);
  TRY_HOST(HOST_RETRY(connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address)),
           "connecting to the sandbox");
  return Client(std::move(socket));
}

void Client::SetTimeout(int seconds) {
  timeval limit{.tv_sec = seconds};
  setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  setsockopt(socket_.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
}

Status Client::Send(Request request, const std::vector<int>& fds) {
  request.set_id(next_id_++);
  std::string frame = Frame(request);
  if (frame.size() - kHeaderSize > kMaxMessage)
    return Status::Error("the request is too large", Errno::kE2BIG);
  std::string_view rest = frame;
  while (!rest.empty()) {
    Result<size_t> n =
        SendWithFds(socket_.get(), rest, rest.size() == frame.size() ? fds : std::vector<int>());
    // One error for its end, however far the request came.
    if (!n.ok() && n.error() == Errno::kEPIPE)
      return Status::Error("the sandbox ended", Errno::kECONNRESET);
    rest.remove_prefix(TRY_HOST(n, "talking to the sandbox"));
  }
  return Status();
}

StatusOr<Response> Client::Receive() {
  std::string input;
  size_t wanted = kHeaderSize;
  std::vector<Fd> fds;  // none is ever sent this way
  while (input.size() < wanted) {
    char buffer[16384];
    size_t n = TRY_HOST(
        ReceiveWithFds(socket_.get(), buffer, std::min(sizeof buffer, wanted - input.size()), fds),
        "talking to the sandbox");
    if (n == 0) return Status::Error("the sandbox ended", Errno::kECONNRESET);
    input.append(buffer, n);
    if (input.size() == kHeaderSize) {
      wanted = kHeaderSize + TRY_HOST(FrameSize(input.data()), "answer of the sandbox");
    }
  }
  Response response;
  if (!response.ParseFromArray(input.data() + kHeaderSize,
                               static_cast<int>(input.size() - kHeaderSize))) {
    return Status::Error("malformed answer of the sandbox", Errno::kEPROTO);
  }
  if (!response.error().empty()) {
    int code = response.error_code();
    return Status::Error(response.error(), code > 0 && code <= base::kMaxUserErrno
                                               ? static_cast<Errno>(code)
                                               : Errno::kEIO);
  }
  return response;
}

StatusOr<Response> Client::Call(Request request, const std::vector<int>& fds) {
  RETURN_IF_ERROR(Send(std::move(request), fds));
  return Receive();
}

}  // namespace control
