#pragma once

// Signal-driven I/O: F_SETOWN, F_SETSIG and O_ASYNC of fcntl(2).

#include "sentry/kernel/task.h"
#include "vfs/file_description.h"

namespace kernel {

// F_SETOWN_EX: `type` F_OWNER_*, `id` in the caller's pid namespace, 0: nobody. EINVAL, ESRCH.
Result<void> SetAsyncOwner(Task& task, vfs::FileDescription& file, int type, int id);
// The number of the owner as the caller sees it; 0: nobody.
struct AsyncOwner {
  int type = 0, id = 0;
};
AsyncOwner GetAsyncOwner(Task& task, vfs::FileDescription& file);
// After O_ASYNC has changed by descriptor `fd`.
void UpdateAsync(vfs::FileDescription& file, int fd);

}  // namespace kernel
