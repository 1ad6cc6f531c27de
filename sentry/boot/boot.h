#pragma once

// The Sentry's entry: what the command line hands to a freshly cloned Sentry process, and the two
// functions of the kernel integration (runsc-cli/run_kernel.cc) that it ends up in.

#include <sys/types.h>

#include <atomic>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "platform/platform.h"
#include "sentry/boot/spec.h"

namespace boot {

enum class Overlay { kNone, kRootMemory, kAllMemory };
enum class FileAccess { kExclusive, kShared };

// Makes the platform that --platform names; given by runsc-cli, which alone knows the concrete
// ones.
using PlatformFactory =
    Result<std::unique_ptr<platform::Platform>> (*)(const platform::Platform::Options&);

struct BootConfig {
  std::string id;
  Spec spec;

  std::string platform_name;
  PlatformFactory create_platform = nullptr;

  // The container's stdin, stdout and stderr: what the caller gave, or three times the slave side
  // of its terminal.
  Fd stdio[3];
  // --preserve-fds: these become the container's 3, 4, ...
  std::vector<Fd> extra_fds;
  // Listening socket of the control protocol (sentry/control/server.h).
  Fd control_listen;
  // SEQPACKET socket to the gofer (gofer/protocol). Its export 0 is the root.
  Fd gofer_socket;
  // For each of spec.mounts: the gofer's export that it shows, -1 for mounts without (proc, tmpfs,
  // ...).
  std::vector<int> mount_exports;
  // Socket to the process that creates the container. The Sentry waits on it for the release, then
  // answers once (see ReportReady and ReportFailure); the other side is gone at any time after
  // that.
  Fd sync;

  // Start init without waiting for a Start request (`run` and `do`).
  bool start_at_once = false;
  // Dies with the process that created it (`do`, and `run` in the foreground).
  bool die_with_parent = false;
  // The container's stdio is a host terminal that becomes the Sentry's controlling one.
  bool controlling_terminal = false;
  // Made by SentryMain for a controlling terminal: a signalfd(2) of SIGINT, SIGQUIT, SIGTSTP and
  // SIGWINCH, which the terminal sends to the Sentry and which are meant for the foreground process
  // group inside. Nonblocking; to be watched on the event loop. The signals stay blocked in all
  // threads.
  Fd terminal_signals;

  Overlay overlay = Overlay::kRootMemory;
  FileAccess file_access = FileAccess::kExclusive;
  bool strace = false;
  int hot_calls = 0;
  bool may_spin = false;
  // The debug log's descriptor, which base/log.h owns (-1: none): set-up leaves it open.
  int log_fd = -1;
  // --seccomp-log: the host logs what the filter would kill for, and lets it pass. For debugging
  // only.
  bool seccomp_log = false;

  // In a file of the container's directory that outlives the Sentry: init's wait status is stored
  // here before the Sentry exits. Mapped, because a descriptor would let it fill the host's disk.
  // May be null.
  std::atomic<int32_t>* exit_status = nullptr;

  // The user that the Sentry becomes, as seen in its user namespace.
  uid_t uid = 65534;
  gid_t gid = 65534;
};

// Runs the Sentry in this process, a fresh child that has its namespaces already
// (runsc-cli/launch.h): sets the sandbox up, makes the platform, gives away all rights, installs
// the filter and runs the kernel. Never returns; the exit status is init's (128 + signal when one
// killed it).
[[noreturn]] void SentryMain(BootConfig config);

// Tells the creator that init is loaded (`create` returns; `start` or start_at_once sets it going).
// Once.
void ReportReady(Fd& sync);
// Tells the creator why not, in one line that the user sees, and exits with status 1.
[[noreturn]] void ReportFailure(Fd& sync, std::string_view message);

// --- Provided by the kernel integration (runsc-cli/run_kernel.cc) ---

// First, while the process still may do anything: opens whatever the kernel needs of the host for
// its whole life (the memory file above all) and says what the platform must know. No threads yet.
platform::Platform::Options PrepareKernel(const BootConfig& config);

// Inside the sandbox, filter on, one thread. Loads init, serves config.control_listen
// (control::Server), calls ReportReady(config.sync), runs until init ends. Calls
// TimelinePhase("first instruction") before it enters it.
[[noreturn]] void RunKernel(BootConfig config, std::unique_ptr<platform::Platform> platform);

}  // namespace boot
