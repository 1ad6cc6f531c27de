#include "vfs/fs/sock/unix_socket.h"

#include <map>

#include "base/event_loop.h"
#include "base/kernel_lock.h"
#include "vfs/fs/sock/test_util.h"

namespace unix_socket {
namespace {

constexpr Errno kOk{};

TEST_F(UnixTest, Factories) {
  auto creds = RootCreds();
  EXPECT_EQ(vfs::CreateSocket(AF_X25, SOCK_STREAM, 0, *net_, creds).error(), Errno::kEAFNOSUPPORT);
  EXPECT_EQ(vfs::CreateSocket(-1, SOCK_STREAM, 0, *net_, creds).error(), Errno::kEAFNOSUPPORT);
  EXPECT_EQ(vfs::CreateSocket(AF_UNIX, 11, 0, *net_, creds).error(), Errno::kEINVAL);
  EXPECT_EQ(vfs::CreateSocket(AF_UNIX, SOCK_STREAM | 0x100, 0, *net_, creds).error(), Errno::kEINVAL);
  EXPECT_EQ(vfs::CreateSocket(AF_UNIX, SOCK_RDM, 0, *net_, creds).error(), Errno::kESOCKTNOSUPPORT);
  EXPECT_EQ(vfs::CreateSocket(AF_UNIX, SOCK_STREAM, 6, *net_, creds).error(), Errno::kEPROTONOSUPPORT);
  SocketRef socket = Make(SOCK_RAW | SOCK_NONBLOCK);
  EXPECT_EQ(socket->type(), SOCK_DGRAM);
  EXPECT_TRUE(socket->nonblocking());
  EXPECT_TRUE(socket->LinkName().starts_with("socket:["));
}

TEST_F(UnixTest, StreamPair) {
  auto [a, b] = Pair(SOCK_STREAM);
  EXPECT_EQ(Receive(a), "EAGAIN");
  EXPECT_EQ(*Send(a, "hello "), 6u);
  EXPECT_EQ(*Send(a, "world"), 5u);
  EXPECT_EQ(b->Readiness(), EventMask{EPOLLIN | EPOLLOUT});
  EXPECT_EQ(Receive(b, 5, MSG_PEEK), "hello");
  EXPECT_EQ(Receive(b, 3), "hel");
  EXPECT_EQ(Receive(b), "lo world");
  EXPECT_EQ(NameOf(a->GetSockName()), "-");
  EXPECT_EQ(NameOf(a->GetPeerName()), "-");
}

TEST_F(UnixTest, ListenConnectAccept) {
  SocketRef listener = Make(SOCK_STREAM);
  EXPECT_EQ(listener->Listen(caller_, 1).error(), Errno::kEINVAL);
  EXPECT_EQ(Bind(listener, "name"), kOk);
  EXPECT_EQ(Bind(listener, "other"), Errno::kEINVAL);
  SocketRef client = Make(SOCK_STREAM);
  EXPECT_EQ(Bind(client, "name"), Errno::kEADDRINUSE);
  EXPECT_EQ(Connect(client, "name"), Errno::kECONNREFUSED);  // not listening yet
  EXPECT_EQ(Connect(client, "nobody"), Errno::kECONNREFUSED);
  EXPECT_EQ(listener->Accept(0, nullptr).error(), Errno::kEINVAL);
  self_ = {.pid = 20, .uid = 7, .gid = 8};
  EXPECT_TRUE(listener->Listen(caller_, 1).ok());
  EXPECT_EQ(listener->Accept(0, nullptr).error(), Errno::kEAGAIN);
  EXPECT_EQ(listener->Readiness(), 0u);
  EXPECT_EQ(client->Readiness(), EventMask{EPOLLOUT | EPOLLHUP});
  EXPECT_EQ(Send(client, "x").error(), Errno::kENOTCONN);
  EXPECT_EQ(Receive(client), "EINVAL");
  self_ = {.pid = 30, .uid = 9, .gid = 9};
  EXPECT_EQ(Bind(client, "client"), kOk);
  EXPECT_EQ(Connect(client, "name"), kOk);
  EXPECT_EQ(Connect(client, "name"), Errno::kEISCONN);
  EXPECT_EQ(listener->Readiness(), EventMask{EPOLLIN});
  EXPECT_EQ(*Send(client, "early"), 5u);
  vfs::SocketAddress peer;
  SocketRef server = listener->Accept(O_NONBLOCK, &peer).value();
  EXPECT_EQ(NameOf(peer), "@client");
  EXPECT_TRUE(server->nonblocking());
  EXPECT_EQ(NameOf(server->GetSockName()), "@name");
  EXPECT_EQ(NameOf(client->GetPeerName()), "@name");
  EXPECT_EQ(NameOf(listener->GetPeerName()), "ENOTCONN");
  EXPECT_EQ(Receive(server), "early");
  EXPECT_EQ(client->PeerCredentials()->pid, 20);
  EXPECT_EQ(server->PeerCredentials()->pid, 30);
  EXPECT_EQ(Option<ucred>(client, SO_PEERCRED).uid, 7u);
  EXPECT_EQ(Option<int>(listener, SO_ACCEPTCONN), 1);
  server.reset();
  EXPECT_EQ(NameOf(client->GetPeerName()), "@name");
}

TEST_F(UnixTest, TypesMustMatch) {
  SocketRef listener = Listener("s");
  EXPECT_EQ(Connect(Make(SOCK_SEQPACKET), "s"), Errno::kEPROTOTYPE);
  EXPECT_EQ(SendTo(Make(SOCK_DGRAM), "x", "s").error(), Errno::kEPROTOTYPE);
  EXPECT_EQ(Make(SOCK_DGRAM)->Listen(caller_, 1).error(), Errno::kEOPNOTSUPP);
}

TEST_F(UnixTest, Addresses) {
  SocketRef s = Make(SOCK_STREAM);
  sockaddr_un address = {.sun_family = AF_INET, .sun_path = "x"};
  EXPECT_EQ(s->Connect(caller_, vfs::SocketAddress(&address, sizeof address)).error(), Errno::kEINVAL);
  EXPECT_EQ(s->Connect(caller_, vfs::SocketAddress(&address, 1)).error(), Errno::kEINVAL);
  address.sun_family = AF_UNIX;
  EXPECT_EQ(s->Connect(caller_, vfs::SocketAddress(&address, 2)).error(), Errno::kEINVAL);
  EXPECT_TRUE(s->Bind(caller_, vfs::SocketAddress(&address, 2)).ok());
  EXPECT_EQ(NameOf(s->GetSockName()).size(), 6u);
  // A zero byte is part of an abstract name.
  SocketRef a = Make(SOCK_DGRAM), b = Make(SOCK_DGRAM);
  EXPECT_EQ(Bind(a, std::string_view("n\0", 2)), kOk);
  EXPECT_EQ(Bind(b, "n"), kOk);
  a.reset();
  EXPECT_EQ(Bind(Make(SOCK_DGRAM), std::string_view("n\0", 2)), kOk);
}

TEST_F(UnixTest, AFullBacklogMakesConnectWait) {
  SocketRef listener = Listener("full", SOCK_STREAM, 0);
  SocketRef first = Make(SOCK_STREAM), second = Make(SOCK_STREAM);
  EXPECT_EQ(Connect(first, "full"), kOk);
  EXPECT_EQ(Connect(second, "full"), Errno::kEAGAIN);
  Result<void> connected = Errno::kEIO;
  {
    KernelLock::Section section;
    Fiber::Start([&] { connected = vfs::ConnectBlocking(*second, caller_, AbstractAddress("full")); });
  }
  EXPECT_EQ(connected.error(), Errno::kEIO);
  {
    KernelLock::Section section;
    EXPECT_TRUE(listener->Accept(0, nullptr).ok());
  }
  EXPECT_TRUE(connected.ok());
  // And one that still waits is refused when the listener goes.
  SocketRef third = Make(SOCK_STREAM);
  {
    KernelLock::Section section;
    Fiber::Start([&] { connected = vfs::ConnectBlocking(*third, caller_, AbstractAddress("full")); });
    base::FiberRunner::RunReady();
    listener.reset();
  }
  EXPECT_EQ(connected.error(), Errno::kECONNREFUSED);
  EXPECT_EQ(Receive(second), "ECONNRESET");  // was never accepted
  EXPECT_EQ(Receive(second), "");
}

TEST_F(UnixTest, EndOfStream) {
  auto [a, b] = Pair(SOCK_STREAM);
  EXPECT_EQ(*Send(a, "last"), 4u);
  a.reset();
  EXPECT_EQ(b->Readiness(), EventMask{EPOLLIN | EPOLLOUT | EPOLLHUP | EPOLLRDHUP});
  EXPECT_EQ(Receive(b), "last");
  EXPECT_EQ(Receive(b), "");
  EXPECT_EQ(Send(b, "x").error(), Errno::kEPIPE);
}

TEST_F(UnixTest, UnreadDataAtCloseResets) {
  auto [a, b] = Pair(SOCK_STREAM);
  EXPECT_EQ(*Send(b, "unread"), 6u);
  a.reset();
  EXPECT_NE(b->Readiness() & EPOLLERR, 0u);
  EXPECT_EQ(Option<int>(b, SO_ERROR), ECONNRESET);
  EXPECT_EQ(Option<int>(b, SO_ERROR), 0);
}

TEST_F(UnixTest, Shutdown) {
  auto [a, b] = Pair(SOCK_STREAM);
  EXPECT_EQ(a->Shutdown(3).error(), Errno::kEINVAL);
  EXPECT_EQ(*Send(a, "tail"), 4u);
  EXPECT_TRUE(a->Shutdown(SHUT_WR).ok());
  EXPECT_EQ(Send(a, "x").error(), Errno::kEPIPE);
  EXPECT_EQ(b->Readiness(), EventMask{EPOLLIN | EPOLLOUT | EPOLLRDHUP});
  EXPECT_EQ(Receive(b), "tail");
  EXPECT_EQ(Receive(b), "");
  EXPECT_EQ(*Send(b, "back"), 4u);
  EXPECT_EQ(Receive(a), "back");
  EXPECT_TRUE(b->Shutdown(SHUT_WR).ok());
  EXPECT_EQ(a->Readiness(), EventMask{EPOLLIN | EPOLLOUT | EPOLLHUP | EPOLLRDHUP});
}

TEST_F(UnixTest, AStreamTakesAsMuchAsTheSendBufferAllows) {
  auto [a, b] = Pair(SOCK_STREAM);
  const size_t sent = *Send(a, std::string(1 << 20, 's'));
  EXPECT_GT(sent, 200000u);
  EXPECT_LT(sent, 350000u);
  EXPECT_EQ(Send(a, "x").error(), Errno::kEAGAIN);
  EXPECT_EQ(a->Readiness(), 0u);
  EXPECT_EQ(Receive(b, 1 << 20).size(), sent);
  EXPECT_EQ(a->Readiness(), EventMask{EPOLLOUT});
}

TEST_F(UnixTest, BlockingSendGoesOnUntilAllIsTaken) {
  auto pair = Pair(SOCK_STREAM);
  std::string text(1 << 20, 's'), got;
  Result<size_t> sent = Errno::kEIO;
  {
    KernelLock::Section section;
    Fiber::Start([&] {
      vfs::ControlMessages none;
      sent = vfs::SendBlocking(*pair.first, caller_, IoVec(text.data(), text.size()), nullptr, &none, 0);
    });
    Fiber::Start([&] {
      std::string buffer(1 << 20, 0);
      vfs::ReceivedMessage message;
      Result<size_t> n = vfs::ReceiveBlocking(*pair.second, IoVec(buffer.data(), buffer.size()), MSG_WAITALL, &message);
      got = buffer.substr(0, *n);
    });
  }
  EXPECT_EQ(*sent, text.size());
  EXPECT_EQ(got.size(), text.size());
}

TEST_F(UnixTest, ReceiveTimeoutEndsABlockingReceive) {
  static int64_t now = 1000;
  base::SetClockForTest([] { return now; }, nullptr);
  auto pair = Pair(SOCK_STREAM);
  timeval timeout = {.tv_sec = 1};
  EXPECT_TRUE(pair.first->SetSockOpt(*RootCreds(), SOL_SOCKET, SO_RCVTIMEO, {reinterpret_cast<char*>(&timeout), sizeof timeout}).ok());
  EXPECT_EQ(Option<timeval>(pair.first, SO_RCVTIMEO).tv_sec, 1);
  Result<size_t> n = Errno::kEIO;
  Fiber* fiber;
  auto start = [&] {
    KernelLock::Section section;
    fiber = Fiber::Start([&] {
      char c;
      vfs::ReceivedMessage message;
      n = vfs::ReceiveBlocking(*pair.first, IoVec(&c, 1), 0, &message);
    });
  };
  start();
  {
    KernelLock::Section section;
    now += 1'000'000'000;
    base::EventLoop::Get().FireTimers(now);
  }
  EXPECT_EQ(n.error(), Errno::kEAGAIN);
  start();
  {
    KernelLock::Section section;
    fiber->Interrupt();
  }
  EXPECT_EQ(n.error(), Errno::kEINTR);
  base::SetClockForTest(nullptr, nullptr);
}

TEST_F(UnixTest, Datagrams) {
  SocketRef server = Make(SOCK_DGRAM), client = Make(SOCK_DGRAM);
  EXPECT_EQ(Bind(server, "dgram"), kOk);
  EXPECT_EQ(Bind(client, "from"), kOk);
  EXPECT_EQ(Send(client, "x").error(), Errno::kENOTCONN);
  EXPECT_EQ(*SendTo(client, "one", "dgram"), 3u);
  EXPECT_EQ(*SendTo(client, "", "dgram"), 0u);
  EXPECT_EQ(*SendTo(client, "three", "dgram"), 5u);
  vfs::ReceivedMessage message;
  EXPECT_EQ(Receive(server, 2, 0, &message), "on");
  EXPECT_EQ(message.flags, MSG_TRUNC);
  EXPECT_EQ(NameOf(message.from), "@from");
  EXPECT_EQ(Receive(server), "");
  std::string buffer(2, 0);
  EXPECT_EQ(*server->RecvMsg(IoVec(buffer.data(), 2), MSG_TRUNC, &message), 5u);
  EXPECT_EQ(Receive(server), "EAGAIN");

  EXPECT_EQ(Connect(client, "dgram"), kOk);
  EXPECT_EQ(*Send(client, "connected"), 9u);
  EXPECT_EQ(NameOf(client->GetPeerName()), "@dgram");
  EXPECT_EQ(Send(client, std::string(300000, 'x')).error(), Errno::kEMSGSIZE);
  server.reset();
  EXPECT_EQ(Send(client, "x").error(), Errno::kECONNREFUSED);
  EXPECT_EQ(Send(client, "x").error(), Errno::kENOTCONN);
}

TEST_F(UnixTest, AConnectedDatagramSocketHearsItsPeerOnly) {
  SocketRef a = Make(SOCK_DGRAM), b = Make(SOCK_DGRAM), c = Make(SOCK_DGRAM);
  Bind(a, "a");
  Bind(b, "b");
  EXPECT_EQ(Connect(a, "b"), kOk);
  EXPECT_EQ(SendTo(c, "x", "a").error(), Errno::kEPERM);
  EXPECT_EQ(Connect(c, "a"), Errno::kEPERM);
  EXPECT_EQ(*SendTo(b, "x", "a"), 1u);
  const sa_family_t none = AF_UNSPEC;
  EXPECT_TRUE(a->Connect(caller_, vfs::SocketAddress(&none, sizeof none)).ok());
  EXPECT_EQ(*SendTo(c, "x", "a"), 1u);
}

TEST_F(UnixTest, AFullDatagramQueueMakesSendersWait) {
  SocketRef server = Make(SOCK_DGRAM), client = Make(SOCK_DGRAM);
  Bind(server, "queue");
  Connect(client, "queue");
  int sent = 0;
  while (Send(client, "m").ok()) sent++;
  EXPECT_EQ(sent, 11);
  EXPECT_EQ(client->Readiness(), 0u);
  Result<size_t> n = Errno::kEIO;
  {
    KernelLock::Section section;
    Fiber::Start([&] {
      char c = 'z';
      vfs::ControlMessages none;
      n = vfs::SendBlocking(*client, caller_, IoVec(&c, 1), nullptr, &none, 0);
    });
  }
  EXPECT_FALSE(n.ok());
  {
    KernelLock::Section section;
    EXPECT_EQ(Receive(server), "m");
  }
  EXPECT_EQ(*n, 1u);
}

TEST_F(UnixTest, SeqPackets) {
  SocketRef listener = Listener("seq", SOCK_SEQPACKET);
  SocketRef client = Make(SOCK_SEQPACKET);
  EXPECT_EQ(Receive(client), "ENOTCONN");
  EXPECT_EQ(Connect(client, "seq"), kOk);
  SocketRef server = listener->Accept(0, nullptr).value();
  EXPECT_EQ(*Send(client, "packet"), 6u);
  EXPECT_EQ(*Send(client, "next"), 4u);
  vfs::ReceivedMessage message;
  EXPECT_EQ(Receive(server, 4, 0, &message), "pack");
  EXPECT_EQ(message.flags, MSG_TRUNC);
  EXPECT_EQ(Receive(server), "next");
  client.reset();
  EXPECT_EQ(Receive(server), "");
  EXPECT_EQ(Send(server, "x").error(), Errno::kEPIPE);
}

TEST_F(UnixTest, PeekOffset) {
  auto [a, b] = Pair(SOCK_STREAM);
  EXPECT_EQ(SetOption(b, SO_PEEK_OFF, 0), kOk);
  Put(a, "abc");
  Put(a, "def");
  EXPECT_EQ(Receive(b, 2, MSG_PEEK), "ab");
  EXPECT_EQ(Receive(b, 2, MSG_PEEK), "cd");
  EXPECT_EQ(Receive(b, 1), "a");
  EXPECT_EQ(Receive(b, 9, MSG_PEEK), "ef");
  EXPECT_EQ(Receive(b, 9), "bcdef");
}

TEST_F(UnixTest, GenericOptions) {
  SocketRef s = Make(SOCK_STREAM);
  EXPECT_EQ(Option<int>(s, SO_TYPE), SOCK_STREAM);
  EXPECT_EQ(Option<int>(s, SO_DOMAIN), AF_UNIX);
  EXPECT_EQ(Option<int>(s, SO_PROTOCOL), 0);
  EXPECT_EQ(Option<int>(s, SO_SNDBUF), 212992);
  EXPECT_EQ(SetOption(s, SO_SNDBUF, 10000), kOk);
  EXPECT_EQ(Option<int>(s, SO_SNDBUF), 20000);
  EXPECT_EQ(SetOption(s, SO_RCVBUF, 1), kOk);
  EXPECT_EQ(Option<int>(s, SO_RCVBUF), 2304);
  EXPECT_EQ(SetOption(s, SO_TYPE, 1), Errno::kENOPROTOOPT);
  EXPECT_EQ(SetOption(s, 9999, 1), Errno::kENOPROTOOPT);
  EXPECT_EQ(s->GetSockOpt(SOL_SOCKET, 9999).error(), Errno::kENOPROTOOPT);
  EXPECT_EQ(s->GetSockOpt(6, 1).error(), Errno::kEOPNOTSUPP);
  EXPECT_EQ(s->SetSockOpt(*RootCreds(), SOL_SOCKET, SO_PASSCRED, "x").error(), Errno::kEINVAL);
  timeval bad = {.tv_usec = 1'000'000};
  EXPECT_EQ(s->SetSockOpt(*RootCreds(), SOL_SOCKET, SO_SNDTIMEO, {reinterpret_cast<char*>(&bad), sizeof bad}).error(), Errno::kEDOM);
}

// --- path names ---

class Directory;
class TestFs : public vfs::FileSystem {
 public:
  TestFs() : FileSystem("test", "none") {}
  RefPtr<vfs::Inode> root() override;
  Result<struct statfs> StatFs() override { return Errno::kENOSYS; }
  RefPtr<vfs::Inode> root_;
};
class Node : public vfs::Inode {
 public:
  Node(vfs::FileSystem* fs, uint32_t mode) : Inode(fs), mode_(mode), ino_(fs->NextIno()) {}
  Result<vfs::Attributes> Stat() override {
    vfs::Attributes attributes;
    attributes.mode = mode_;
    attributes.ino = ino_;
    return attributes;
  }
  uint32_t type() const override { return mode_ & S_IFMT; }
  Result<RefPtr<vfs::FileDescription>> Open(const vfs::OpenOptions&, const Credentials&) override { return Errno::kENXIO; }
  Result<RefPtr<vfs::Inode>> Lookup(std::string_view name) override {
    auto it = children_.find(std::string(name));
    if (it == children_.end()) return Errno::kENOENT;
    return it->second;
  }
  Result<RefPtr<vfs::Inode>> Mknod(std::string_view name, const vfs::CreateOptions& options) override {
    auto node = MakeRef<Node>(&fs(), options.mode);
    children_[std::string(name)] = node;
    return RefPtr<vfs::Inode>(node);
  }

