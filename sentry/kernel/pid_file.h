#pragma once

// pidfd_open(2) descriptors: readable once the process has ended.

#include "sentry/kernel/thread_group.h"
#include "vfs/file_description.h"

namespace kernel {

RefPtr<vfs::FileDescription> MakePidFile(RefPtr<ThreadGroup> group, RefPtr<const Credentials> creds, int flags);
// The process behind a pidfd; null for another kind of file.
ThreadGroup* PidFileTarget(vfs::FileDescription& file);

}  // namespace kernel
