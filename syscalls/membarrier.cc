// membarrier(2): a memory barrier on the other threads, made by having each come by the Sentry.

#include <linux/membarrier.h>

#include <list>

#include "sentry/kernel/kernel.h"
#include "syscalls/handlers.h"

namespace syscalls {

namespace {

constexpr uint32_t kRegister = MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED | MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED |
                               MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE;
constexpr uint32_t kBarriers = MEMBARRIER_CMD_GLOBAL | MEMBARRIER_CMD_GLOBAL_EXPEDITED | MEMBARRIER_CMD_PRIVATE_EXPEDITED |
                               MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE;

// A task that does not run application code passes a full barrier (the kernel lock, a switch to the host kernel) before it
// does again. One that does is interrupted: it is a host signal for its thread, which comes with a barrier, and with
// serialized instruction fetch, on the way in; what it reported when it came is proof of that.
void WaitForAll(Task& task, bool everybody) {
  struct Passage {
    RefPtr<Task> other;
    base::FiberWaiter waiter;
  };
  std::list<Passage> passages;
  kernel::Kernel& kernel = task.kernel();
  kernel.pid_ns->ForEach([&](int, kernel::Pid& pid) {
    Task* other = pid.task;
    if (other == nullptr || other == &task || !other->in_application()) return;
    if (!everybody && other->memory() != task.memory()) return;
    Passage& passage = passages.emplace_back();
    passage.other = RefPtr<Task>(other);
    other->came_by.Add(passage.waiter, EPOLLIN);
  });
  for (Passage& passage : passages) passage.other->context().Interrupt();
  for (Passage& passage : passages) {
    while (!passage.waiter.fired) base::Fiber::Park();
  }
}

}  // namespace

Result<uint64_t> SysMembarrier(Task& task, int command, FlagsArg flags, int) {
  if (flags.value != 0) return Errno::kEINVAL;
  uint32_t& registered = task.mm().membarrier_commands;
  switch (command) {
    case MEMBARRIER_CMD_QUERY:
      return kRegister | kBarriers;
    case MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED:
    case MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED:
    case MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE:
      registered |= static_cast<uint32_t>(command);
      return 0;
    case MEMBARRIER_CMD_PRIVATE_EXPEDITED:
      if ((registered & MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) == 0) return Errno::kEPERM;
      if (task.mm().users > 1) WaitForAll(task, false);
      return 0;
    case MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE:
      if ((registered & MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE) == 0) return Errno::kEPERM;
      if (task.mm().users > 1) WaitForAll(task, false);
      return 0;
    case MEMBARRIER_CMD_GLOBAL:
    case MEMBARRIER_CMD_GLOBAL_EXPEDITED:
      WaitForAll(task, true);
      return 0;
    default:
      return Errno::kEINVAL;
  }
}

}  // namespace syscalls
