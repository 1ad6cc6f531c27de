#pragma once

// How the gofer locks itself in. In this order: OpenExport for each export while the host is in reach, EnterNamespaces, OpenDescriptorDirectory,
// CloseOtherDescriptors, DropPrivileges, InstallSeccompFilter.

#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace gofer {

// The root of an export: a detached private copy of the mount tree at `host_path` (nodev, nosuid and, where asked, read-only by the
// kernel's own enforcement), out of which ".." does not lead. Without the mount API: a plain O_PATH descriptor.
Result<Fd> OpenExport(const std::string& host_path, bool read_only);

// New mount, network, IPC, UTS and process-id namespaces, with an empty read-only root. Forks: returns in the child; the parent waits
// for it, as a shell that holds nothing, and exits as it did.
Result<void> EnterNamespaces();

// A descriptor of this process's directory /proc/self/fd on a procfs that shows this process only. Made the working directory: "7" then
// names what descriptor 7 is of, for the calls that take no O_PATH descriptor.
Result<void> EnterDescriptorDirectory();

// Closes all but `keep`.
void CloseOtherDescriptors(std::vector<int> keep);

// Leaves CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER and CAP_FSETID; no new privileges.
Result<void> DropPrivileges();

// gofer/seccomp_filter.cc: the allow-list. `socket_fd` and `log_fd` (or -1) are the only descriptors for messages and log lines.
Result<void> InstallSeccompFilter(int socket_fd, int log_fd);

}  // namespace gofer
