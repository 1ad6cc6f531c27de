// timer_create(2), timer_settime(2), timer_gettime(2), timer_getoverrun(2), timer_delete(2).

#include <map>

#include "sentry/kernel/kernel.h"
#include "syscalls/handlers.h"
#include "syscalls/time_util.h"

namespace syscalls {

namespace {

struct PosixTimer {
  int id;
  clockid_t clock;
  sigevent event;
  kernel::ThreadGroup* group;
  RefPtr<kernel::Pid> thread;  // SIGEV_THREAD_ID
  int64_t interval_ns = 0;
  int overrun = 0;
  int last_overrun = 0;
  std::unique_ptr<kernel::ClockTimer> timer;

  void Fire() {
    if (interval_ns > 0) {
      int64_t next = timer->deadline() + interval_ns, now = timer->Now();
      if (next <= now) {
        int64_t missed = (now - next) / interval_ns + 1;
        CountOverrun(missed);
        next += missed * interval_ns;
      }
      timer->Arm(next);
    }
    if (event.sigev_notify == SIGEV_NONE) return;
    kernel::SignalInfo info = kernel::MakeSignalInfo(event.sigev_signo, SI_TIMER);
    info.si_timerid = id;
    info.si_value = event.sigev_value;
    RefPtr<kernel::ThreadGroup> hold(group);
    bool to_thread = event.sigev_notify == SIGEV_THREAD_ID;
    if (to_thread && thread->task == nullptr) return;
    const kernel::PendingSignals& pending = to_thread ? thread->task->pending : group->pending;
    if ((pending.set() & kernel::SignalBit(info.si_signo)) != 0) {
      CountOverrun(1);
    } else if (to_thread) {
      thread->task->SendSignal(info);
    } else {
      group->SendSignal(info);
    }
  }
  void CountOverrun(int64_t n) { overrun = static_cast<int>(std::min<int64_t>(overrun + n, INT32_MAX)); }
};

// Hangs off the thread group.
class PosixTimers : public kernel::PosixTimerSet {
 public:
  void OnSignalTaken(kernel::SignalInfo& info) override {
    auto it = timers.find(info.si_timerid);
    if (it == timers.end()) return;
    PosixTimer& timer = *it->second;
    info.si_overrun = timer.last_overrun = std::exchange(timer.overrun, 0);
  }

  std::map<int, std::unique_ptr<PosixTimer>> timers;
  int next_id = 0;
};

PosixTimers& TimersOf(Task& task) {
  auto& slot = task.thread_group().posix_timers;
  if (!slot) slot = MakeRef<PosixTimers>();
  return static_cast<PosixTimers&>(*slot);
}

Result<PosixTimer*> Find(Task& task, int id) {
  PosixTimers& timers = TimersOf(task);
  auto it = timers.timers.find(id);
  if (it == timers.timers.end()) return Errno::kEINVAL;
  return it->second.get();
}

itimerspec Remaining(const PosixTimer& timer) {
  return {.it_interval = ToTimespec(timer.interval_ns), .it_value = ToTimespec(timer.timer->Left())};
}

}  // namespace

Result<uint64_t> SysTimerCreate(Task& task, int clock, InArg<sigevent> event, OutArg<int> out) {
  TRY(ReadClock(task, clock));
  if (clock == CLOCK_MONOTONIC_RAW || clock == CLOCK_REALTIME_COARSE || clock == CLOCK_MONOTONIC_COARSE) return Errno::kEOPNOTSUPP;
  PosixTimers& timers = TimersOf(task);
  auto timer = std::make_unique<PosixTimer>();
  timer->id = timers.next_id;
  timer->clock = clock;
  timer->group = &task.thread_group();
  if (event.null()) {
    timer->event = {};
    timer->event.sigev_notify = SIGEV_SIGNAL;
    timer->event.sigev_signo = SIGALRM;
    timer->event.sigev_value.sival_int = timer->id;
  } else {
    timer->event = TRY(event.Read(task));
    int notify = timer->event.sigev_notify;
    if (notify != SIGEV_NONE && notify != SIGEV_SIGNAL && notify != SIGEV_THREAD_ID) return Errno::kEINVAL;
    if (notify != SIGEV_NONE && (timer->event.sigev_signo < 1 || timer->event.sigev_signo > kernel::kMaxSignal)) return Errno::kEINVAL;
    if (notify == SIGEV_THREAD_ID) {
      Task* target = task.pid_ns()->FindTask(timer->event._sigev_un._tid);
      if (target == nullptr || &target->thread_group() != &task.thread_group()) return Errno::kEINVAL;
      timer->thread = target->pid();
    }
  }
  PosixTimer* raw = timer.get();
  timer->timer = std::make_unique<kernel::ClockTimer>(TRY(CpuClock(task, clock)), [raw] { raw->Fire(); });
  TRY(out.Write(task, timer->id));
  timers.timers.emplace(timers.next_id++, std::move(timer));
  return 0;
}

Result<uint64_t> SysTimerSettime(Task& task, int id, FlagsArg flags, InArg<itimerspec> in, OutArg<itimerspec> old) {
  itimerspec value = TRY(in.Read(task));
  PosixTimer* timer = TRY(Find(task, id));
  int64_t value_ns = TRY(ToNs(value.it_value)), interval_ns = TRY(ToNs(value.it_interval));
  itimerspec before = Remaining(*timer);
  timer->timer->Cancel();
  timer->overrun = timer->last_overrun = 0;
  timer->interval_ns = interval_ns;
  if (value_ns != 0) {
    int64_t now = TRY(ReadClock(task, timer->clock));
    int64_t left = (flags & TIMER_ABSTIME) == 0 ? value_ns : std::max<int64_t>(value_ns - now, 0);
    now = timer->timer->Now();
    timer->timer->Arm(left > base::kNoDeadline - now ? base::kNoDeadline : now + left);
  }
  if (!old.null()) TRY(old.Write(task, before));
  return 0;
}

Result<uint64_t> SysTimerGettime(Task& task, int id, OutArg<itimerspec> out) {
  TRY(out.Write(task, Remaining(*TRY(Find(task, id)))));
  return 0;
}

Result<uint64_t> SysTimerGetoverrun(Task& task, int id) { return static_cast<uint64_t>(TRY(Find(task, id))->last_overrun); }

Result<uint64_t> SysTimerDelete(Task& task, int id) {
  TRY(Find(task, id));
  TimersOf(task).timers.erase(id);
  return 0;
}

}  // namespace syscalls
