// clock_gettime(2), nanosleep(2), gettimeofday(2), time(2), times(2), getitimer(2), alarm(2), adjtimex(2).

#include <sys/times.h>
#include <sys/timex.h>

#include "sentry/kernel/kernel.h"
#include "syscalls/handlers.h"
#include "syscalls/permissions.h"
#include "syscalls/time_util.h"

namespace syscalls {

using kernel::ThreadGroup;
using kernel::Usage;

Result<int64_t> ToNs(const timespec& ts) {
  if (ts.tv_sec < 0 || ts.tv_nsec < 0 || ts.tv_nsec >= kSecond) return Errno::kEINVAL;
  if (ts.tv_sec > INT64_MAX / kSecond - 1) return INT64_MAX;
  return ts.tv_sec * kSecond + ts.tv_nsec;
}
Result<int64_t> ToNs(const timeval& tv) {
  if (tv.tv_usec < 0 || tv.tv_usec >= 1'000'000) return Errno::kEINVAL;
  return ToNs(timespec{tv.tv_sec, tv.tv_usec * 1000});
}

int64_t DeadlineIn(int64_t ns) {
  int64_t now = base::MonotonicNow();
  return ns > base::kNoDeadline - now ? base::kNoDeadline : now + ns;
}
Result<int64_t> RelativeDeadline(const timespec& ts) { return DeadlineIn(TRY(ToNs(ts))); }

namespace {

// Dynamic clock ids: bits 0-1 the kind (2: scheduler), bit 2 per thread, the rest ~pid (Linux: posix-timers.h).
bool IsDynamic(clockid_t clock) { return clock < 0 && (clock & 3) == 2; }
Result<Task*> DynamicTarget(Task& task, clockid_t clock) {
  bool per_thread = (clock & 4) != 0;
  int pid = ~(clock >> 3);
  Task* target = pid == 0 ? &task : task.pid_ns()->FindTask(pid);
  if (target == nullptr) return Errno::kEINVAL;
  if (per_thread ? &target->thread_group() != &task.thread_group() : !target->is_leader() && pid != 0) return Errno::kEINVAL;
  return target;
}

}  // namespace

Result<int64_t> ReadClock(Task& task, clockid_t clock) {
  switch (clock) {
    case CLOCK_REALTIME:
    case CLOCK_REALTIME_COARSE:
    case CLOCK_REALTIME_ALARM:
      return base::RealtimeNow();
    case CLOCK_TAI:
      return base::RealtimeNow();
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_MONOTONIC_COARSE:
    case CLOCK_BOOTTIME:
    case CLOCK_BOOTTIME_ALARM:
      return base::MonotonicNow();
    case CLOCK_PROCESS_CPUTIME_ID:
      return task.thread_group().TotalUsage().cpu_ns();
    case CLOCK_THREAD_CPUTIME_ID:
      return task.CurrentUsage().cpu_ns();
    default: {
      if (!IsDynamic(clock)) return Errno::kEINVAL;
      Task* target = TRY(DynamicTarget(task, clock));
      return ((clock & 4) != 0 ? target->CurrentUsage() : target->thread_group().TotalUsage()).cpu_ns();
    }
  }
}

Result<std::function<int64_t()>> CpuClock(Task& task, clockid_t clock) {
  using Clock = std::function<int64_t()>;
  bool per_thread = clock == CLOCK_THREAD_CPUTIME_ID || (IsDynamic(clock) && (clock & 4) != 0);
  if (!per_thread && clock != CLOCK_PROCESS_CPUTIME_ID && !IsDynamic(clock)) return Clock();
  Task* target = IsDynamic(clock) ? TRY(DynamicTarget(task, clock)) : &task;
  // By its number: the clock of a task that is gone stands.
  RefPtr<kernel::Pid> pid = per_thread ? target->pid() : target->thread_group().leader().pid();
  return Clock([pid, per_thread]() -> int64_t {
    if (pid->task == nullptr) return 0;
    return per_thread ? pid->task->CurrentUsage().cpu_ns() : pid->task->thread_group().TotalUsage().cpu_ns();
  });
}

Result<int64_t> MonotonicDeadline(Task& task, clockid_t clock, int64_t ns) {
  int64_t now = TRY(ReadClock(task, clock));
  return ns <= now ? base::MonotonicNow() : DeadlineIn(ns - now);
}

Result<uint64_t> SysClockGettime(Task& task, int clock, OutArg<timespec> out) {
  TRY(out.Write(task, ToTimespec(TRY(ReadClock(task, clock)))));
  return 0;
}

Result<uint64_t> SysClockGetres(Task& task, int clock, OutArg<timespec> out) {
  TRY(ReadClock(task, clock));
  bool coarse = clock == CLOCK_REALTIME_COARSE || clock == CLOCK_MONOTONIC_COARSE;
  if (!out.null()) TRY(out.Write(task, timespec{0, coarse ? 4'000'000 : 1}));
  return 0;
}

Result<uint64_t> SysClockSettime(Task& task, int clock, InArg<timespec> in) {
  if (clock != CLOCK_REALTIME) return Errno::kEINVAL;
  TRY(ToNs(TRY(in.Read(task))));
  return Errno::kEPERM;  // the sandbox does not own the host's clock
}

Result<uint64_t> SysGettimeofday(Task& task, OutArg<timeval> tv, OutArg<struct timezone> tz) {
  if (!tv.null()) TRY(tv.Write(task, ToTimeval(base::RealtimeNow())));
  if (!tz.null()) TRY(tz.Write(task, {}));
  return 0;
}

Result<uint64_t> SysSettimeofday(Task& task, InArg<timeval> tv, InArg<struct timezone> tz) {
  if (!tv.null()) TRY(ToNs(TRY(tv.Read(task))));
  return Errno::kEPERM;
}

Result<uint64_t> SysTime(Task& task, OutArg<int64_t> out) {
  int64_t now = base::RealtimeNow() / kSecond;
  if (!out.null()) TRY(out.Write(task, now));
  return static_cast<uint64_t>(now);
}

Result<uint64_t> SysTimes(Task& task, OutArg<struct tms> out) {
  auto ticks = [](int64_t ns) { return ns / (kSecond / 100); };
  if (!out.null()) {
    Usage own = task.thread_group().TotalUsage();
    const Usage& children = task.thread_group().children_usage;
    TRY(out.Write(task, {.tms_utime = ticks(own.user_ns), .tms_stime = ticks(own.system_ns),
                         .tms_cutime = ticks(children.user_ns), .tms_cstime = ticks(children.system_ns)}));
  }
  return static_cast<uint64_t>(ticks(base::MonotonicNow()));
}

namespace {

// Sleeps until a CLOCK_MONOTONIC deadline. A relative sleep reports what is left and goes on after a stop by the restart
// block; an absolute one is simply repeated.
Result<uint64_t> SleepUntil(Task& task, int64_t deadline, UserAddress remaining) {
  for (;;) {
    switch (base::Fiber::Block(deadline)) {
      case base::WakeReason::kTimedOut:
        return 0;
      case base::WakeReason::kWoken:
        continue;
      case base::WakeReason::kInterrupted: {
        int64_t left = deadline - base::MonotonicNow();
        if (left <= 0) return 0;
        if (remaining != 0) TRY(task.mm().Write<timespec>(remaining, ToTimespec(left)));
        task.restart_block = [deadline, remaining](Task& t) { return SleepUntil(t, deadline, remaining); };
        return Errno::kERESTART_RESTARTBLOCK;
      }
    }
  }
}

}  // namespace

Result<uint64_t> SysNanosleep(Task& task, InArg<timespec> request, OutArg<timespec> remaining) {
  return SleepUntil(task, TRY(RelativeDeadline(TRY(request.Read(task)))), remaining.address);
}

Result<uint64_t> SysClockNanosleep(Task& task, int clock, FlagsArg flags, InArg<timespec> request, OutArg<timespec> remaining) {
  if (clock == CLOCK_THREAD_CPUTIME_ID) return Errno::kEINVAL;
  TRY(ReadClock(task, clock));
  if (clock == CLOCK_REALTIME_COARSE || clock == CLOCK_MONOTONIC_COARSE || clock == CLOCK_MONOTONIC_RAW) return Errno::kEOPNOTSUPP;
  int64_t ns = TRY(ToNs(TRY(request.Read(task))));
  if ((flags & TIMER_ABSTIME) == 0) return SleepUntil(task, DeadlineIn(ns), remaining.address);
  int64_t deadline = TRY(MonotonicDeadline(task, clock, ns));
  for (;;) {
    switch (base::Fiber::Block(deadline)) {
      case base::WakeReason::kTimedOut:
        return 0;
      case base::WakeReason::kWoken:
        continue;
      case base::WakeReason::kInterrupted:
        return Errno::kERESTARTNOHAND;
    }
  }
}

// --- interval timers ---

namespace {

constexpr int kItimerSignals[3] = {SIGALRM, SIGVTALRM, SIGPROF};

// ITIMER_VIRTUAL counts the time in application code, ITIMER_PROF all that the process uses.
kernel::ClockTimer::Clock ItimerClock(ThreadGroup& group, int which) {
  switch (which) {
    case ITIMER_VIRTUAL:
      return [&group] { return group.TotalUsage().user_ns; };
    case ITIMER_PROF:
      return [&group] { return group.TotalUsage().cpu_ns(); };
    default:
      return nullptr;
  }
}

void ArmItimer(ThreadGroup& group, int which, int64_t value_ns, int64_t interval_ns) {
  ThreadGroup::IntervalTimer& timer = group.itimers[which];
  timer.timer.reset();
  timer.interval_ns = interval_ns;
  if (value_ns == 0) return;
  timer.timer = std::make_unique<kernel::ClockTimer>(ItimerClock(group, which), [&group, which] {
    ThreadGroup::IntervalTimer& fired = group.itimers[which];
    RefPtr<ThreadGroup> hold(&group);
    if (fired.interval_ns > 0) {
      // Missed periods are dropped, as Linux does for an overrun of a signal that is still pending.
      int64_t next = fired.timer->deadline() + fired.interval_ns;
      int64_t now = fired.timer->Now();
      if (next <= now) next += (now - next) / fired.interval_ns * fired.interval_ns + fired.interval_ns;
      fired.timer->Arm(next);
    }
    group.SendSignal(kernel::MakeSignalInfo(kItimerSignals[which], SI_KERNEL));
  });
  int64_t now = timer.timer->Now();
  timer.timer->Arm(value_ns > base::kNoDeadline - now ? base::kNoDeadline : now + value_ns);
}

itimerval ReadItimer(const ThreadGroup& group, int which) {
  const ThreadGroup::IntervalTimer& timer = group.itimers[which];
  int64_t left = timer.timer ? timer.timer->Left() : 0;
  // Never rounded to the zero that would say that it is not armed.
  return {.it_interval = ToTimeval(timer.interval_ns), .it_value = ToTimeval(left > 0 ? std::max<int64_t>(left, 1000) : 0)};
}

}  // namespace

Result<uint64_t> SysGetitimer(Task& task, int which, OutArg<itimerval> out) {
  if (which < 0 || which > 2) return Errno::kEINVAL;
  TRY(out.Write(task, ReadItimer(task.thread_group(), which)));
  return 0;
}

Result<uint64_t> SysSetitimer(Task& task, int which, InArg<itimerval> in, OutArg<itimerval> old) {
  itimerval value = {};
  if (!in.null()) value = TRY(in.Read(task));
  if (which < 0 || which > 2) return Errno::kEINVAL;
  int64_t value_ns = TRY(ToNs(value.it_value)), interval_ns = TRY(ToNs(value.it_interval));
  itimerval before = ReadItimer(task.thread_group(), which);
  ArmItimer(task.thread_group(), which, value_ns, interval_ns);
  if (!old.null()) TRY(old.Write(task, before));
  return 0;
}

Result<uint64_t> SysAlarm(Task& task, uint32_t seconds) {
  itimerval before = ReadItimer(task.thread_group(), ITIMER_REAL);
  ArmItimer(task.thread_group(), ITIMER_REAL, static_cast<int64_t>(seconds) * kSecond, 0);
  // Rounded, but never to the zero that would say that none was set.
  uint64_t left = static_cast<uint64_t>(before.it_value.tv_sec);
  if (before.it_value.tv_usec >= 500'000 || (left == 0 && before.it_value.tv_usec > 0)) left++;
  return left;
}

Result<uint64_t> SysAdjtimex(Task& task, InOutArg<struct timex> arg) {
  struct timex tx = TRY(arg.Read(task));
  if (tx.modes != 0 && tx.modes != ADJ_OFFSET_SS_READ) return Errno::kEPERM;
  tx = {};
  tx.status = STA_UNSYNC;
  tx.tick = 10000;
  tx.time = ToTimeval(base::RealtimeNow());
  TRY(arg.Write(task, tx));
  return TIME_ERROR;
}

Result<uint64_t> SysClockAdjtime(Task& task, int clock, InOutArg<struct timex> arg) {
  if (clock != CLOCK_REALTIME) return Errno::kEINVAL;
  return SysAdjtimex(task, arg);
}

}  // namespace syscalls
