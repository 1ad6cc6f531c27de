#pragma once

// proc(5). One instance a mount, of the pid namespace of whoever mounts it. A file system above vfs/ because it is about
// tasks; registered as a type by the boot code.

#include "base/ref.h"
#include "base/result.h"
#include "sentry/kernel/kernel.h"
#include "vfs/inode.h"

namespace proc {

RefPtr<vfs::FileSystem> CreateProcFs(RefPtr<kernel::PidNamespace> pid_ns, std::string source);

// sysfs(5): the few files that programs look at.
RefPtr<vfs::FileSystem> CreateSysFs(std::string source);

}  // namespace proc
