// unix(7), socketpair(2): addresses, connections, data
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include <atomic>
#include <cstddef>

#include "util/check.h"
#include "util/child.h"
#include "util/clock.h"
#include "util/fd.h"
#include "util/memory.h"
#include "util/signals.h"
#include "util/temp_dir.h"

namespace conformance {
namespace {

// An address with its exact length; abstract when the name starts with a zero byte.
struct Address {
  explicit Address(const std::string& name) {
    memcpy(un.sun_path, name.data(), name.size());
    length = offsetof(sockaddr_un, sun_path) + name.size() + (name[0] != 0 ? 1 : 0);
  }
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&un); }
  sockaddr_un un = {.sun_family = AF_UNIX, .sun_path = {}};
  socklen_t length;
};

Address Abstract(const char* name) {
  return Address(std::string(1, '\0') + name + std::to_string(getpid()));
}

Fd Bound(int type, const Address& address) {
  Fd fd(socket(AF_UNIX, type, 0));
  EXPECT_OK(bind(fd, address.get(), address.length));
  return fd;
}
Fd Listening(int type, const Address& address, int backlog = 8) {
  Fd fd = Bound(type, address);
  EXPECT_OK(listen(fd, backlog));
  return fd;
}
Fd Connected(int type, const Address& address) {
  Fd fd(socket(AF_UNIX, type, 0));
  EXPECT_OK(connect(fd, address.get(), address.length));
  return fd;
}

struct Pair {
  explicit Pair(int type) {
    int fds[2] = {-1, -1};
    EXPECT_OK(socketpair(AF_UNIX, type, 0, fds));
    a.Reset(fds[0]);
    b.Reset(fds[1]);
  }
  Fd a, b;
};

TEST(Socket, UnknownArguments) {
  EXPECT_ERRNO(socket(AF_UNIX, 77, 0), EINVAL);
  EXPECT_ERRNO(socket(9999, SOCK_STREAM, 0), EAFNOSUPPORT);
  EXPECT_ERRNO(socket(AF_UNIX, SOCK_STREAM, 5), EPROTONOSUPPORT);
  EXPECT_ERRNO(socketpair(AF_UNIX, SOCK_STREAM, 0, BadPointer<int>()), EFAULT);
  Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  EXPECT_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
  EXPECT_TRUE(fcntl(fd, F_GETFL) & O_NONBLOCK);
}

TEST(Socket, NonSocketIsEnotsock) {
  Fd file(open("/", O_RDONLY));
  char c = 0;
  EXPECT_ERRNO(send(file, &c, 1, 0), ENOTSOCK);
  EXPECT_ERRNO(listen(file, 1), ENOTSOCK);
  EXPECT_ERRNO(shutdown(file, SHUT_RD), ENOTSOCK);
  EXPECT_ERRNO(listen(-1, 1), EBADF);
}

TEST(UnixStream, PairIsABytePipeBothWays) {
  Pair pair(SOCK_STREAM);
  char buffer[8];
  ASSERT_EQ(write(pair.a, "abc", 3), 3);
  ASSERT_EQ(write(pair.a, "def", 3), 3);
  EXPECT_EQ(read(pair.b, buffer, 8), 6);
  ASSERT_EQ(send(pair.b, "xyz", 3, 0), 3);
  EXPECT_EQ(recv(pair.a, buffer, 2, MSG_PEEK), 2);
  EXPECT_EQ(recv(pair.a, buffer, 8, 0), 3);
  EXPECT_ERRNO(recv(pair.a, buffer, 8, MSG_DONTWAIT), EAGAIN);
}

TEST(UnixStream, WaitallWaitsForTheWholeBuffer) {
  Pair pair(SOCK_STREAM);
  std::thread other([&] {
    for (int i = 0; i < 4; i++) {
      SleepMs(10);
      EXPECT_EQ(write(pair.b, "ab", 2), 2);
    }
  });
  char buffer[8];
  EXPECT_EQ(recv(pair.a, buffer, 8, MSG_WAITALL), 8);
  other.join();
}

