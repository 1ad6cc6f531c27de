#pragma once

// The namespaces of a task besides its pid and user namespace: namespaces(7).

#include <string>

#include "base/credentials.h"
#include "base/ref.h"
#include "sentry/kernel/pid.h"
#include "vfs/mount.h"

namespace kernel {

// Inode numbers that /proc/PID/ns shows.
uint64_t NextNamespaceId();

class UtsNamespace : public RefCounted {
 public:
  explicit UtsNamespace(RefPtr<base::UserNamespace> user) : user_ns(std::move(user)) {}
  RefPtr<base::UserNamespace> user_ns;
  std::string hostname = "runsc", domainname = "(none)";
  uint64_t id = NextNamespaceId();
};

// System V objects and POSIX queues hang off here (sysv code registers its state).
class IpcNamespace : public RefCounted {
 public:
  explicit IpcNamespace(RefPtr<base::UserNamespace> user) : user_ns(std::move(user)) {}
  RefPtr<base::UserNamespace> user_ns;
  RefPtr<RefCounted> sysv;    // sysv_ipc.h
  RefPtr<RefCounted> mqueue;  // mqueue.h
  uint64_t id = NextNamespaceId();
};

// The abstract unix socket names and, later, the network stack.
class NetNamespace : public RefCounted {
 public:
  explicit NetNamespace(RefPtr<base::UserNamespace> user) : user_ns(std::move(user)) {}
  RefPtr<base::UserNamespace> user_ns;
  RefPtr<RefCounted> abstract_sockets;
  RefPtr<RefCounted> stack;
  uint64_t id = NextNamespaceId();
};

struct Namespaces {
  RefPtr<UtsNamespace> uts;
  RefPtr<IpcNamespace> ipc;
  RefPtr<NetNamespace> net;
  RefPtr<vfs::MountNamespace> mount;
  RefPtr<PidNamespace> pid_for_children;
};

}  // namespace kernel
