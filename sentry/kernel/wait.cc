// wait(2): waitid and wait4.

#include <sys/wait.h>

#include "sentry/kernel/task.h"

namespace kernel {

namespace {

bool Matches(const Task& task, const ThreadGroup& child, const WaitRequest& request) {
  switch (request.kind) {
    case WaitRequest::Kind::kAll:
      break;
    case WaitRequest::Kind::kPid:
      if (child.leader().pid().get() != request.pid) return false;
      break;
    case WaitRequest::Kind::kProcessGroup:
      if (child.process_group.get() != request.group) return false;
      break;
  }
  if ((request.options & __WALL) != 0) return true;
  bool clone_child = child.exit_signal != SIGCHLD;
  return clone_child == ((request.options & __WCLONE) != 0);
}

WaitResult Describe(const Task& task, const ThreadGroup& child, int code, int status) {
  WaitResult result;
  result.pid = child.tgid(*task.pid_ns());
  result.uid = task.creds()->user_ns->UidFromKernel(child.leader().creds()->ruid);
  result.code = code;
  result.status = status;
  result.usage = child.TotalUsage();
  result.usage.Add(child.children_usage);
  return result;
}

}  // namespace

Result<WaitResult> WaitForChild(Task& task, const WaitRequest& request) {
  ThreadGroup& group = task.thread_group();
  auto attempt = [&]() -> Result<WaitResult> {
    bool any = false;
    for (ThreadGroup* child : group.children) {
      if (!Matches(task, *child, request)) continue;
      any = true;
      if (child->zombie && (request.options & WEXITED) != 0) {
        int status = child->exit_status;
        int code = (status & 0x7f) == 0 ? CLD_EXITED : (status & 0x80) != 0 ? CLD_DUMPED : CLD_KILLED;
        WaitResult result = Describe(task, *child, code, status);
        if ((request.options & WNOWAIT) == 0) child->Reap();
        return result;
      }
      if (child->zombie) continue;
      if ((request.options & WSTOPPED) != 0 && child->stopped && !child->stop_reported) {
        if ((request.options & WNOWAIT) == 0) child->stop_reported = true;
        return Describe(task, *child, CLD_STOPPED, (child->stop_signal << 8) | 0x7f);
      }
      if ((request.options & WCONTINUED) != 0 && !child->continue_reported) {
        if ((request.options & WNOWAIT) == 0) child->continue_reported = true;
        return Describe(task, *child, CLD_CONTINUED, 0xffff);
      }
    }
    if (!any) return Errno::kECHILD;
    if ((request.options & WNOHANG) != 0) return WaitResult{};
    return Errno::kEAGAIN;
  };
  return base::BlockUntil<WaitResult>(group.child_events, EPOLLIN, base::kNoDeadline, attempt);
}

}  // namespace kernel
