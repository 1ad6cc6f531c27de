#pragma once

// Makes the two processes of a sandbox out of this one, which has a single thread: no exec, they
// are copies that go different ways. The gofer is forked first, then the Sentry is cloned into its
// namespaces; the Sentry does nothing until it is released.

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/log.h"
#include "runsc-cli/cgroup.h"
#include "sentry/boot/boot.h"

namespace cli {

struct GoferExport {
  std::string host_path;
  bool read_only = false;
};

// What the gofer must reach for `spec`: the root first, then each bind mount in order.
// `mount_exports` gets the index for each of spec.mounts, -1 for mounts that need none.
std::vector<GoferExport> ExportsOf(const boot::Spec& spec, boot::Overlay overlay,
                                   std::vector<int>& mount_exports);

struct LaunchRequest {
  boot::BootConfig config;  // its gofer_socket and sync are made here
  std::vector<GoferExport> exports;
  const Cgroup* cgroup = nullptr;
  base::LogLevel log_level = base::LogLevel::kOff;
  int gofer_log_fd = -1;
};

struct Launched {
  pid_t sentry = 0, gofer = 0;
  Fd sync;
};

// Both are in the cgroup, the Sentry has its namespaces and id maps and waits. What was made is
// gone again on failure.
boot::StatusOr<Launched> Launch(LaunchRequest request);

// Lets the Sentry go on.
boot::Status Release(const Launched& launched);
// Waits until it has loaded init, or says in one line why not. `interrupts`: TerminationSignals,
// which end the wait.
boot::Status AwaitReady(const Launched& launched, const Fd& interrupts);

}  // namespace cli
