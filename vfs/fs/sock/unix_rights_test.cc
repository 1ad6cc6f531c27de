// SCM_RIGHTS and SCM_CREDENTIALS, and what becomes of descriptors that never arrive.

#include "base/event_loop.h"
#include "base/kernel_lock.h"
#include "vfs/fs/sock/rights_cycle.h"
#include "vfs/fs/sock/test_util.h"
#include "vfs/operations.h"

namespace unix_socket {
namespace {

// A file that says when it is gone.
class Probe : public vfs::FileDescription {
 public:
  explicit Probe(int* alive) : alive_(alive) {
    vfs::InitAnonymous(*this, "probe", 0600, O_RDWR, RootCreds());
    ++*alive_;
  }
  ~Probe() override { --*alive_; }

 private:
  int* alive_;
};

class RightsTest : public UnixTest {
 protected:
  vfs::ControlMessages With(std::vector<RefPtr<vfs::FileDescription>> files) {
    vfs::ControlMessages control;
    control.rights = std::move(files);
    return control;
  }
  RefPtr<vfs::FileDescription> NewProbe() { return MakeRef<Probe>(&alive_); }
  int alive_ = 0;
};

TEST_F(RightsTest, ArriveWithTheirBytes) {
  auto [a, b] = Pair(SOCK_STREAM);
  Put(a, "plain");
  Put(a, "rights", With({NewProbe()}));
  Put(a, "after");
  EXPECT_EQ(alive_, 1);
  EXPECT_EQ(InFlight(), 1);
  vfs::ReceivedMessage message;
  EXPECT_EQ(Receive(b, 100, MSG_PEEK, &message), "plainrights");
  EXPECT_EQ(message.control.rights.size(), 1u);
  message = {};
  EXPECT_EQ(Receive(b, 7, 0, &message), "plainri");
  EXPECT_EQ(message.control.rights.size(), 1u);
  EXPECT_EQ(InFlight(), 0);
  message = {};
  EXPECT_EQ(Receive(b, 100, 0, &message), "ghtsafter");
  EXPECT_TRUE(message.control.rights.empty());
  EXPECT_EQ(alive_, 0);
}

TEST_F(RightsTest, EndAReceive) {
  auto [a, b] = Pair(SOCK_STREAM);
  Put(a, "one", With({NewProbe()}));
  Put(a, "two", With({NewProbe(), NewProbe()}));
  vfs::ReceivedMessage message;
  EXPECT_EQ(Receive(b, 100, 0, &message), "one");
  EXPECT_EQ(message.control.rights.size(), 1u);
  message = {};
  EXPECT_EQ(Receive(b, 100, 0, &message), "two");
  EXPECT_EQ(message.control.rights.size(), 2u);
}

TEST_F(RightsTest, DieWithTheQueue) {
  auto pair = Pair(SOCK_DGRAM);
  Put(pair.first, "x", With({NewProbe()}));
  pair.second.reset();
  EXPECT_EQ(alive_, 0);
}

TEST_F(RightsTest, AreKeptByTheSenderWhenTheSendFails) {
  auto [a, b] = Pair(SOCK_STREAM);
  b.reset();
  vfs::ControlMessages control = With({NewProbe()});
  char c = 'x';
  EXPECT_EQ(a->SendMsg(caller_, IoVec(&c, 1), nullptr, &control, 0).error(), Errno::kEPIPE);
  EXPECT_EQ(control.rights.size(), 1u);
}

TEST_F(RightsTest, CirclesAreCollected) {
  auto one = Pair(SOCK_STREAM), two = Pair(SOCK_DGRAM);
  // one.first's queue holds two.first, whose queue holds one.first and a probe.
  Put(one.second, "x", With({two.first}));
  Put(two.second, "x", With({one.first, NewProbe()}));
  auto sender = two.second;
  one = {};
  two = {};
  CollectCycles();
  EXPECT_EQ(alive_, 0);
  EXPECT_EQ(InFlight(), 0);
}

TEST_F(RightsTest, CirclesInReachAreNot) {
  auto one = Pair(SOCK_STREAM), two = Pair(SOCK_STREAM);
  Put(one.second, "x", With({two.first}));
  Put(two.second, "x", With({two.first, NewProbe()}));
  two = {};
  CollectCycles();  // by one.first, which is open
  EXPECT_EQ(alive_, 1);
  vfs::ReceivedMessage message;
  EXPECT_EQ(Receive(one.first, 1, 0, &message), "x");
  EXPECT_EQ(alive_, 1);
  message = {};
  CollectCycles();
  EXPECT_EQ(alive_, 0);
}

TEST_F(RightsTest, ClosingASocketInFlightStartsACollection) {
  auto pair = Pair(SOCK_STREAM);
  Put(pair.second, "x", With({pair.first, NewProbe()}));
  ASSERT_TRUE(pair.first->OnClose().ok());
  pair = {};
  KernelLock::Section section;
  base::EventLoop::Get().FireTimers(base::MonotonicNow());
  EXPECT_EQ(alive_, 0);
}

TEST_F(RightsTest, WaitingConnectionsAreSearchedToo) {
  SocketRef listener = Listener("gc");
  SocketRef client = Make(SOCK_STREAM);
  EXPECT_EQ(Connect(client, "gc"), Errno{});
  Put(client, "x", With({listener, NewProbe()}));
  client.reset();
  listener.reset();
  CollectCycles();
  EXPECT_EQ(alive_, 0);
}

TEST_F(RightsTest, ALongChainDoesNotExhaustTheStack) {
  KernelLock::Section section;
  Fiber::Start([&] {
    RefPtr<vfs::FileDescription> last = NewProbe();
    for (int i = 0; i < 20000; i++) {
      auto pair = Pair(SOCK_DGRAM);
      ASSERT_TRUE(Send(pair.second, "x", With({last})).ok());
      last = pair.first;
    }
    EXPECT_EQ(alive_, 1);
    last.reset();
    EXPECT_EQ(alive_, 0);
  });
  base::FiberRunner::RunReady();
}

TEST_F(RightsTest, Credentials) {
  auto [a, b] = Pair(SOCK_STREAM);
  vfs::ReceivedMessage message;
  Put(a, "x");
  EXPECT_EQ(Receive(b, 1, 0, &message), "x");
  EXPECT_FALSE(message.control.credentials.has_value());
  EXPECT_EQ(SetOption(b, SO_PASSCRED, 1), Errno{});
  self_ = {.pid = 1, .uid = 2, .gid = 3};
  Put(a, "a");
  Put(a, "b");
  self_.pid = 4;
  Put(a, "c");
  vfs::ControlMessages claimed;
  claimed.credentials = vfs::SocketCredentials{.pid = 9, .uid = 9, .gid = 9};
  Put(a, "d", std::move(claimed));
  EXPECT_EQ(Receive(b, 10, 0, &message), "ab");
  EXPECT_EQ(message.control.credentials->uid, 2u);
  EXPECT_EQ(Receive(b, 10, 0, &message), "c");
  EXPECT_EQ(message.control.credentials->pid, 4);
  EXPECT_EQ(Receive(b, 10, 0, &message), "d");
  EXPECT_EQ(message.control.credentials->pid, 9);
}

TEST_F(RightsTest, PassCredBindsTheSender) {
  SocketRef server = Make(SOCK_DGRAM), client = Make(SOCK_DGRAM);
  Bind(server, "auto");
  SetOption(client, SO_PASSCRED, 1);
  EXPECT_EQ(*SendTo(client, "x", "auto"), 1u);
  EXPECT_EQ(NameOf(client->GetSockName()).size(), 6u);
}

}  // namespace
}  // namespace unix_socket
