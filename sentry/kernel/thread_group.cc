#include "sentry/kernel/thread_group.h"

#include <algorithm>
#include <cstring>

#include "sentry/kernel/kernel.h"
#include "sentry/kernel/task.h"

namespace kernel {

void Usage::Add(const Usage& other) {
  user_ns += other.user_ns;
  system_ns += other.system_ns;
  minor_faults += other.minor_faults;
  major_faults += other.major_faults;
  voluntary_switches += other.voluntary_switches;
  involuntary_switches += other.involuntary_switches;
  max_resident_kb = std::max(max_resident_kb, other.max_resident_kb);
}

ThreadGroup::ThreadGroup(RefPtr<PidNamespace> ns, RefPtr<SignalHandlers> signal_handlers)
    : handlers(std::move(signal_handlers)), pid_ns_(std::move(ns)) {
  for (rlimit& limit : limits) limit = {RLIM_INFINITY, RLIM_INFINITY};
  limits[RLIMIT_STACK] = {8 << 20, RLIM_INFINITY};
  limits[RLIMIT_NOFILE] = {1024, 1 << 20};
  limits[RLIMIT_CORE] = {0, RLIM_INFINITY};
  limits[RLIMIT_MEMLOCK] = {8 << 20, 8 << 20};
  limits[RLIMIT_MSGQUEUE] = {819200, 819200};
  limits[RLIMIT_NICE] = limits[RLIMIT_RTPRIO] = {0, 0};
  limits[RLIMIT_SIGPENDING] = {95000, 95000};
  limits[RLIMIT_NPROC] = {95000, 95000};
}

ThreadGroup::~ThreadGroup() {
  SetParent(nullptr);
  if (process_group) process_group->members.erase(this);
  if (pid_ns_->init == this) pid_ns_->init = nullptr;
}

int ThreadGroup::tgid(const PidNamespace& in) const { return leader_ != nullptr ? leader_->tid_in(in) : 0; }

int ThreadGroup::parent_death_signal_of_leader() const { return leader_ != nullptr ? leader_->parent_death_signal : 0; }

void ThreadGroup::JoinProcessGroup(RefPtr<ProcessGroup> group) {
  if (process_group) process_group->members.erase(this);
  process_group = std::move(group);
  process_group->members.insert(this);
}

void ThreadGroup::SetParent(ThreadGroup* parent) {
  if (parent_ != nullptr) parent_->children.erase(this);
  parent_ = parent;
  if (parent_ != nullptr) parent_->children.insert(this);
}

void ThreadGroup::NotifyParent(int code, int status) {
  if (parent_ == nullptr) return;
  RefPtr<ThreadGroup> parent(parent_);
  bool ended = code == CLD_EXITED || code == CLD_KILLED || code == CLD_DUMPED;
  if (code == CLD_EXITED && (status & 0x7f) != 0) code = CLD_KILLED;
  int signo = ended ? exit_signal : SIGCHLD;
  const SignalAction& action = parent->handlers->actions[SIGCHLD];
  if (signo != 0 && (ended || (action.flags & SA_NOCLDSTOP) == 0)) {
    SignalInfo info = MakeSignalInfo(signo, code, tgid(*parent->pid_ns()),
                                     leader_ != nullptr ? leader_->creds()->ruid : 0);
    info.si_status = code == CLD_EXITED ? (status >> 8) & 0xff : ended ? status & 0x7f : status;
    Usage total = TotalUsage();
    info.si_utime = total.user_ns / 10'000'000;
    info.si_stime = total.system_ns / 10'000'000;
    parent->SendSignal(info);
  }
  parent->child_events.Notify(EPOLLIN);
}

Usage ThreadGroup::TotalUsage() const {
  Usage total = dead_tasks_usage;
  for (const Task* task : tasks) {
    if (!task->exiting()) total.Add(task->CurrentUsage());
  }
  return total;
}

// setrlimit(2): SIGXCPU at the soft limit and each second behind it, SIGKILL at the hard limit.
void ThreadGroup::ArmCpuLimit() {
  static constexpr rlim_t kLongest = 1'000'000'000, kSecond = 1'000'000'000;
  cpu_limit_timer.reset();
  if (limits[RLIMIT_CPU].rlim_cur == RLIM_INFINITY) return;
  auto deadline = [this] { return static_cast<int64_t>(std::clamp<rlim_t>(limits[RLIMIT_CPU].rlim_cur, 1, kLongest) * kSecond); };
  cpu_limit_timer = std::make_unique<ClockTimer>([this] { return TotalUsage().cpu_ns(); }, [this, deadline] {
    RefPtr<ThreadGroup> hold(this);
    rlimit& limit = limits[RLIMIT_CPU];
    if (static_cast<rlim_t>(TotalUsage().cpu_ns()) / kSecond >= limit.rlim_max) {
      SendSignal(MakeSignalInfo(SIGKILL, SI_KERNEL));
      return;
    }
    limit.rlim_cur++;
    cpu_limit_timer->Arm(deadline());
    SendSignal(MakeSignalInfo(SIGXCPU, SI_KERNEL));
  });
  cpu_limit_timer->Arm(deadline());
}

bool ProcessGroup::IsOrphaned() const {
  for (const ThreadGroup* member : members) {
    const ThreadGroup* parent = member->parent();
    if (member->zombie || parent == nullptr || !parent->process_group) continue;
    if (parent->process_group != this && parent->process_group->session == session) return false;
  }
  return true;
}

bool ProcessGroup::HasStoppedMember() const {
  for (const ThreadGroup* member : members) {
    if (member->stopped && !member->zombie) return true;
  }
  return false;
}

}  // namespace kernel