TEST(UnixStream, PeerCloseIsEofThenEpipe) {
  Pair pair(SOCK_STREAM);
  ASSERT_EQ(write(pair.b, "x", 1), 1);
  pair.b.Reset();
  char c;
  EXPECT_EQ(read(pair.a, &c, 1), 1);
  EXPECT_EQ(read(pair.a, &c, 1), 0);
  EXPECT_ERRNO(send(pair.a, "x", 1, MSG_NOSIGNAL), EPIPE);
  int end = pair.a;
  EXPECT_KILLED(RunChild([end] { return static_cast<int>(write(end, "x", 1)); }), SIGPIPE);
}

TEST(UnixStream, CloseWithUnreadDataIsReset) {
  Pair pair(SOCK_STREAM);
  ASSERT_EQ(write(pair.a, "x", 1), 1);
  pair.b.Reset();
  char c;
  EXPECT_ERRNO(read(pair.a, &c, 1), ECONNRESET);
  EXPECT_EQ(read(pair.a, &c, 1), 0);
}

TEST(UnixStream, ShutdownHalves) {
  Pair pair(SOCK_STREAM);
  ASSERT_OK(shutdown(pair.a, SHUT_WR));
  char c;
  EXPECT_EQ(read(pair.b, &c, 1), 0);
  EXPECT_ERRNO(send(pair.a, "x", 1, MSG_NOSIGNAL), EPIPE);
  EXPECT_EQ(write(pair.b, "x", 1), 1) << "the other direction still works";
  EXPECT_EQ(read(pair.a, &c, 1), 1);
  ASSERT_OK(shutdown(pair.a, SHUT_RD));
  EXPECT_EQ(read(pair.a, &c, 1), 0);
  EXPECT_ERRNO(send(pair.b, "x", 1, MSG_NOSIGNAL), EPIPE);
  EXPECT_ERRNO(shutdown(pair.a, 3), EINVAL);
  Fd lone(socket(AF_UNIX, SOCK_STREAM, 0));
  EXPECT_OK(shutdown(lone, SHUT_RDWR)) << "unlike TCP, an unconnected one may be shut down";
}

TEST(UnixStream, FullBufferBlocksOrEagain) {
  Pair pair(SOCK_STREAM);
  ASSERT_OK(fcntl(pair.a, F_SETFL, O_NONBLOCK));
  std::string chunk(4096, 'x');
  size_t total = 0;
  ssize_t n;
  while ((n = write(pair.a, chunk.data(), chunk.size())) > 0) total += n;
  EXPECT_EQ(errno, EAGAIN);
  EXPECT_GE(total, 65536u);
  pollfd event = {pair.a, POLLOUT, 0};
  EXPECT_EQ(poll(&event, 1, 0), 0);
  size_t got = 0;
  while (got < total) got += read(pair.b, chunk.data(), chunk.size());
  EXPECT_EQ(got, total);
  EXPECT_EQ(poll(&event, 1, 0), 1);
}

TEST(UnixStream, LargeTransferThroughSmallBuffers) {
  Pair pair(SOCK_STREAM);
  std::string data(1 << 20, 0);
  for (size_t i = 0; i < data.size(); i++) data[i] = static_cast<char>(i * 13 / 7);
  std::thread sender([&] {
    size_t sent = 0;
    while (sent < data.size()) {
      ssize_t n = write(pair.a, data.data() + sent, data.size() - sent);
      ASSERT_GT(n, 0);
      sent += n;
    }
    pair.a.Reset();
  });
  std::string got = ReadAll(pair.b);
  sender.join();
  EXPECT_TRUE(got == data);
}

