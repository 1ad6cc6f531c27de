// signalfd's view of the calling task (vfs/signal_source.h).

#include "vfs/signal_source.h"

#include "sentry/kernel/terminal_owner.h"
#include "sentry/kernel/task.h"

namespace kernel {

namespace {

class TaskSignals final : public vfs::SignalSource {
 public:
  explicit TaskSignals(Task& task) : task_(task) {}
  bool DequeueSignal(uint64_t mask, siginfo_t* info) override {
    *info = task_.TakeSignal(mask);
    return info->si_signo != 0;
  }
  bool HasPendingSignal(uint64_t mask) override { return (task_.PendingSet() & mask) != 0; }
  WaitQueue& signal_queue() override { return task_.signal_events; }

 private:
  Task& task_;
};

}  // namespace

void RegisterSignalSource() {
  vfs::SignalSource::SetCurrent([]() -> vfs::SignalSource* {
    Task* task = Task::CurrentOrNull();
    if (task == nullptr) return nullptr;
    if (!task->signal_source) task->signal_source = std::make_unique<TaskSignals>(*task);
    return task->signal_source.get();
  });
}

}  // namespace kernel
