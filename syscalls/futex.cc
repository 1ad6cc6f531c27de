// futex(2), set_robust_list(2), futex_waitv.

#include <linux/futex.h>

#include "sentry/kernel/kernel.h"
#include "syscalls/handlers.h"
#include "syscalls/permissions.h"
#include "syscalls/time_util.h"

namespace syscalls {

Result<uint64_t> SysFutex(Task& task, UserAddress address, int op, uint32_t value, UserAddress timeout, UserAddress address2, uint32_t value3) {
  kernel::FutexTable& futexes = task.kernel().futexes;
  bool shared = (op & FUTEX_PRIVATE_FLAG) == 0;
  bool realtime = (op & FUTEX_CLOCK_REALTIME) != 0;
  int command = op & FUTEX_CMD_MASK;
  if (realtime && command != FUTEX_WAIT && command != FUTEX_WAIT_BITSET && command != FUTEX_LOCK_PI2 && command != FUTEX_WAIT_REQUEUE_PI) {
    return Errno::kENOSYS;
  }
  uint64_t value2 = static_cast<uint32_t>(timeout);  // the argument is a count for these operations
  int64_t deadline = base::kNoDeadline;
  bool timed = command == FUTEX_WAIT || command == FUTEX_WAIT_BITSET || command == FUTEX_LOCK_PI || command == FUTEX_LOCK_PI2;
  if (timed && timeout != 0) {
    int64_t ns = TRY(ToNs(TRY(task.mm().Read<timespec>(timeout))));
    if (command == FUTEX_WAIT) {
      deadline = DeadlineIn(ns);
    } else {
      bool on_realtime = realtime || command == FUTEX_LOCK_PI;
      deadline = TRY(MonotonicDeadline(task, on_realtime ? CLOCK_REALTIME : CLOCK_MONOTONIC, ns));
    }
  }
  switch (command) {
    case FUTEX_WAIT:
      value3 = FUTEX_BITSET_MATCH_ANY;
      [[fallthrough]];
    case FUTEX_WAIT_BITSET: {
      Result<void> result = futexes.Wait(task.mm(), address, shared, value, value3, deadline);
      if (result.ok()) return 0;
      if (result.error() == Errno::kERESTARTSYS && deadline != base::kNoDeadline) {
        task.restart_block = [=](Task& t) -> Result<uint64_t> {
          TRY(t.kernel().futexes.Wait(t.mm(), address, shared, value, value3, deadline));
          return 0;
        };
        return Errno::kERESTART_RESTARTBLOCK;
      }
      return result.error();
    }
    case FUTEX_WAKE:
      value3 = FUTEX_BITSET_MATCH_ANY;
      [[fallthrough]];
    case FUTEX_WAKE_BITSET:
      // As Linux: a count of 0 still wakes one.
      return futexes.Wake(task.mm(), address, shared, std::max(value, 1u), value3);
    case FUTEX_REQUEUE:
    case FUTEX_CMP_REQUEUE:
      if (static_cast<int32_t>(value) < 0 || static_cast<int32_t>(value2) < 0) return Errno::kEINVAL;
      return futexes.Requeue(task.mm(), address, address2, shared, value, value2, command == FUTEX_CMP_REQUEUE ? &value3 : nullptr);
    case FUTEX_WAKE_OP:
      return futexes.WakeOp(task.mm(), address, address2, shared, value, value2, value3);
    case FUTEX_LOCK_PI:
    case FUTEX_LOCK_PI2:
    case FUTEX_TRYLOCK_PI:
      TRY(futexes.LockPi(task.mm(), address, shared, static_cast<uint32_t>(task.tid()), deadline, command == FUTEX_TRYLOCK_PI));
      return 0;
    case FUTEX_UNLOCK_PI:
      TRY(futexes.UnlockPi(task.mm(), address, shared, static_cast<uint32_t>(task.tid())));
      return 0;
    default:
      return Errno::kENOSYS;
  }
}

Result<uint64_t> SysFutexWaitv(Task& task, UserAddress waiters, uint32_t count, FlagsArg flags, InArg<timespec> timeout, int clock) {
  struct Waitv {
    uint64_t value, address;
    uint32_t flags, reserved;
  };
  constexpr uint32_t kSize32 = 2, kPrivate = 128;
  if (flags.value != 0 || count == 0 || count > 128) return Errno::kEINVAL;
  int64_t deadline = base::kNoDeadline;
  if (!timeout.null()) {
    if (clock != CLOCK_MONOTONIC && clock != CLOCK_REALTIME) return Errno::kEINVAL;
    deadline = TRY(MonotonicDeadline(task, clock, TRY(ToNs(TRY(timeout.Read(task))))));
  }
  std::vector<kernel::FutexTable::WaitvEntry> entries;
  for (uint32_t i = 0; i < count; i++) {
    Waitv entry = TRY(task.mm().Read<Waitv>(waiters + i * sizeof(Waitv)));
    if (entry.reserved != 0 || (entry.flags & ~(3u | kPrivate)) != 0 || (entry.flags & 3) != kSize32) return Errno::kEINVAL;
    if (entry.value > UINT32_MAX) return Errno::kEINVAL;
    entries.push_back({entry.address, static_cast<uint32_t>(entry.value), (entry.flags & kPrivate) == 0});
  }
  return task.kernel().futexes.WaitMany(task.mm(), entries, deadline);
}

Result<uint64_t> SysSetRobustList(Task& task, UserAddress head, size_t size) {
  if (size != 24) return Errno::kEINVAL;
  task.robust_list = head;
  return 0;
}

Result<uint64_t> SysGetRobustList(Task& task, int pid, OutArg<uint64_t> head, OutArg<uint64_t> size) {
  Task* target = TRY(FindTask(task, pid));
  TRY(CheckMayTrace(task, *target));
  TRY(size.Write(task, 24));
  TRY(head.Write(task, target->robust_list));
  return 0;
}

}  // namespace syscalls