TEST(UnixStream, ConnectAcceptByPath) {
  TempDir dir;
  Address address(dir / "s");
  Fd listener = Listening(SOCK_STREAM, address);
  struct stat st;
  ASSERT_OK(stat(address.un.sun_path, &st));
  EXPECT_TRUE(S_ISSOCK(st.st_mode));
  Fd client = Connected(SOCK_STREAM, address);
  ASSERT_EQ(write(client, "early", 5), 5) << "possible before accept";
  Fd server(accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
  EXPECT_EQ(fcntl(server, F_GETFD), FD_CLOEXEC);
  char buffer[8];
  EXPECT_EQ(read(server, buffer, 8), 5);
  EXPECT_ERRNO(open(address.un.sun_path, O_RDWR), ENXIO);
}

TEST(UnixStream, NamesOfBothEnds) {
  TempDir dir;
  Address address(dir / "s");
  Fd listener = Listening(SOCK_STREAM, address), client = Connected(SOCK_STREAM, address);
  sockaddr_un peer = {}, own = {};
  socklen_t length = sizeof(peer);
  Fd server(accept(listener, reinterpret_cast<sockaddr*>(&peer), &length));
  EXPECT_EQ(length, 2u) << "an unbound client has no name";
  EXPECT_EQ(peer.sun_family, AF_UNIX);
  length = sizeof(own);
  ASSERT_OK(getsockname(server, reinterpret_cast<sockaddr*>(&own), &length));
  EXPECT_STREQ(own.sun_path, address.un.sun_path);
  EXPECT_EQ(length, address.length);
  length = sizeof(peer);
  ASSERT_OK(getpeername(client, reinterpret_cast<sockaddr*>(&peer), &length));
  EXPECT_STREQ(peer.sun_path, address.un.sun_path);
  EXPECT_ERRNO(getpeername(listener, reinterpret_cast<sockaddr*>(&peer), &length), ENOTCONN);
}

TEST(UnixStream, AbstractNameIsBinaryAndVanishesWithTheSocket) {
  Address address(std::string("\0bin\0ary", 8) + std::to_string(getpid()));
  Fd listener = Listening(SOCK_STREAM, address);
  Fd client = Connected(SOCK_STREAM, address);
  Address prefix(std::string("\0bin", 4));
  Fd other(socket(AF_UNIX, SOCK_STREAM, 0));
  EXPECT_ERRNO(connect(other, prefix.get(), prefix.length), ECONNREFUSED);
  listener.Reset();
  EXPECT_ERRNO(connect(other, address.get(), address.length), ECONNREFUSED);
  Fd again = Bound(SOCK_STREAM, address);
}

TEST(UnixStream, AutobindGivesAnAbstractName) {
  Fd fd(socket(AF_UNIX, SOCK_STREAM, 0));
  sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = {}};
  ASSERT_OK(bind(fd, reinterpret_cast<sockaddr*>(&name), sizeof(sa_family_t)));
  socklen_t length = sizeof(name);
  ASSERT_OK(getsockname(fd, reinterpret_cast<sockaddr*>(&name), &length));
  EXPECT_EQ(length, sizeof(sa_family_t) + 6);
  EXPECT_EQ(name.sun_path[0], 0);
}

TEST(UnixStream, BindAndConnectErrors) {
  TempDir dir;
  Address address(dir / "s"), none(dir / "none"), file(dir.File("f"));
  Fd listener = Listening(SOCK_STREAM, address);
  Fd fd(socket(AF_UNIX, SOCK_STREAM, 0));
  EXPECT_ERRNO(bind(fd, address.get(), address.length), EADDRINUSE);
  EXPECT_ERRNO(bind(fd, Address(dir / "no/s").get(), Address(dir / "no/s").length), ENOENT);
  EXPECT_ERRNO(connect(fd, none.get(), none.length), ENOENT);
  EXPECT_ERRNO(connect(fd, file.get(), file.length), ECONNREFUSED);
  EXPECT_ERRNO(connect(fd, address.get(), 1), EINVAL);
  EXPECT_ERRNO(listen(fd, 1), EINVAL) << "not bound";
  EXPECT_ERRNO(accept(fd, nullptr, nullptr), EINVAL) << "not listening";
  Fd datagram(socket(AF_UNIX, SOCK_DGRAM, 0));
  EXPECT_ERRNO(connect(datagram, address.get(), address.length), EPROTOTYPE);
  EXPECT_ERRNO(listen(datagram, 1), EOPNOTSUPP);
  ASSERT_OK(connect(fd, address.get(), address.length));
  EXPECT_ERRNO(connect(fd, address.get(), address.length), EISCONN);
  char c = 0;
  Fd lone(socket(AF_UNIX, SOCK_STREAM, 0));
  EXPECT_ERRNO(send(lone, &c, 1, MSG_NOSIGNAL), ENOTCONN);
  EXPECT_ERRNO(recv(lone, &c, 1, 0), EINVAL);
}

