// membarrier(2): on the way into the Sentry a thread passes a full barrier, so it is enough to see each one come by.

#include "sentry/kernel/kernel.h"

namespace kernel {

void WaitForBarriers(Task& self, const mm::MemoryManager* memory) {
  struct Running {
    RefPtr<Task> task;
    int64_t entered;
  };
  std::vector<Running> running;
  Kernel& kernel = self.kernel();
  kernel.pid_ns->ForEach([&](int, Pid& pid) {
    Task* task = pid.task;
    if (task == nullptr || task == &self || !task->in_app()) return;
    if (memory == nullptr || task->memory().get() == memory) running.push_back({RefPtr<Task>(task), task->entered_app_ns()});
  });
  if (running.empty()) return;
  base::FiberWaiter waiter;
  kernel.left_app_events.Add(waiter, EPOLLIN);
  for (Running& one : running) one.task->Kick();
  for (Running& one : running) {
    while (one.task->in_app() && one.task->entered_app_ns() == one.entered && !self.killed() && !self.thread_group().exiting) {
      base::Fiber::Park();
    }
  }
}

}  // namespace kernel
