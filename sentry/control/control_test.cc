#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <deque>
#include <thread>

#include "base/event_loop.h"
#include "base/host.h"
#include "base/kernel_lock.h"
#include "sentry/control/client.h"
#include "sentry/control/server.h"
#include "sentry/control/wire.h"

namespace control {
namespace {

class FakeOps : public ContainerOps {
 public:
  OpError Start() override {
    if (started_) return {"already started", Errno::kEALREADY};
    started_ = true;
    return {};
  }
  OpError Signal(SignalTarget target, int signo, int pid) override {
    if (target == SignalTarget::kProcess && pid == 404) return {"no such process", Errno::kESRCH};
    signals.push_back({target, signo, pid});
    return {};
  }
  void Exec(boot::ProcessSpec spec, std::vector<Fd> fds, ExecDone done) override {
    if (spec.args[0] == "missing")
      return done({"missing: No such file or directory", Errno::kENOENT}, 0);
    if (spec.args[0] == "slow") {
      slow_exec = std::move(done);
      return;
    }
    std::string text = spec.args.back();
    EXPECT_EQ(write(fds[1].get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
    done({}, 42);
  }
  void Wait(int pid, WaitDone done) override { waiters.push_back(std::move(done)); }
  std::vector<ProcessStatus> Processes() override {
    return {{.pid = 1, .threads = 2, .command = "init"}};
  }
  void Pause(Done done) override {
    paused_ = true;
    done({});
  }
  OpError Resume() override {
    paused_ = false;
    return {};
  }
  bool started() override { return started_; }
  bool paused() override { return paused_; }
  void Destroy() override { destroyed = true; }

  struct Sent {
    SignalTarget target;
    int signo, pid;
  };
  std::vector<Sent> signals;
  std::deque<WaitDone> waiters;
  ExecDone slow_exec;
  bool destroyed = false;

 private:
  bool started_ = false, paused_ = false;
};

class ControlTest : public testing::Test {
 protected:
  void SetUp() override {
    // A directory name longer than sun_path.
    char dir[] = "/tmp/control_test_XXXXXX";
    ASSERT_NE(mkdtemp(dir), nullptr);
    base_ = dir;
    directory_ = base_ + "/" + std::string(200, 'd');
    ASSERT_EQ(mkdir(directory_.c_str(), 0700), 0);
    boot::StatusOr<Fd> listening = ListenControl(directory_);
    ASSERT_TRUE(listening.ok()) << listening.status().message();
    base::EventLoop::Get().Init();
    WithLock([&] {
      server_ = std::make_unique<Server>(std::move(*listening), ops_);
      CHECK_OK(server_->Start());
    });
    loop_ = std::thread([] { base::EventLoop::Get().Run(); });
  }
  void TearDown() override {
    base::EventLoop::Get().Stop();
    loop_.join();
    WithLock([&] { server_.reset(); });
    unlink((directory_ + "/control.sock").c_str());
    rmdir(directory_.c_str());
    rmdir(base_.c_str());
  }
  template <class F>
  std::invoke_result_t<F> WithLock(F f) {
    base::KernelLock::Section section;
    return f();
  }
  // Waits, with the loop running, for something that it will do.
  template <class F>
  bool Eventually(F f) {
    for (int i = 0; i < 2000; i++) {
      if (WithLock(f)) return true;
      usleep(1000);
    }
    return false;
  }
  Client Connect() { return Client::Connect(directory_).value(); }

  static Request Of(void (*fill)(Request&)) {
    Request request;
    fill(request);
    return request;
  }
  static Request ExecRequest(const std::string& program, const std::string& arg,
                             bool kill = false) {
    Request request;
    boot::ProcessSpec spec;
    spec.args = {program, arg};
    ToProto(spec, *request.mutable_exec()->mutable_process());
    request.mutable_exec()->set_kill_on_disconnect(kill);
    return request;
  }

  std::string base_, directory_;
  FakeOps ops_;
  std::unique_ptr<Server> server_;
  std::thread loop_;
};

TEST_F(ControlTest, SimpleRequests) {
  Client client = Connect();
  auto state = [&] {
    return client.Call(Of([](Request& r) { r.mutable_state(); })).value().state();
  };
  EXPECT_FALSE(state().started());
  EXPECT_TRUE(client.Call(Of([](Request& r) { r.mutable_start(); })).ok());
  boot::StatusOr<Response> again = client.Call(Of([](Request& r) { r.mutable_start(); }));
  EXPECT_EQ(again.status().message(), "already started");
  EXPECT_EQ(again.status().cause(), Errno::kEALREADY);
  EXPECT_TRUE(state().started());
  EXPECT_TRUE(client.Call(Of([](Request& r) { r.mutable_pause(); })).ok());
  EXPECT_TRUE(state().paused());
  EXPECT_TRUE(client.Call(Of([](Request& r) { r.mutable_resume(); })).ok());
  EXPECT_FALSE(state().paused());
  boot::StatusOr<Response> ps = client.Call(Of([](Request& r) { r.mutable_ps(); }));
  ASSERT_TRUE(ps.ok());
  EXPECT_EQ(ps->ps().processes(0).command(), "init");
  EXPECT_TRUE(client.Call(Of([](Request& r) { r.mutable_destroy(); })).ok());
  EXPECT_TRUE(Eventually([&] { return ops_.destroyed; }));
}

TEST_F(ControlTest, Signals) {
  Client client = Connect();
  EXPECT_TRUE(client
                  .Call(Of([](Request& r) {
                    r.mutable_signal()->set_signo(SIGTERM);
                    r.mutable_signal()->set_target(Signal::ALL);
                  }))
                  .ok());
  EXPECT_EQ(ops_.signals.at(0).target, SignalTarget::kAll);
  EXPECT_EQ(ops_.signals.at(0).signo, SIGTERM);
  auto missing = client.Call(Of([](Request& r) {
    r.mutable_signal()->set_target(Signal::PROCESS);
    r.mutable_signal()->set_pid(404);
  }));
  EXPECT_EQ(missing.status().cause(), Errno::kESRCH);
  EXPECT_EQ(client.Call(Of([](Request& r) { r.mutable_signal()->set_signo(65); })).status().cause(),
            Errno::kEINVAL);
  EXPECT_EQ(client.Call(Request()).status().cause(), Errno::kENOSYS);
}

TEST_F(ControlTest, ExecPassesDescriptorsAndLargeArguments) {
  Client client = Connect();
  int pipes[2];
  ASSERT_EQ(pipe(pipes), 0);
  std::string text(50000, 'x');
  boot::StatusOr<Response> response = client.Call(ExecRequest("echo", text), {0, pipes[1], 2});
  ASSERT_TRUE(response.ok()) << response.status().message();
  EXPECT_EQ(response->exec().pid(), 42);
  std::string got(text.size(), '\0');
  EXPECT_EQ(read(pipes[0], got.data(), got.size()), static_cast<ssize_t>(got.size()));
  EXPECT_EQ(got, text);
  // The Sentry keeps no copy.
  close(pipes[1]);
  EXPECT_EQ(read(pipes[0], got.data(), 1), 0);
  close(pipes[0]);

  EXPECT_EQ(client.Call(ExecRequest("missing", ""), {0, 1, 2}).status().cause(), Errno::kENOENT);
  EXPECT_EQ(client.Call(ExecRequest("echo", "x"), {0, 1}).status().cause(), Errno::kEINVAL);
  EXPECT_EQ(client.Call(ExecRequest("echo", std::string("a\0b", 3)), {0, 1, 2}).status().cause(),
            Errno::kEINVAL);
}

TEST_F(ControlTest, SeveralWaiters) {
  Client first = Connect(), second = Connect();
  ASSERT_TRUE(first.Send(Of([](Request& r) { r.mutable_wait(); })).ok());
  ASSERT_TRUE(second.Send(Of([](Request& r) { r.mutable_wait(); })).ok());
  ASSERT_TRUE(Eventually([&] { return ops_.waiters.size() == 2; }));
  // Requests on the same connection are served meanwhile.
  ASSERT_TRUE(first.Send(Of([](Request& r) { r.mutable_state(); })).ok());
  EXPECT_TRUE(first.Receive()->has_state());
  WithLock([&] {
    for (auto& done : ops_.waiters) done({}, 0x700);
  });
  EXPECT_EQ(first.Receive()->wait().status(), 0x700);
  EXPECT_EQ(second.Receive()->wait().status(), 0x700);
}

TEST_F(ControlTest, WaiterThatLeftIsForgotten) {
  {
    Client client = Connect();
    ASSERT_TRUE(client.Send(Of([](Request& r) { r.mutable_wait(); })).ok());
    ASSERT_TRUE(Eventually([&] { return ops_.waiters.size() == 1; }));
  }
  ASSERT_TRUE(Eventually([&] { return server_->connections() == 0; }));
  WithLock([&] { ops_.waiters[0]({}, 0); });
}

TEST_F(ControlTest, KillOnDisconnect) {
  {
    Client client = Connect();
    ASSERT_TRUE(client.Call(ExecRequest("true", "", true), {0, 1, 2}).ok());
  }
  ASSERT_TRUE(Eventually([&] { return ops_.signals.size() == 1; }));
  EXPECT_EQ(ops_.signals[0].signo, SIGKILL);
  EXPECT_EQ(ops_.signals[0].pid, 42);
  // Also when the client leaves before the process is there.
  {
    Client client = Connect();
    ASSERT_TRUE(client.Send(ExecRequest("slow", "", true), {0, 1, 2}).ok());
    ASSERT_TRUE(Eventually([&] { return ops_.slow_exec != nullptr; }));
  }
  ASSERT_TRUE(Eventually([&] { return server_->connections() == 0; }));
  WithLock([&] { ops_.slow_exec({}, 43); });
  ASSERT_TRUE(Eventually([&] { return ops_.signals.size() == 2; }));
  EXPECT_EQ(ops_.signals[1].pid, 43);
}

// Sends raw bytes and says whether the server hung up.
bool HangsUp(const std::string& directory, std::string_view bytes) {
  Client client = Client::Connect(directory).value();
  send(client.fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  timeval limit{.tv_sec = 5};
  setsockopt(client.fd(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  char byte;
  ssize_t n = recv(client.fd(), &byte, 1, 0);
  return n == 0 || (n < 0 && HOST(-1).error() == Errno::kECONNRESET);
}

TEST_F(ControlTest, HostileBytes) {
  EXPECT_TRUE(HangsUp(directory_, std::string_view("\xff\xff\xff\xff", 4)));  // 4 GB
  EXPECT_TRUE(HangsUp(directory_, std::string_view("\x01\x00\x40\x00", 4)));  // one over the limit
  EXPECT_TRUE(HangsUp(directory_, std::string_view("\x02\x00\x00\x00\xff\xff", 6)));  // no message
  unsigned seed = 1;
  for (int i = 0; i < 300; i++) {
    std::string noise(static_cast<size_t>(rand_r(&seed) % 200), '\0');
    for (char& c : noise) c = static_cast<char>(rand_r(&seed));
    std::string frame(4, '\0');
    frame[0] = static_cast<char>(noise.size());
    Client client = Connect();
    frame += noise;
    send(client.fd(), frame.data(), frame.size(), MSG_NOSIGNAL);
  }
  Client client = Connect();
  EXPECT_TRUE(client.Call(Of([](Request& r) { r.mutable_state(); })).ok());
}

TEST_F(ControlTest, HungClientsBlockNobody) {
  Client half = Connect();
  send(half.fd(), "\x05\x00", 2, 0);
  // Asks and never reads.
  Client deaf = Connect();
  std::string ask = Frame(Of([](Request& r) { r.mutable_ps(); }));
  std::string many;
  for (int i = 0; i < 1000; i++) many += ask;
  for (int i = 0; i < 200; i++) {
    if (send(deaf.fd(), many.data(), many.size(), MSG_NOSIGNAL | MSG_DONTWAIT) < 0) usleep(1000);
  }
  Client client = Connect();
  EXPECT_TRUE(client.Call(Of([](Request& r) { r.mutable_state(); })).ok());
}

TEST_F(ControlTest, TooManyDescriptorsOrRequestsOrConnections) {
  {
    Client client = Connect();
    iovec part{const_cast<char*>("\x00"), 1};
    alignas(cmsghdr) char space[CMSG_SPACE(sizeof(int) * 9)] = {};
    msghdr message{
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space};
    cmsghdr* c = CMSG_FIRSTHDR(&message);
    *c = {.cmsg_len = CMSG_LEN(sizeof(int) * 9), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memset(CMSG_DATA(c), 0, sizeof(int) * 9);  // nine times descriptor 0
    ASSERT_EQ(sendmsg(client.fd(), &message, 0), 1);
    char byte;
    EXPECT_LE(recv(client.fd(), &byte, 1, 0), 0);
  }
  {
    Client client = Connect();
    for (int i = 0; i < 100; i++) {
      if (!client.Send(Of([](Request& r) { r.mutable_wait(); })).ok()) break;
    }
    EXPECT_EQ(client.Receive().status().cause(), Errno::kECONNRESET);
    EXPECT_LE(ops_.waiters.size(), 64u);
  }
  std::vector<Client> crowd;
  for (size_t i = 0; i < Server::kMaxConnections + 10; i++) crowd.push_back(Connect());
  EXPECT_FALSE(crowd.back().Call(Of([](Request& r) { r.mutable_state(); })).ok());
  crowd.clear();
  ASSERT_TRUE(Eventually([&] { return server_->connections() == 0; }));
  EXPECT_TRUE(Connect().Call(Of([](Request& r) { r.mutable_state(); })).ok());
}

}  // namespace
}  // namespace control
