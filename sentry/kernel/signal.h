#pragma once

// Signals as data: sets, queued instances, actions. signal(7). Delivery is in task_signal.cc.

#include <signal.h>

#include <cstdint>
#include <list>

#include "base/ref.h"

namespace kernel {

// Bit signo-1, as the application's sigset_t has it.
using SignalSet = uint64_t;
inline constexpr SignalSet SignalBit(int signo) { return uint64_t{1} << (signo - 1); }
inline constexpr int kMaxSignal = 64;
inline constexpr int kFirstRealtimeSignal = 32;
inline constexpr SignalSet kUnblockableSignals = SignalBit(SIGKILL) | SignalBit(SIGSTOP);
inline constexpr SignalSet kStopSignals =
    SignalBit(SIGSTOP) | SignalBit(SIGTSTP) | SignalBit(SIGTTIN) | SignalBit(SIGTTOU);
// Raised by the instruction at hand; delivered before others.
inline constexpr SignalSet kSynchronousSignals = SignalBit(SIGSEGV) | SignalBit(SIGBUS) | SignalBit(SIGILL) |
                                                 SignalBit(SIGTRAP) | SignalBit(SIGFPE) | SignalBit(SIGSYS);

enum class DefaultAction { kTerminate, kCore, kIgnore, kStop, kContinue };
DefaultAction DefaultActionOf(int signo);

// struct sigaction as the x86-64 system call has it.
struct SignalAction {
  uint64_t handler = 0;  // SIG_DFL, SIG_IGN or an address
  uint64_t flags = 0;    // SA_*
  uint64_t restorer = 0;
  SignalSet mask = 0;

  bool is_default() const { return handler == 0; }
  bool is_ignore() const { return handler == 1; }
};
static_assert(sizeof(SignalAction) == 32);

inline constexpr uint64_t SA_RESTORER_FLAG = 0x04000000;
inline constexpr uint32_t SS_AUTODISARM_FLAG = 1u << 31;

using SignalInfo = siginfo_t;

// A siginfo as the kernel or kill(2) makes it.
SignalInfo MakeSignalInfo(int signo, int code, int pid = 0, uid_t uid = 0);

// Shared by the tasks of a thread group, or by processes cloned with CLONE_SIGHAND.
class SignalHandlers : public RefCounted {
 public:
  SignalAction actions[kMaxSignal + 1];

  RefPtr<SignalHandlers> Copy() const;
  // execve: handlers become the default, ignored signals stay ignored.
  void ResetForExec();
  bool Ignores(int signo) const {
    const SignalAction& action = actions[signo];
    return action.is_ignore() || (action.is_default() && DefaultActionOf(signo) == DefaultAction::kIgnore);
  }
};

// Instances waiting for delivery. A standard signal is queued at most once; a real-time one as often as it was sent, up to
// RLIMIT_SIGPENDING, which the sender checks.
class PendingSignals {
 public:
  SignalSet set() const { return set_; }
  // False if the signal was already pending and this instance is dropped.
  bool Add(const SignalInfo& info);
  // Takes the next instance of a signal in `mask`: synchronous ones first, then the lowest number. signo 0: none.
  SignalInfo Take(SignalSet mask);
  void Discard(SignalSet mask);
  size_t size() const { return queue_.size(); }
  const std::list<SignalInfo>& queue() const { return queue_; }

 private:
  SignalSet set_ = 0;
  std::list<SignalInfo> queue_;
};

}  // namespace kernel
