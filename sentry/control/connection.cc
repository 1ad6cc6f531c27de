#include "sentry/control/connection.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/event_loop.h"
#include "base/host.h"
#include "base/log.h"
#include "sentry/control/server.h"
#include "sentry/control/wire.h"

namespace control {

Connection::Connection(Server& server, uint64_t serial, Fd socket)
    : server_(server), serial_(serial), socket_(std::move(socket)) {}

Connection::~Connection() {
  if (socket_.valid()) base::EventLoop::Get().Unwatch(socket_.get());
}

Result<void> Connection::Start() {
  return base::EventLoop::Get().Watch(socket_.get(), EPOLLIN,
                                      [this](uint32_t events) { OnEvents(events); });
}

void Connection::OnEvents(uint32_t events) {
  // Close drops the server's reference.
  std::shared_ptr<Connection> self = shared_from_this();
  bool alive = true;
  if ((events & EPOLLOUT) != 0) alive = Flush();
  if (alive && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) alive = Read();
  if (!alive) Close();
}

bool Connection::Read() {
  char buffer[16384];
  Result<size_t> n = ReceiveWithFds(socket_.get(), buffer, sizeof buffer, fds_);
  if (!n.ok()) return n.error() == Errno::kEAGAIN;
  if (*n == 0) return false;
  input_.append(buffer, *n);
  // One read an event: with more to read the loop calls again, after the others have had their
  // turn.
  return HandleFrames();
}

bool Connection::HandleFrames() {
  size_t used = 0;
  while (socket_.valid() && input_.size() - used >= kHeaderSize) {
    Result<uint32_t> size = FrameSize(input_.data() + used);
    if (!size.ok()) return false;
    if (input_.size() - used - kHeaderSize < *size) break;
    Request request;
    if (!request.ParseFromArray(input_.data() + used + kHeaderSize, static_cast<int>(*size)))
      return false;
    used += kHeaderSize + *size;
    if (!HandleRequest(std::move(request))) return false;
    fds_.clear();
  }
  input_.erase(0, used);
  return true;
}

// Answers are given by the kernel at any later time, when this may be gone.
auto Connection::Answer(uint64_t id) {
  pending_++;
  return [weak = weak_from_this(), id](const OpError& error, auto&& fill) {
    std::shared_ptr<Connection> self = weak.lock();
    if (self == nullptr || !self->socket_.valid()) return;
    self->pending_--;
    if (!error.ok()) return self->ReplyError(id, error);
    Response response;
    response.set_id(id);
    fill(*self, response);
    self->Reply(std::move(response));
  };
}

namespace {
constexpr auto kNothing = [](Connection&, Response&) {};
}

bool Connection::HandleRequest(Request request) {
  if (pending_ >= kMaxPending) return false;
  ContainerOps& ops = server_.ops_;
  uint64_t id = request.id();
  auto answer_now = [&](const OpError& error) { Answer(id)(error, kNothing); };
  switch (request.body_case()) {
    case Request::kStart:
      answer_now(ops.Start());
      return true;
    case Request::kSignal: {
      const Signal& signal = request.signal();
      if (signal.signo() < 0 || signal.signo() > 64 || !Signal::Target_IsValid(signal.target())) {
        answer_now({"invalid signal", Errno::kEINVAL});
        return true;
      }
      answer_now(
          ops.Signal(static_cast<SignalTarget>(signal.target()), signal.signo(), signal.pid()));
      return true;
    }
    case Request::kWait:
      ops.Wait(request.wait().pid(),
               [pid = request.wait().pid(), answer = Answer(id)](OpError error, int status) {
                 answer(error, [&](Connection& self, Response& response) {
                   self.kill_on_close_.erase(pid);
                   response.mutable_wait()->set_status(status);
                 });
               });
      return true;
    case Request::kExec:
      HandleExec(id, request.exec());
      return true;
    case Request::kPs:
      Answer(id)({}, [&](Connection&, Response& response) {
        ProcessList* list = response.mutable_ps();
        for (const ProcessStatus& info : ops.Processes()) {
          auto* item = list->add_processes();
          item->set_pid(info.pid);
          item->set_ppid(info.ppid);
          item->set_uid(info.uid);
          item->set_threads(info.threads);
          item->set_cpu_ns(info.cpu_ns);
          item->set_start_realtime_ns(info.start_realtime_ns);
          item->set_command(info.command);
        }
      });
      return true;
    case Request::kPause:
      ops.Pause([answer = Answer(id)](OpError error) { answer(error, kNothing); });
      return true;
    case Request::kResume:
      answer_now(ops.Resume());
      return true;
    case Request::kState:
      Answer(id)({}, [&](Connection&, Response& response) {
        response.mutable_state()->set_started(ops.started());
        response.mutable_state()->set_paused(ops.paused());
      });
      return true;
    case Request::kDestroy:
      // Answered first: the Sentry may be gone before Destroy returns.
      answer_now({});
      ops.Destroy();
      return true;
    case Request::BODY_NOT_SET:
      break;
  }
  answer_now({"unknown request", Errno::kENOSYS});
  return true;
}

void Connection::HandleExec(uint64_t id, const Exec& exec) {
  Result<boot::ProcessSpec> spec = FromProto(exec.process());
  if (!spec.ok() || fds_.size() != kMaxFds) {
    return Answer(id)({"invalid exec request", Errno::kEINVAL}, kNothing);
  }
  bool kill = exec.kill_on_disconnect();
  server_.ops_.Exec(std::move(*spec), std::move(fds_),
                    [kill, weak = weak_from_this(), &ops = server_.ops_, answer = Answer(id)](
                        OpError error, int pid) {
                      // The client may be gone before its process is.
                      if (error.ok() && kill && weak.expired()) {
                        (void)ops.Signal(SignalTarget::kProcess, SIGKILL, pid);
                        return;
                      }
                      answer(error, [&](Connection& self, Response& response) {
                        if (kill) self.kill_on_close_.insert(pid);
                        response.mutable_exec()->set_pid(pid);
                      });
                    });
  fds_.clear();
}

void Connection::ReplyError(uint64_t id, const OpError& error) {
  Response response;
  response.set_id(id);
  response.set_error(error.message);
  response.set_error_code(static_cast<int>(error.code));
  Reply(std::move(response));
}

void Connection::Reply(Response response) {
  output_ += Frame(response);
  // At once, not at the next turn of the loop: the Sentry may be about to exit (the answer to a
  // Wait for init).
  if (output_.size() > kMaxOutput || !Flush()) Close();
}

bool Connection::Flush() {
  while (!output_.empty()) {
    Result<size_t> n = SendWithFds(socket_.get(), output_, {});
    if (!n.ok()) {
      if (n.error() != Errno::kEAGAIN) return false;
      break;
    }
    output_.erase(0, *n);
  }
  bool want_output = !output_.empty();
  if (want_output != watching_output_) {
    watching_output_ = want_output;
    return base::EventLoop::Get()
        .Modify(socket_.get(), want_output ? EPOLLIN | EPOLLOUT : EPOLLIN)
        .ok();
  }
  return true;
}

void Connection::Close() {
  if (!socket_.valid()) return;
  base::EventLoop::Get().Unwatch(socket_.get());
  socket_.reset();
  for (int pid : kill_on_close_) (void)server_.ops_.Signal(SignalTarget::kProcess, SIGKILL, pid);
  kill_on_close_.clear();
  server_.Remove(serial_);
}

}  // namespace control
