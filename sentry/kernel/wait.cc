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

int EndCode(int status) { return (status & 0x7f) == 0 ? CLD_EXITED : (status & 0x80) != 0 ? CLD_DUMPED : CLD_KILLED; }

bool TracedBy(const ThreadGroup& child, const ThreadGroup& group) {
  Task* tracer = child.leader().tracer();
  return tracer != nullptr && &tracer->thread_group() == &group;
}

bool Matches(const Task& tracee, const WaitRequest& request) {
  switch (request.kind) {
    case WaitRequest::Kind::kAll: return true;
    case WaitRequest::Kind::kPid: return tracee.pid().get() == request.pid;
    case WaitRequest::Kind::kProcessGroup: return tracee.thread_group().process_group.get() == request.group;
  }
  return false;
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

WaitResult DescribeTracee(const Task& task, const Task& tracee, int code, int status) {
  WaitResult result;
  result.pid = tracee.tid_in(*task.pid_ns());
  result.uid = task.creds()->user_ns->UidFromKernel(tracee.creds()->ruid);
  result.code = code;
  result.status = status;
  result.usage = tracee.usage;
  return result;
}

// Stops of the tracees of `tracer`, and ends that nobody else waits for first. EAGAIN: none; *any: a tracee matches.
Result<WaitResult> WaitForTracee(Task& task, Task& tracer, const WaitRequest& request, bool* any) {
  for (const RefPtr<Task>& entry : tracer.tracees) {
    RefPtr<Task> tracee = entry;
    if (!Matches(*tracee, request)) continue;
    *any = true;
    Trace& trace = *tracee->trace;
    if (trace.HasNews()) {
      if ((request.options & WNOWAIT) == 0) trace.MarkReported();
      return DescribeTracee(task, *tracee, CLD_TRAPPED, trace.code() << 8 | 0x7f);
    }
    if ((request.options & WEXITED) == 0 || !tracee->ended()) continue;
    ThreadGroup& group = tracee->thread_group();
    // A process is waited for here only if its parent is another; the parent's turn comes after that.
    if (tracee->is_leader() && (!group.zombie || group.parent() == &task.thread_group())) continue;
    int status = tracee->is_leader() ? group.exit_status : tracee->exit_status();
    WaitResult result = DescribeTracee(task, *tracee, EndCode(status), status);
    if ((request.options & WNOWAIT) == 0) trace.Detach(0);
    return result;
  }
  return Errno::kEAGAIN;
}

}  // namespace

Result<WaitResult> WaitForChild(Task& task, const WaitRequest& request) {
  ThreadGroup& group = task.thread_group();
  auto attempt = [&]() -> Result<WaitResult> {
    bool any = false;
    for (Task* tracer : group.tasks) {
      if (tracer->tracees.empty() || ((request.options & __WNOTHREAD) != 0 && tracer != &task)) continue;
      Result<WaitResult> result = WaitForTracee(task, *tracer, request, &any);
      if (result.ok() || result.error() != Errno::kEAGAIN) return result;
    }
    for (ThreadGroup* child : group.children) {
      const bool traced = TracedBy(*child, group);
      if (!Matches(task, *child, request) && !(traced && Matches(child->leader(), request))) continue;
      any = true;
      // Another process that traces it comes first.
      if (child->zombie && child->leader().tracer() != nullptr && !traced) continue;
      if (child->zombie && (request.options & WEXITED) != 0) {
        int status = child->exit_status;
        WaitResult result = Describe(task, *child, EndCode(status), status);
        if ((request.options & WNOWAIT) == 0) child->Reap();
        return result;
      }
      if (child->zombie) continue;
      if ((request.options & WSTOPPED) != 0 && child->stopped && !child->stop_reported && !traced) {
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