TEST(UnixStream, FullBacklogIsEagainWhenNonblocking) {
  Address address = Abstract("backlog");
  Fd listener = Listening(SOCK_STREAM, address, 0);
  Fd first = Connected(SOCK_STREAM, address);
  Fd second(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0));
  EXPECT_ERRNO(connect(second, address.get(), address.length), EAGAIN);
  Fd accepted(accept(listener, nullptr, nullptr));
  EXPECT_OK(connect(second, address.get(), address.length));
}

TEST(UnixStream, AcceptBlocksAndPollSaysReadable) {
  Address address = Abstract("accept");
  Fd listener = Listening(SOCK_STREAM, address);
  pollfd event = {listener, POLLIN, 0};
  EXPECT_EQ(poll(&event, 1, 0), 0);
  std::thread other([&] {
    SleepMs(50);
    Fd client = Connected(SOCK_STREAM, address);
    char c;
    EXPECT_EQ(read(client, &c, 1), 0);
  });
  Fd server(accept(listener, nullptr, nullptr));
  EXPECT_OK(server.get());
  server.Reset();
  other.join();
  ASSERT_OK(fcntl(listener, F_SETFL, O_NONBLOCK));
  EXPECT_ERRNO(accept(listener, nullptr, nullptr), EAGAIN);
}

TEST(UnixStream, ListenerCloseResetsQueuedClients) {
  Address address = Abstract("queued");
  Fd listener = Listening(SOCK_STREAM, address), client = Connected(SOCK_STREAM, address);
  listener.Reset();
  char c;
  EXPECT_ERRNO(read(client, &c, 1), ECONNRESET);
}

TEST(UnixStream, PeerCredentialsAreThoseOfConnect) {
  Address address = Abstract("peercred");
  Fd listener = Listening(SOCK_STREAM, address);
  pid_t pid = Fork([&] {
    CHILD_CHECK(setresgid(200, 200, 200) == 0 && setresuid(100, 100, 100) == 0);
    Fd client = Connected(SOCK_STREAM, address);
    char c;
    return static_cast<int>(read(client, &c, 1));
  });
  Fd server(accept(listener, nullptr, nullptr));
  ucred credentials = {};
  socklen_t length = sizeof(credentials);
  ASSERT_OK(getsockopt(server, SOL_SOCKET, SO_PEERCRED, &credentials, &length));
  EXPECT_EQ(credentials.pid, pid);
  EXPECT_EQ(credentials.uid, 100u);
  EXPECT_EQ(credentials.gid, 200u);
  server.Reset();
  EXPECT_EXITED(Wait(pid), 0);
}

TEST(UnixDgram, MessagesKeepTheirBoundaries) {
  Pair pair(SOCK_DGRAM);
  ASSERT_EQ(send(pair.a, "one", 3, 0), 3);
  ASSERT_EQ(send(pair.a, "", 0, 0), 0);
  ASSERT_EQ(send(pair.a, "three", 5, 0), 5);
  char buffer[16];
  EXPECT_EQ(recv(pair.b, buffer, 16, 0), 3);
  EXPECT_EQ(recv(pair.b, buffer, 16, 0), 0);
  EXPECT_EQ(recv(pair.b, buffer, 2, 0), 2) << "the rest is lost";
  EXPECT_ERRNO(recv(pair.b, buffer, 16, MSG_DONTWAIT), EAGAIN);
}

