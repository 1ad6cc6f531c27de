#pragma once

// The walls around the Sentry, put up by itself right after it was cloned into namespaces of its
// own. In this order:
//   SetUpProcess     waits for its id maps; becomes nobody; session, parent death signal, limits;
//   closes descriptors EnterEmptyRoot   the only directory that exists from then on is an empty,
//   read-only one (platform)       its helper processes are forked: they inherit all of the above
//   DropPrivileges   no capability in any set, no_new_privs, not dumpable
//   (filter)         sentry/boot/sentry_filter.h

#include <span>

#include "sentry/boot/boot.h"
#include "sentry/boot/status.h"

namespace boot {

// The namespaces a Sentry is cloned into (CLONE_NEW*).
extern const uint64_t kSentryNamespaces;

Status SetUpProcess(BootConfig& config);
Status EnterEmptyRoot();
Status DropPrivileges();

// Blocks the signals that a terminal makes, from here on and in all threads to come, and returns a
// signalfd of them (BootConfig::terminal_signals).
Fd TakeTerminalSignals();

// Closes every descriptor of this process that is not in `keep` (any order, -1 entries ignored).
void CloseAllExcept(std::span<const int> keep);

}  // namespace boot
