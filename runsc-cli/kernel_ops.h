#pragma once

// The control protocol's requests (sentry/control/container_ops.h) on a kernel::Kernel.

#include <atomic>
#include <map>
#include <vector>

#include "sentry/control/container_ops.h"
#include "sentry/kernel/kernel.h"

namespace cli {

// A process of the spec or of `exec` for the kernel. Files: `fds` become 0, 1, 2, ...
Result<kernel::ProcessSpec> ToKernelProcess(const boot::ProcessSpec& spec, std::vector<Fd> fds, const RefPtr<base::UserNamespace>& user_ns);

class KernelOps final : public control::ContainerOps {
 public:
  // `init` is loaded and not started. Its wait status is also stored in `exit_status` (may be null).
  KernelOps(kernel::Kernel& kernel, RefPtr<kernel::Task> init, std::atomic<int32_t>* exit_status);

  control::OpError Start() override;
  control::OpError Signal(control::SignalTarget target, int signo, int pid) override;
  void Exec(boot::ProcessSpec spec, std::vector<Fd> fds, ExecDone done) override;
  void Wait(int pid, WaitDone done) override;
  std::vector<control::ProcessStatus> Processes() override;
  void Pause(Done done) override;
  control::OpError Resume() override;
  bool started() override { return started_; }
  bool paused() override { return kernel_.paused(); }
  void Destroy() override;

 private:
  // Init, or a process that Exec started.
  struct Waited {
    bool ended = false;
    int status = 0;
    std::vector<WaitDone> waiters;
  };
  void OnExit(kernel::ThreadGroup& group, int status);
  [[noreturn]] void EndSandbox(int status);

  kernel::Kernel& kernel_;
  RefPtr<kernel::Task> init_;
  std::atomic<int32_t>* const exit_status_;
  bool started_ = false;
  std::map<int, Waited> waited_;
};

}  // namespace cli
