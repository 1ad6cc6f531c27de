#pragma once

// Kernel: the one of a sandbox. Holds the platform, the root namespaces and what the whole system shares; starts the
// first process of a container and those of `exec`.

#include <functional>
#include <memory>
#include <string>

#include "base/ref.h"
#include "base/result.h"
#include "platform/platform.h"
#include "sentry/kernel/futex.h"
#include "sentry/kernel/known_calls.h"
#include "sentry/kernel/namespaces.h"
#include "sentry/kernel/task.h"

namespace kernel {

// A process to start: the container's init, or one of exec.
struct ProcessSpec {
  std::vector<std::string> argv, envp;
  std::string cwd = "/";
  RefPtr<const Credentials> creds;
  uint32_t umask = 022;
  bool no_new_privs = false;
  std::vector<std::pair<int, rlimit>> limits;  // resource, limit
  int oom_score_adj = 0;
  // Descriptors 0, 1, 2, ...; an empty entry leaves the number closed.
  std::vector<RefPtr<vfs::FileDescription>> files;
  RefPtr<RefCounted> terminal;  // becomes the controlling terminal of the new session
};

class Kernel {
 public:
  explicit Kernel(std::unique_ptr<platform::Platform> platform);
  static Kernel& Get();

  platform::Platform& platform() { return *platform_; }

  // --- set by the boot code before the first process ---
  RefPtr<base::UserNamespace> user_ns;
  RefPtr<PidNamespace> pid_ns;
  Namespaces namespaces;  // of the container; mount is set once its root file system is assembled
  // The system call dispatcher (layer 3): the value for rax, or a negative errno, restart codes included.
  int64_t (*dispatch)(Task& task, const platform::Event& event) = nullptr;
  // The kernel version that uname gives.
  static constexpr const char* kRelease = "6.1.0-runsc";
  static constexpr const char* kVersion = "#1 SMP PREEMPT_DYNAMIC runsc";

  FutexTable futexes;

  // Loads the process; it does not run before Task::Start. The first one is init of pid_ns. On a fiber.
  // Errors name what failed, for the caller's message: {errno, "exec /bin/x"}.
  struct StartError {
    Errno error{};
    std::string what;
  };
  Result<RefPtr<Task>> CreateProcess(const ProcessSpec& spec, StartError* error);

  // Told when a process that CreateProcess made ends, with its wait status: the container's wait and exec's.
  std::function<void(ThreadGroup&, int status)> on_exit;

  // --- pause and resume: tasks park before they go back to the application ---
  void Pause();
  void Resume();
  bool paused() const { return paused_; }
  WaitQueue resume_events;

  // Ends every process (SIGKILL semantics).
  void KillAll();

  int64_t boot_time_ns() const { return boot_time_ns_; }  // CLOCK_MONOTONIC when the sandbox started
  int cpu_count() const { return cpu_count_; }
  uint64_t live_tasks = 0, forks = 0;
  KnownCalls known_calls;

 private:
  std::unique_ptr<platform::Platform> platform_;
  bool paused_ = false;
  int64_t boot_time_ns_;
  int cpu_count_;
};

}  // namespace kernel
