#pragma once

// Names of unix sockets, unix(7): path names, which are inodes, and abstract ones, which a network namespace has.

#include <map>
#include <string>

#include "vfs/fs/sock/message.h"

namespace unix_socket {

// A bound name; shared by the sockets that accept makes. Immutable.
class Name : public RefCounted {
 public:
  explicit Name(vfs::SocketAddress bytes) : address(bytes) {}
  const vfs::SocketAddress address;
};

// What an address says. `name` is the path, or the abstract name without its leading zero byte.
struct ParsedAddress {
  enum class Kind { kUnnamed, kPath, kAbstract } kind = Kind::kUnnamed;
  std::string name;
};
// EINVAL for another family or a bad length. Unnamed (only a family) is for the caller to judge.
Result<ParsedAddress> ParseAddress(const vfs::SocketAddress& address);

vfs::SocketAddress UnnamedAddress();
vfs::SocketAddress PathAddress(std::string_view path);
vfs::SocketAddress AbstractAddress(std::string_view name);

// The abstract names of a network namespace.
class AbstractNames : public RefCounted {
 public:
  static AbstractNames& Of(vfs::NetContext& net);

  // EADDRINUSE.
  Result<void> Add(const std::string& name, Anchor& socket);
  void Remove(const std::string& name) { names_.erase(name); }
  UnixSocket* Find(const std::string& name) const;
  // A free name of five hexadecimal digits, for autobind.
  Result<std::string> Choose();

 private:
  std::map<std::string, RefPtr<Anchor>, std::less<>> names_;
  uint32_t next_ = 0;
};

// The socket that `address` leads to, with the checks of connect and sendto: ECONNREFUSED, ENOENT, EACCES, EPROTOTYPE for one of
// another type than `type`.
Result<RefPtr<UnixSocket>> FindByAddress(const vfs::SocketCaller& caller, vfs::NetContext& net,
                                         const vfs::SocketAddress& address, int type);

}  // namespace unix_socket
