#pragma once

// The seccomp filters of stub threads.

#include <linux/filter.h>

#include <vector>

#include "platform/platform.h"

namespace platform::systrap {

// Application threads: a call of the system's own rt_sigreturn site is allowed; the numbers of
// `full_state` trap into the stub's handler; everything else, of whatever architecture, notifies
// the Sentry.
std::vector<sock_filter> AppFilter(const SyscallSet& full_state);

// The helper: the listener's filter, and the final one, which kills the process for anything but
// changes of mappings.
std::vector<sock_filter> HelperDoorbellFilter();
std::vector<sock_filter> HelperFilter();

}  // namespace platform::systrap
