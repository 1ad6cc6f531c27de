#pragma once

// The System V objects of an IPC namespace.

#include "sentry/kernel/ipc_msg.h"
#include "sentry/kernel/ipc_sem.h"
#include "sentry/kernel/ipc_shm.h"
#include "sentry/kernel/namespaces.h"

namespace kernel {

class SysvIpc final : public RefCounted {
 public:
  // Made on first use.
  static SysvIpc& Of(IpcNamespace& ns) {
    if (!ns.sysv) ns.sysv = MakeRef<SysvIpc>();
    return static_cast<SysvIpc&>(*ns.sysv);
  }

  IpcTable<ShmSegment> shm;
  IpcTable<SemaphoreSet> sem;
  IpcTable<MessageQueue> msg;
};

}  // namespace kernel
