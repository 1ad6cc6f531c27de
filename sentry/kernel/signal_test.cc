#include "sentry/kernel/signal.h"

#include <gtest/gtest.h>

namespace kernel {
namespace {

TEST(PendingSignals, KeepsOneInstanceOfAStandardSignal) {
  PendingSignals pending;
  EXPECT_TRUE(pending.Add(MakeSignalInfo(SIGUSR1, SI_USER, 1)));
  EXPECT_FALSE(pending.Add(MakeSignalInfo(SIGUSR1, SI_USER, 2)));
  EXPECT_EQ(pending.Take(~SignalSet{0}).si_pid, 1);
  EXPECT_EQ(pending.Take(~SignalSet{0}).si_signo, 0);
  EXPECT_EQ(pending.set(), 0u);
}

TEST(PendingSignals, QueuesRealTimeSignalsInOrder) {
  PendingSignals pending;
  for (int pid = 1; pid <= 3; pid++) EXPECT_TRUE(pending.Add(MakeSignalInfo(40, SI_QUEUE, pid)));
  for (int pid = 1; pid <= 3; pid++) {
    EXPECT_EQ(pending.set(), SignalBit(40));
    EXPECT_EQ(pending.Take(~SignalSet{0}).si_pid, pid);
  }
  EXPECT_EQ(pending.set(), 0u);
}

TEST(PendingSignals, GivesSynchronousSignalsFirstThenTheLowest) {
  PendingSignals pending;
  pending.Add(MakeSignalInfo(SIGHUP, SI_USER));
  pending.Add(MakeSignalInfo(SIGTERM, SI_USER));
  pending.Add(MakeSignalInfo(SIGSEGV, SEGV_MAPERR));
  EXPECT_EQ(pending.Take(~SignalSet{0}).si_signo, SIGSEGV);
  EXPECT_EQ(pending.Take(~SignalBit(SIGHUP)).si_signo, SIGTERM);
  EXPECT_EQ(pending.Take(~SignalSet{0}).si_signo, SIGHUP);
}

TEST(PendingSignals, DiscardForgets) {
  PendingSignals pending;
  pending.Add(MakeSignalInfo(SIGTSTP, SI_USER));
  pending.Add(MakeSignalInfo(SIGCONT, SI_USER));
  pending.Discard(kStopSignals);
  EXPECT_EQ(pending.set(), SignalBit(SIGCONT));
  EXPECT_EQ(pending.size(), 1u);
}

TEST(SignalHandlers, ExecKeepsIgnoredAndDropsHandlers) {
  SignalHandlers handlers;
  handlers.actions[SIGINT] = {.handler = 1};
  handlers.actions[SIGTERM] = {.handler = 0x1000, .flags = SA_SIGINFO};
  handlers.ResetForExec();
  EXPECT_TRUE(handlers.actions[SIGINT].is_ignore());
  EXPECT_TRUE(handlers.actions[SIGTERM].is_default());
  EXPECT_EQ(handlers.actions[SIGTERM].flags, 0u);
  EXPECT_TRUE(handlers.Ignores(SIGCHLD));
  EXPECT_FALSE(handlers.Ignores(SIGTERM));
}

}  // namespace
}  // namespace kernel
