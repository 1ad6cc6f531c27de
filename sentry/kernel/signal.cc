#include "sentry/kernel/signal.h"

#include <cstring>

namespace kernel {

DefaultAction DefaultActionOf(int signo) {
  switch (signo) {
    case SIGCHLD:
    case SIGURG:
    case SIGWINCH:
      return DefaultAction::kIgnore;
    case SIGCONT:
      return DefaultAction::kContinue;
    case SIGSTOP:
    case SIGTSTP:
    case SIGTTIN:
    case SIGTTOU:
      return DefaultAction::kStop;
    case SIGQUIT:
    case SIGILL:
    case SIGABRT:
    case SIGFPE:
    case SIGSEGV:
    case SIGBUS:
    case SIGSYS:
    case SIGTRAP:
    case SIGXCPU:
    case SIGXFSZ:
      return DefaultAction::kCore;
    default:
      return DefaultAction::kTerminate;
  }
}

SignalInfo MakeSignalInfo(int signo, int code, int pid, uid_t uid) {
  SignalInfo info;
  memset(&info, 0, sizeof info);
  info.si_signo = signo;
  info.si_code = code;
  info.si_pid = pid;
  info.si_uid = uid;
  return info;
}

RefPtr<SignalHandlers> SignalHandlers::Copy() const {
  auto copy = MakeRef<SignalHandlers>();
  memcpy(copy->actions, actions, sizeof actions);
  return copy;
}

void SignalHandlers::ResetForExec() {
  for (SignalAction& action : actions) {
    action = SignalAction{.handler = action.is_ignore() ? action.handler : 0};
  }
}

bool PendingSignals::Add(const SignalInfo& info) {
  SignalSet bit = SignalBit(info.si_signo);
  if (info.si_signo < kFirstRealtimeSignal && (set_ & bit) != 0) return false;
  set_ |= bit;
  queue_.push_back(info);
  return true;
}

SignalInfo PendingSignals::Take(SignalSet mask) {
  SignalSet ready = set_ & mask;
  SignalInfo info = MakeSignalInfo(0, 0);
  if (ready == 0) return info;
  if ((ready & kSynchronousSignals) != 0) ready &= kSynchronousSignals;
  int signo = __builtin_ctzll(ready) + 1;
  bool more = false;
  for (auto it = queue_.begin(); it != queue_.end();) {
    if (it->si_signo != signo) {
      ++it;
    } else if (info.si_signo == 0) {
      info = *it;
      it = queue_.erase(it);
    } else {
      more = true;
      break;
    }
  }
  if (!more) set_ &= ~SignalBit(signo);
  return info;
}

void PendingSignals::Discard(SignalSet mask) {
  if ((set_ & mask) == 0) return;
  set_ &= ~mask;
  queue_.remove_if([mask](const SignalInfo& info) { return (SignalBit(info.si_signo) & mask) != 0; });
}

}  // namespace kernel
