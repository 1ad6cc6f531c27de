#include "util/signals.h"

#include "util/check.h"

namespace conformance {

ScopedHandler::ScopedHandler(int signal, void (*handler)(int), int flags) : signal_(signal) {
  struct sigaction action = {};
  action.sa_handler = handler;
  action.sa_flags = flags;
  EXPECT_OK(sigaction(signal, &action, &old_));
}

ScopedHandler::ScopedHandler(int signal, void (*handler)(int, siginfo_t*, void*), int flags)
    : signal_(signal) {
  struct sigaction action = {};
  action.sa_sigaction = handler;
  action.sa_flags = flags | SA_SIGINFO;
  EXPECT_OK(sigaction(signal, &action, &old_));
}

ScopedHandler::~ScopedHandler() { sigaction(signal_, &old_, nullptr); }

sigset_t SignalSet(std::initializer_list<int> signals) {
  sigset_t set;
  sigemptyset(&set);
  for (int signal : signals) sigaddset(&set, signal);
  return set;
}

ScopedBlock::ScopedBlock(std::initializer_list<int> signals) {
  sigset_t set = SignalSet(signals);
  EXPECT_EQ(pthread_sigmask(SIG_BLOCK, &set, &old_), 0);
}

ScopedBlock::~ScopedBlock() { pthread_sigmask(SIG_SETMASK, &old_, nullptr); }

}  // namespace conformance