TEST(UnixDgram, TruncIsReported) {
  Pair pair(SOCK_DGRAM);
  ASSERT_EQ(send(pair.a, "0123456789", 10, 0), 10);
  ASSERT_EQ(send(pair.a, "0123456789", 10, 0), 10);
  char buffer[4];
  EXPECT_EQ(recv(pair.b, buffer, 4, MSG_TRUNC), 10);
  iovec vector = {buffer, 4};
  msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
  EXPECT_EQ(recvmsg(pair.b, &message, 0), 4);
  EXPECT_EQ(message.msg_flags, MSG_TRUNC);
}

TEST(UnixDgram, SendtoByNameAndReplyToSender) {
  TempDir dir;
  Address server_name(dir / "server"), client_name(dir / "client");
  Fd server = Bound(SOCK_DGRAM, server_name), client = Bound(SOCK_DGRAM, client_name);
  ASSERT_EQ(sendto(client, "ping", 4, 0, server_name.get(), server_name.length), 4);
  sockaddr_un from = {};
  socklen_t length = sizeof(from);
  char buffer[8];
  ASSERT_EQ(recvfrom(server, buffer, 8, 0, reinterpret_cast<sockaddr*>(&from), &length), 4);
  EXPECT_STREQ(from.sun_path, client_name.un.sun_path);
  ASSERT_EQ(sendto(server, "pong", 4, 0, reinterpret_cast<sockaddr*>(&from), length), 4);
  EXPECT_EQ(recv(client, buffer, 8, 0), 4);
}

TEST(UnixDgram, Errors) {
  TempDir dir;
  Address none(dir / "none");
  Fd fd(socket(AF_UNIX, SOCK_DGRAM, 0));
  EXPECT_ERRNO(send(fd, "x", 1, 0), ENOTCONN);
  EXPECT_ERRNO(sendto(fd, "x", 1, 0, none.get(), none.length), ENOENT);
  Address name(dir / "s");
  {
    Fd server = Bound(SOCK_DGRAM, name);
    ASSERT_OK(connect(fd, name.get(), name.length));
  }
  EXPECT_ERRNO(send(fd, "x", 1, 0), ECONNREFUSED);
  std::string huge(8 << 20, 'x');
  Pair pair(SOCK_DGRAM);
  EXPECT_ERRNO(send(pair.a, huge.data(), huge.size(), 0), EMSGSIZE);
}

TEST(UnixSeqpacket, RecordsAndConnection) {
  Address address = Abstract("seq");
  Fd listener = Listening(SOCK_SEQPACKET, address);
  Fd client = Connected(SOCK_SEQPACKET, address);
  Fd server(accept(listener, nullptr, nullptr));
  ASSERT_EQ(send(client, "one", 3, 0), 3);
  ASSERT_EQ(send(client, "second", 6, 0), 6);
  char buffer[16];
  EXPECT_EQ(recv(server, buffer, 16, 0), 3);
  EXPECT_EQ(recv(server, buffer, 2, 0), 2);
  client.Reset();
  EXPECT_EQ(recv(server, buffer, 16, 0), 0);
  EXPECT_ERRNO(send(server, "x", 1, MSG_NOSIGNAL), EPIPE);
}

