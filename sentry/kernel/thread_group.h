#pragma once

// ThreadGroup: a process: the tasks that share a tgid, and what POSIX says is per process.

#include <sys/resource.h>

#include <memory>
#include <set>
#include <vector>

#include "base/ref.h"
#include "base/wait_queue.h"
#include "sentry/kernel/clock_timer.h"
#include "sentry/kernel/pid.h"
#include "sentry/kernel/session.h"
#include "sentry/kernel/signal.h"

namespace kernel {

// Resource usage, in nanoseconds and counts; getrusage(2).
struct Usage {
  int64_t user_ns = 0, system_ns = 0;
  uint64_t minor_faults = 0, major_faults = 0, voluntary_switches = 0, involuntary_switches = 0;
  uint64_t max_resident_kb = 0;
  int64_t cpu_ns() const { return user_ns + system_ns; }
  void Add(const Usage& other);
};

// The timers of timer_create(2), which the system call layer makes.
class PosixTimerSet : public RefCounted {
 public:
  // A signal with SI_TIMER is about to be delivered or fetched: gives it the overrun count of now.
  virtual void OnSignalTaken(SignalInfo& info) = 0;
};

class ThreadGroup : public RefCounted {
 public:
  ThreadGroup(RefPtr<PidNamespace> ns, RefPtr<SignalHandlers> signal_handlers);
  ~ThreadGroup() override;

  int tgid(const PidNamespace& in) const;
  Task& leader() const { return *leader_; }
  ThreadGroup* parent() const { return parent_; }
  const RefPtr<PidNamespace>& pid_ns() const { return pid_ns_; }

  // --- membership ---
  std::vector<Task*> tasks;  // living tasks and a zombie leader; borrowed: each removes itself when it is released
  int live_tasks = 0;
  bool started_by_kernel = false;  // by Kernel::CreateProcess: its end is told to Kernel::on_exit
  std::set<ThreadGroup*> children;
  RefPtr<ProcessGroup> process_group;
  Session& session() const { return *process_group->session; }
  void JoinProcessGroup(RefPtr<ProcessGroup> group);

  // --- signals ---
  RefPtr<SignalHandlers> handlers;
  PendingSignals pending;
  // Sends to the process. `info` was made by the caller, permission checked. SIGKILL, stops and continuation included.
  void SendSignal(const SignalInfo& info);
  // Ends every task with `status` (as wait(2) reports it).
  void ExitGroup(int status);
  bool exiting = false;
  int exit_status = 0;
  // Job control: tasks park in the run loop while stopped.
  bool stopped = false;
  int stop_signal = 0;
  bool stop_reported = true, continue_reported = true;  // to waitid(WSTOPPED, WCONTINUED)
  void Stop(int signo);
  void Continue();
  WaitQueue resume_events;   // tasks parked by a stop wait here
  int exit_signal = SIGCHLD;  // sent to the parent at the end; 0 none
  bool has_executed = false;  // setpgid of a child: EACCES

  // --- waiting: parents block here for children; signalled on exit, stop and continue of a child ---
  WaitQueue child_events;
  WaitQueue exit_events;    // pidfd: readable at the end
  WaitQueue member_events;  // a task is gone; execve waits for its siblings
  bool zombie = false;    // all tasks are gone, not reaped
  bool reaped = false;
  RefPtr<Task> zombie_leader;  // an ended leader, until the process is reaped
  void Finish(int status);     // the last task is gone
  void TellParent();           // ... and whoever traced it has seen that
  int parent_death_signal_of_leader() const;
  void Reap();                 // the parent has seen the end: the process and its number go
  bool child_subreaper = false;

  // --- limits, times ---
  rlimit limits[RLIM_NLIMITS];
  uint64_t Limit(int resource) const { return limits[resource].rlim_cur; }
  Usage dead_tasks_usage, children_usage;
  Usage TotalUsage() const;
  int64_t start_time_ns = 0;  // CLOCK_BOOTTIME
  struct IntervalTimer {
    int64_t interval_ns = 0;
    std::unique_ptr<ClockTimer> timer;
  };
  IntervalTimer itimers[3];       // ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF
  RefPtr<PosixTimerSet> posix_timers;  // made on first use
  std::unique_ptr<ClockTimer> cpu_limit_timer;
  void ArmCpuLimit();  // after RLIMIT_CPU has changed
  int oom_score_adj = 0;
  unsigned long personality = 0;

  void SetParent(ThreadGroup* parent);
  void NotifyParent(int code, int status);  // SIGCHLD with CLD_* and child_events

 private:
  friend class Task;
  RefPtr<PidNamespace> pid_ns_;
  Task* leader_ = nullptr;
  ThreadGroup* parent_ = nullptr;
};

}  // namespace kernel
