#include "vfs/fs/sock/unix_names.h"

#include <fmt/format.h>
#include <sys/un.h>

#include "vfs/fs/sock/unix_socket.h"
#include "vfs/operations.h"

namespace unix_socket {

namespace {
constexpr size_t kPathOffset = offsetof(sockaddr_un, sun_path);
}

Result<ParsedAddress> ParseAddress(const vfs::SocketAddress& address) {
  if (address.length() < kPathOffset || address.length() > sizeof(sockaddr_un)) return Errno::kEINVAL;
  if (address.family() != AF_UNIX) return Errno::kEINVAL;
  ParsedAddress parsed;
  const char* path = address.data() + kPathOffset;
  const size_t length = address.length() - kPathOffset;
  if (length == 0) return parsed;
  if (path[0] == '\0') {
    parsed.kind = ParsedAddress::Kind::kAbstract;
    parsed.name.assign(path + 1, length - 1);
  } else {
    parsed.kind = ParsedAddress::Kind::kPath;
    parsed.name.assign(path, strnlen(path, length));
  }
  return parsed;
}

vfs::SocketAddress UnnamedAddress() {
  const sa_family_t family = AF_UNIX;
  return vfs::SocketAddress(&family, sizeof family);
}

vfs::SocketAddress PathAddress(std::string_view path) {
  // A path of all 108 bytes is reported with a zero byte behind it, hence the larger buffer.
  char bytes[sizeof(sockaddr_un) + 1] = {};
  const sa_family_t family = AF_UNIX;
  memcpy(bytes, &family, sizeof family);
  memcpy(bytes + kPathOffset, path.data(), path.size());
  return vfs::SocketAddress(bytes, kPathOffset + path.size() + 1);
}

vfs::SocketAddress AbstractAddress(std::string_view name) {
  char bytes[sizeof(sockaddr_un)] = {};
  const sa_family_t family = AF_UNIX;
  memcpy(bytes, &family, sizeof family);
  memcpy(bytes + kPathOffset + 1, name.data(), name.size());
  return vfs::SocketAddress(bytes, kPathOffset + 1 + name.size());
}

AbstractNames& AbstractNames::Of(vfs::NetContext& net) {
  RefPtr<RefCounted>& state = net.family_state(AF_UNIX);
  if (!state) state = MakeRef<AbstractNames>();
  return static_cast<AbstractNames&>(*state);
}

Result<void> AbstractNames::Add(const std::string& name, Anchor& socket) {
  if (!names_.emplace(name, RefPtr<Anchor>(&socket)).second) return Errno::kEADDRINUSE;
  return {};
}

UnixSocket* AbstractNames::Find(const std::string& name) const {
  auto it = names_.find(name);
  return it != names_.end() ? it->second->socket : nullptr;
}

Result<std::string> AbstractNames::Choose() {
  constexpr uint32_t kChoices = 1 << 20;
  for (uint32_t tries = 0; tries < kChoices; tries++) {
    next_ = (next_ + 1) % kChoices;
    std::string name = fmt::format("{:05x}", next_);
    if (!names_.contains(name)) return name;
  }
  return Errno::kENOSPC;
}

Result<RefPtr<UnixSocket>> FindByAddress(const vfs::SocketCaller& caller, vfs::NetContext& net,
                                         const vfs::SocketAddress& address, int type) {
  const ParsedAddress parsed = TRY(ParseAddress(address));
  UnixSocket* found = nullptr;
  switch (parsed.kind) {
    case ParsedAddress::Kind::kUnnamed:
      return Errno::kEINVAL;
    case ParsedAddress::Kind::kAbstract:
      found = AbstractNames::Of(net).Find(parsed.name);
      break;
    case ParsedAddress::Kind::kPath: {
      const vfs::Path place = TRY(vfs::Walk(caller.walk, parsed.name, vfs::kWalkFollow));
      vfs::Inode& inode = place.inode();
      TRY(inode.CheckPermission(*caller.walk.creds, 2));  // MAY_WRITE
      if (inode.type() != S_IFSOCK) return Errno::kECONNREFUSED;
      if (inode.attached) found = static_cast<Anchor&>(*inode.attached).socket;
      break;
    }
  }
  if (found == nullptr) return Errno::kECONNREFUSED;
  if (found->type() != type) return Errno::kEPROTOTYPE;
  // One whose last reference has gone is as good as closed.
  if (!found->TryIncRef()) return Errno::kECONNREFUSED;
  return RefPtr<UnixSocket>::Adopt(found);
}

}  // namespace unix_socket
