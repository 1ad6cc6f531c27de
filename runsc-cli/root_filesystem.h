#pragma once

// Assembles a container's file systems inside the Sentry: the root from the gofer under an in-memory overlay, and the
// mounts of the spec. The only place that knows concrete file systems.

#include <string>

#include "base/ref.h"
#include "sentry/boot/boot.h"
#include "sentry/boot/status.h"
#include "sentry/kernel/kernel.h"
#include "vfs/fs/gofer/connection.h"
#include "vfs/mount.h"

namespace cli {

// Registers file system types, devices, FIFOs and socket families. Once, before RootFileSystem.
void RegisterFileSystems();

// On a fiber. Errors say which mount and why.
boot::StatusOr<RefPtr<vfs::MountNamespace>> AssembleRoot(const boot::BootConfig& config, const RefPtr<goferfs::Connection>& gofer,
                                                         const RefPtr<const Credentials>& creds);

// Gives the terminal that a process is started on a name in the container's /dev/pts, for ttyname(3). On a fiber.
void NameTerminal(vfs::MountNamespace& mounts, const kernel::ProcessSpec& process);

}  // namespace cli