TEST(SocketOptions, TypeDomainErrorBuffer) {
  Pair pair(SOCK_STREAM);
  int value = -1;
  socklen_t length = sizeof(value);
  ASSERT_OK(getsockopt(pair.a, SOL_SOCKET, SO_TYPE, &value, &length));
  EXPECT_EQ(value, SOCK_STREAM);
  ASSERT_OK(getsockopt(pair.a, SOL_SOCKET, SO_DOMAIN, &value, &length));
  EXPECT_EQ(value, AF_UNIX);
  ASSERT_OK(getsockopt(pair.a, SOL_SOCKET, SO_ERROR, &value, &length));
  EXPECT_EQ(value, 0);
  ASSERT_OK(getsockopt(pair.a, SOL_SOCKET, SO_ACCEPTCONN, &value, &length));
  EXPECT_EQ(value, 0);
  value = 20000;
  ASSERT_OK(setsockopt(pair.a, SOL_SOCKET, SO_SNDBUF, &value, length));
  ASSERT_OK(getsockopt(pair.a, SOL_SOCKET, SO_SNDBUF, &value, &length));
  EXPECT_EQ(value, 40000) << "the kernel doubles it for its own book-keeping";
  EXPECT_ERRNO(getsockopt(pair.a, SOL_SOCKET, 9999, &value, &length), ENOPROTOOPT);
  EXPECT_ERRNO(setsockopt(pair.a, SOL_SOCKET, SO_SNDBUF, &value, 2), EINVAL);
  EXPECT_ERRNO(setsockopt(pair.a, 9999, 1, &value, 4), EOPNOTSUPP);
}

TEST(SocketOptions, ReceiveTimeout) {
  Pair pair(SOCK_STREAM);
  timeval limit = {0, 50'000};
  ASSERT_OK(setsockopt(pair.a, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)));
  int64_t start = NowMs();
  char c;
  EXPECT_ERRNO(read(pair.a, &c, 1), EAGAIN);
  EXPECT_GE(NowMs() - start, 45);
}

TEST(SocketMessages, SendmmsgRecvmmsg) {
  Pair pair(SOCK_DGRAM);
  char texts[3][4] = {"aaa", "bbb", "ccc"}, buffers[3][4];
  iovec out[3], in[3];
  mmsghdr send_messages[3] = {}, receive_messages[3] = {};
  for (int i = 0; i < 3; i++) {
    out[i] = {texts[i], 3};
    in[i] = {buffers[i], 4};
    send_messages[i].msg_hdr = {.msg_iov = &out[i], .msg_iovlen = 1};
    receive_messages[i].msg_hdr = {.msg_iov = &in[i], .msg_iovlen = 1};
  }
  EXPECT_EQ(sendmmsg(pair.a, send_messages, 3, 0), 3);
  EXPECT_EQ(send_messages[2].msg_len, 3u);
  EXPECT_EQ(recvmmsg(pair.b, receive_messages, 3, MSG_DONTWAIT, nullptr), 3);
  EXPECT_EQ(receive_messages[1].msg_len, 3u);
  EXPECT_EQ(buffers[2][0], 'c');
}

TEST(SocketMessages, IovecsAreGatheredAndCountIsLimited) {
  Pair pair(SOCK_STREAM);
  char a[] = "ab", b[] = "cd";
  iovec vectors[2] = {{a, 2}, {b, 2}};
  msghdr message = {.msg_iov = vectors, .msg_iovlen = 2};
  EXPECT_EQ(sendmsg(pair.a, &message, 0), 4);
  message.msg_iovlen = 1025;
  EXPECT_ERRNO(sendmsg(pair.a, &message, 0), EMSGSIZE);
  EXPECT_ERRNO(sendmsg(pair.a, BadPointer<msghdr>(), 0), EFAULT);
  EXPECT_ERRNO(recvmsg(pair.b, BadPointer<msghdr>(), 0), EFAULT);
}

TEST(SocketIoctl, UnreadAndUnsentBytes) {
  Pair pair(SOCK_STREAM);
  ASSERT_EQ(write(pair.a, "12345", 5), 5);
  int count = 0;
  EXPECT_OK(ioctl(pair.b, FIONREAD, &count));
  EXPECT_EQ(count, 5);
  EXPECT_OK(ioctl(pair.a, TIOCOUTQ, &count));
  EXPECT_GT(count, 0);
}

}  // namespace
}  // namespace conformance
