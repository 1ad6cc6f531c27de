#pragma once

// Permission rules between tasks that several calls share.

#include "sentry/kernel/task.h"

namespace syscalls {

// kill(2): EPERM unless ids match, CAP_KILL is held, or SIGCONT stays within the session.
Result<void> CheckMaySignal(kernel::Task& sender, kernel::Task& target, int signo);

// ptrace(2), "Ptrace access mode checking": EPERM.
Result<void> CheckMayTrace(kernel::Task& tracer, kernel::Task& target);

// The task with `tid` (0: the caller) as seen by `task`; ESRCH.
Result<kernel::Task*> FindTask(kernel::Task& task, int tid);

// Kernel ids as `task` sees them: the overflow id where its user namespace does not map them.
uid_t ShowUid(kernel::Task& task, uid_t id);
gid_t ShowGid(kernel::Task& task, gid_t id);

}  // namespace syscalls
