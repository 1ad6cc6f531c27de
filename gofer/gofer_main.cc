#include "gofer/gofer_main.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/host.h"
#include "base/log.h"
#include "gofer/sandbox.h"
#include "gofer/server.h"

namespace gofer {

namespace {

// As many descriptors as the host lets us have; returns how many handles that makes, with some kept for opening.
size_t RaiseDescriptorLimit() {
  rlimit limit{};
  if (!HOST(getrlimit(RLIMIT_NOFILE, &limit)).ok()) return 256;
  limit.rlim_cur = limit.rlim_max;
  (void)HOST(setrlimit(RLIMIT_NOFILE, &limit));
  (void)HOST(getrlimit(RLIMIT_NOFILE, &limit));
  constexpr rlim_t kReserve = 64;
  constexpr rlim_t kMost = 1 << 20;
  return limit.rlim_cur > 2 * kReserve ? std::min(limit.rlim_cur, kMost) - kReserve : kReserve;
}

Result<void> EnterSandbox(const GoferConfig& config, const std::vector<ExportRoot>& exports) {
  TRY(EnterNamespaces());
  TRY(EnterDescriptorDirectory());
  std::vector<int> keep = {config.socket_fd, config.log_fd};
  for (const ExportRoot& root : exports) keep.push_back(root.path.get());
  CloseOtherDescriptors(std::move(keep));
  TRY(DropPrivileges());
  return InstallSeccompFilter(config.socket_fd, config.log_fd);
}

// For tests: only what the server cannot do without.
Result<void> EnterWithoutSandbox() {
  TRY(HOST(chdir("/proc/self/fd")));
  return {};
}

}  // namespace

void GoferMain(GoferConfig config) {
  if (config.log_fd >= 0) base::LogInit(base::log_level, config.log_fd, "gofer");
  if (config.parent_death_signal != 0) (void)HOST(prctl(PR_SET_PDEATHSIG, config.parent_death_signal));
  // Modes are the client's to choose.
  umask(0);
  size_t max_handles = RaiseDescriptorLimit();

  std::vector<ExportRoot> exports;
  for (const Export& item : config.exports) {
    Result<Fd> root = OpenExport(item.host_path, item.read_only);
    if (!root.ok()) {
      LOG_WARNING("cannot open {}: {}", item.host_path, base::ErrnoName(root.error()));
      _exit(1);
    }
    exports.push_back({std::move(root).value(), item.read_only});
  }
  Result<void> entered = config.sandbox ? EnterSandbox(config, exports) : EnterWithoutSandbox();
  if (!entered.ok()) {
    LOG_WARNING("cannot enter the sandbox: {}", base::ErrnoName(entered.error()));
    _exit(1);
  }
  Server server(Fd(config.socket_fd), std::move(exports), max_handles);
  _exit(server.Run() ? 0 : 2);
}

}  // namespace gofer
