#pragma once

// The host signals that stub threads handle.

#include <signal.h>

namespace platform::systrap {

// Sent by the Sentry to stop application code. No fault of an application raises it.
inline constexpr int kInterruptSignal = SIGURG;

inline constexpr int kStubSignals[] = {SIGSYS, SIGSEGV, SIGBUS,          SIGFPE,
                                       SIGILL, SIGTRAP, kInterruptSignal};

}  // namespace platform::systrap
