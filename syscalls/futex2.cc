// futex_wake, futex_wait and futex_requeue: the operations of futex(2) as calls of their own.

#include "sentry/kernel/kernel.h"
#include "syscalls/handlers.h"
#include "syscalls/time_util.h"

namespace syscalls {

namespace {

constexpr uint64_t kSizeMask = 3, kSize32 = 2, kPrivate = 128;

// Only 32-bit words, and no NUMA node in the word: EINVAL as Linux without the rest.
Result<void> CheckFlags(uint64_t flags) {
  return (flags & ~(kSizeMask | kPrivate)) != 0 || (flags & kSizeMask) != kSize32 ? Result<void>(Errno::kEINVAL) : Result<void>();
}

}  // namespace

Result<uint64_t> SysFutexWake(Task& task, UserAddress address, uint64_t mask, int count, FlagsArg flags) {
  TRY(CheckFlags(flags.value));
  if (mask > UINT32_MAX || mask == 0) return Errno::kEINVAL;
  if (count <= 0) return 0;
  return task.kernel().futexes.Wake(task.mm(), address, (flags.value & kPrivate) == 0, static_cast<uint64_t>(count),
                                    static_cast<uint32_t>(mask));
}

Result<uint64_t> SysFutexWait(Task& task, UserAddress address, uint64_t value, uint64_t mask, FlagsArg flags, InArg<timespec> timeout,
                              int clock) {
  TRY(CheckFlags(flags.value));
  if (value > UINT32_MAX || mask > UINT32_MAX || mask == 0) return Errno::kEINVAL;
  int64_t deadline = base::kNoDeadline;
  if (!timeout.null()) {
    if (clock != CLOCK_MONOTONIC && clock != CLOCK_REALTIME) return Errno::kEINVAL;
    deadline = TRY(MonotonicDeadline(task, clock, TRY(ToNs(TRY(timeout.Read(task))))));
  }
  // The deadline is absolute, so a restart is just the call again.
  TRY(task.kernel().futexes.Wait(task.mm(), address, (flags.value & kPrivate) == 0, static_cast<uint32_t>(value),
                                 static_cast<uint32_t>(mask), deadline));
  return 0;
}

Result<uint64_t> SysFutexRequeue(Task& task, UserAddress waiters, FlagsArg flags, int wake, int requeue) {
  struct Waitv {
    uint64_t value, address;
    uint32_t flags, reserved;
  };
  if (flags.value != 0) return Errno::kEINVAL;
  Waitv entries[2];
  TRY(task.mm().CopyIn(entries, waiters, sizeof entries));
  for (const Waitv& entry : entries) {
    TRY(CheckFlags(entry.flags));
    if (entry.reserved != 0 || entry.value > UINT32_MAX) return Errno::kEINVAL;
  }
  if (wake < 0 || requeue < 0) return Errno::kEINVAL;
  // One table serves both kinds of key here, but not across kinds in one call.
  if (((entries[0].flags ^ entries[1].flags) & kPrivate) != 0) return Errno::kEINVAL;
  uint32_t expected = static_cast<uint32_t>(entries[0].value);
  return task.kernel().futexes.Requeue(task.mm(), entries[0].address, entries[1].address, (entries[0].flags & kPrivate) == 0,
                                       static_cast<uint64_t>(wake), static_cast<uint64_t>(requeue), &expected);
}

}  // namespace syscalls
