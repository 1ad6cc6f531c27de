#include <malloc.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/event_loop.h"
#include "base/host.h"
#include "base/host_load.h"
#include "base/io_vec.h"
#include "base/log.h"
#include "sentry/boot/boot.h"
#include "sentry/boot/sandbox_setup.h"
#include "sentry/boot/sentry_filter.h"
#include "sentry/boot/timeline.h"

namespace boot {

void ReportReady(Fd& sync) {
  if (!sync.valid()) return;
  // The creator may have been killed meanwhile; the container then waits for its `start` all the
  // same.
  (void)HOST(send(sync.get(), "R", 1, MSG_NOSIGNAL));
  sync.reset();
}

void ReportFailure(Fd& sync, std::string_view message) {
  LOG_WARNING("the sandbox cannot start: {}", message);
  if (sync.valid()) {
    std::string text = StrCat("E", message);
    (void)HOST(send(sync.get(), text.data(), text.size(), MSG_NOSIGNAL));
  }
  _exit(1);
}

void SentryMain(BootConfig config) {
  auto check = [&config](const Status& status) {
    if (!status.ok()) ReportFailure(config.sync, status.message());
  };

  check(SetUpProcess(config));
  TimelinePhase("sentry: namespaces");
  if (config.controlling_terminal) config.terminal_signals = TakeTerminalSignals();
  if (config.may_spin) base::HostLoad::Prepare();
  check(EnterEmptyRoot());
  TimelinePhase("sentry: empty root");

  // The kernel lock leaves nothing to gain from an arena for each worker, and before it makes its ninth
  // glibc counts the processors in /sys, for which the filter would kill the Sentry.
  mallopt(M_ARENA_MAX, 1);

  // Everything that opens a descriptor or forks, while that is still allowed.
  base::EventLoop::Get().Init();
  base::InstallSafeCopyHandler();
  platform::Platform::Options options = PrepareKernel(config);
  Result<std::unique_ptr<platform::Platform>> platform = config.create_platform(options);
  if (!platform.ok()) {
    ReportFailure(config.sync, StrCat("platform ", config.platform_name,
                                      " cannot be used here: ", base::ErrnoText(platform.error())));
  }
  LOG_INFO("platform {}: {}", (*platform)->name(), (*platform)->mechanism());
  TimelinePhase("sentry: platform");

  check(DropPrivileges());
  check(InstallSentryFilter((*platform)->host_syscalls(),
                            config.seccomp_log ? FilterAction::kLog : FilterAction::kKill));
  TimelinePhase("sentry: filter");

  RunKernel(std::move(config), std::move(platform).value());
}

}  // namespace boot
