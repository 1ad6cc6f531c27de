#pragma once

#include <gtest/gtest.h>
#include <sys/un.h>

#include <string>

#include "vfs/fs/sock/unix_socket.h"

namespace unix_socket {

using SocketRef = RefPtr<vfs::Socket>;

inline RefPtr<const Credentials> RootCreds() {
  return RefPtr<const Credentials>(Credentials::Root(MakeRef<base::UserNamespace>(nullptr, 0)));
}

// A test with one network namespace and short spellings of the calls.
class UnixTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { Register(); }
  UnixTest() {
    self_ = {.pid = 10, .uid = 0, .gid = 0};
    vfs::Socket::SetCurrentCredentials([] { return self_; });
  }

  SocketRef Make(int type) { return vfs::CreateSocket(AF_UNIX, type, 0, *net_, RootCreds()).value(); }
  vfs::SocketPair Pair(int type) { return vfs::CreateSocketPair(AF_UNIX, type, 0, *net_, RootCreds()).value(); }
  Errno Bind(const SocketRef& s, std::string_view abstract) { return s->Bind(caller_, AbstractAddress(abstract)).error(); }
  Errno Connect(const SocketRef& s, std::string_view abstract) { return s->Connect(caller_, AbstractAddress(abstract)).error(); }
  SocketRef Listener(std::string_view abstract, int type = SOCK_STREAM, int backlog = 5) {
    SocketRef listener = Make(type);
    EXPECT_EQ(Bind(listener, abstract), Errno{});
    EXPECT_TRUE(listener->Listen(caller_, backlog).ok());
    return listener;
  }
  Result<size_t> Send(const SocketRef& s, std::string text, vfs::ControlMessages control = {}, int flags = 0) {
    return s->SendMsg(caller_, IoVec(text.data(), text.size()), nullptr, &control, flags);
  }
  void Put(const SocketRef& s, std::string text, vfs::ControlMessages control = {}) {
    EXPECT_EQ(Send(s, text, std::move(control)).value_or(0), text.size());
  }
  Result<size_t> SendTo(const SocketRef& s, std::string text, std::string_view abstract) {
    vfs::ControlMessages none;
    const vfs::SocketAddress to = AbstractAddress(abstract);
    return s->SendMsg(caller_, IoVec(text.data(), text.size()), &to, &none, 0);
  }
  std::string Receive(const SocketRef& s, size_t size = 1000, int flags = 0, vfs::ReceivedMessage* message = nullptr) {
    std::string text(size, 0);
    vfs::ReceivedMessage ignored;
    Result<size_t> n = s->RecvMsg(IoVec(text.data(), size), flags, message != nullptr ? message : &ignored);
    if (!n.ok()) return std::string(base::ErrnoName(n.error()));
    text.resize(std::min(*n, size));
    return text;
  }
  static std::string NameOf(const Result<vfs::SocketAddress>& address) {
    if (!address.ok()) return std::string(base::ErrnoName(address.error()));
    if (address->length() == 2) return "-";
    const char* path = address->data() + 2;
    if (path[0] == '\0') return "@" + std::string(path + 1, address->length() - 3);
    return std::string(path);
  }
  template <class T>
  static T Option(const SocketRef& s, int name) {
    std::string bytes = s->GetSockOpt(SOL_SOCKET, name).value();
    T value;
    EXPECT_EQ(bytes.size(), sizeof value);
    memcpy(&value, bytes.data(), sizeof value);
    return value;
  }
  static Errno SetOption(const SocketRef& s, int name, int value) {
    return s->SetSockOpt(*s->creds(), SOL_SOCKET, name, {reinterpret_cast<char*>(&value), sizeof value}).error();
  }

  static inline vfs::SocketCredentials self_;
  RefPtr<vfs::NetContext> net_ = MakeRef<vfs::NetContext>();
  vfs::WalkContext walk_;
  vfs::SocketCaller caller_{walk_};
};

}  // namespace unix_socket
