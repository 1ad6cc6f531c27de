#pragma once

// System calls, and the doorbells of signal handlers, that a thread posts in its area, for a worker that watches it from another
// processor: no trap and no switch. States and fields are in stub_layout.h, the thread's side is StubCall. The
// area is within the application's reach: a call is copied once; a thread that plays with the state
// gets no result, or a wrong one.
//
// That the Sentry has the call is not noted here, where it would cost another journey of the cache
// line: a thread that parks meanwhile says so (HostThread::posted, answered).

#include <atomic>
#include <cstdint>
#include <cstring>

#include "platform/systrap/frame.h"
#include "platform/systrap/stub_layout.h"

namespace platform::systrap {

struct PostedCall {
  uint32_t nr;
  uint64_t args[6];
  uint64_t return_to;  // in a trampoline
};

// What a signal handler's doorbell says.
struct Doorbell {
  template <class Argument>
  explicit Doorbell(const Argument (&args)[6])
      : reason(args[0]), siginfo(args[1]), ucontext(args[2]), fs_base(args[3]), gs_base(args[4]) {}
  uint64_t reason;  // the signal
  uint64_t siginfo, ucontext;
  uint64_t fs_base, gs_base;
};

inline std::atomic_ref<uint32_t> CallState(const StubArea& area) {
  return std::atomic_ref<uint32_t>(
      *reinterpret_cast<uint32_t*>(area.local + STUB_AREA_HEADER + STUB_CALL_STATE));
}

inline bool HasPosted(const StubArea& area) {
  return CallState(area).load(std::memory_order_acquire) == STUB_CALL_POSTED;
}

// The thread shall post its calls and look so many times whether they are done before it parks; 0:
// it shall not post. It may be waiting for a result meanwhile.
inline void SetSpins(const StubArea& area, uint32_t spins) {
  std::atomic_ref<uint32_t>(
      *reinterpret_cast<uint32_t*>(area.local + STUB_AREA_HEADER + STUB_CALL_SPINS))
      .store(spins, std::memory_order_release);
}

// Whoever had the area may have left while it waited.
inline void ForgetPosted(const StubArea& area) {
  CallState(area).store(STUB_CALL_FREE, std::memory_order_relaxed);
}

inline PostedCall ReadPosted(const StubArea& area) {
  const char* header = area.local + STUB_AREA_HEADER;
  PostedCall call;
  memcpy(&call.nr, header + STUB_CALL_NR, sizeof call.nr);
  memcpy(call.args, header + STUB_CALL_ARGS, sizeof call.args);
  memcpy(&call.return_to, header + STUB_CALL_RETURN, sizeof call.return_to);
  return call;
}

// The thread need not look for the result any longer.
inline void SayBlocked(const StubArea& area) {
  uint32_t posted = STUB_CALL_POSTED;
  CallState(area).compare_exchange_strong(posted, STUB_CALL_BLOCKED);
}

// Gives the result. True when the thread may not have seen it and will ask with STUB_PARK.
inline bool Finish(const StubArea& area, int64_t value) {
  memcpy(area.local + STUB_AREA_HEADER + STUB_CALL_RESULT, &value, sizeof value);
  return CallState(area).exchange(STUB_CALL_DONE) == STUB_CALL_PARKED;
}

}  // namespace platform::systrap