 private:
  const uint32_t mode_;
  const uint64_t ino_;
  std::map<std::string, RefPtr<vfs::Inode>> children_;
};
RefPtr<vfs::Inode> TestFs::root() {
  if (!root_) root_ = MakeRef<Node>(this, S_IFDIR | 0777);
  return root_;
}

class UnixPathTest : public UnixTest {
 protected:
  UnixPathTest() {
    auto fs = MakeRef<TestFs>();
    ns_ = MakeRef<vfs::MountNamespace>(MakeRef<vfs::Mount>(RefPtr<vfs::FileSystem>(fs), 0ul));
    walk_.root = walk_.start = ns_->RootPath();
    walk_.creds = RootCreds();
  }
  RefPtr<vfs::MountNamespace> ns_;
};

TEST_F(UnixPathTest, PathNames) {
  SocketRef listener = Make(SOCK_STREAM), client = Make(SOCK_STREAM);
  EXPECT_EQ(client->Connect(caller_, PathAddress("/sock")).error(), Errno::kENOENT);
  EXPECT_TRUE(listener->Bind(caller_, PathAddress("/sock")).ok());
  EXPECT_EQ(client->Bind(caller_, PathAddress("/sock")).error(), Errno::kEADDRINUSE);
  EXPECT_EQ(client->Bind(caller_, PathAddress("/no/where")).error(), Errno::kENOENT);
  EXPECT_EQ(client->Connect(caller_, PathAddress("/")).error(), Errno::kECONNREFUSED);
  EXPECT_TRUE(listener->Listen(caller_, 1).ok());
  EXPECT_TRUE(client->Connect(caller_, PathAddress("sock")).ok());
  EXPECT_EQ(NameOf(client->GetPeerName()), "/sock");
  listener.reset();
  EXPECT_EQ(Make(SOCK_STREAM)->Connect(caller_, PathAddress("/sock")).error(), Errno::kECONNREFUSED);
}

}  // namespace
}  // namespace unix_socket
