#include "vfs/fs/anon/signalfd.h"

#include <gtest/gtest.h>

#include <deque>

namespace anonfs {
namespace {

class FakeSource : public vfs::SignalSource {
 public:
  bool DequeueSignal(uint64_t mask, siginfo_t* info) override {
    for (auto it = pending.begin(); it != pending.end(); ++it) {
      if ((mask & (uint64_t{1} << (it->si_signo - 1))) == 0) continue;
      *info = *it;
      pending.erase(it);
      return true;
    }
    return false;
  }
  bool HasPendingSignal(uint64_t mask) override {
    for (auto& info : pending) {
      if ((mask & (uint64_t{1} << (info.si_signo - 1))) != 0) return true;
    }
    return false;
  }
  WaitQueue& signal_queue() override { return queue; }
  WaitQueue queue;
  std::deque<siginfo_t> pending;
};
FakeSource* source;

RefPtr<const Credentials> Creds() {
  return RefPtr<const Credentials>(Credentials::Root(MakeRef<base::UserNamespace>(nullptr, 0)));
}

TEST(SignalFd, ReadsTheCallersSignals) {
  source = new FakeSource;
  vfs::SignalSource::SetCurrent([]() -> vfs::SignalSource* { return source; });
  auto file = CreateSignal((1u << (SIGUSR1 - 1)) | (1u << (SIGCHLD - 1)) | (1u << (SIGKILL - 1)), 0, Creds()).value();
  signalfd_siginfo got[2];
  IoVec iov(got, sizeof got);
  EXPECT_EQ(file->Read(iov).error(), Errno::kEAGAIN);
  siginfo_t info = {};
  info.si_signo = SIGUSR2;
  source->pending.push_back(info);
  EXPECT_EQ(file->Readiness(), 0u);
  info.si_signo = SIGUSR1;
  info.si_code = SI_QUEUE;
  info.si_pid = 12;
  info.si_int = 34;
  source->pending.push_back(info);
  info = {};
  info.si_signo = SIGCHLD;
  info.si_code = CLD_EXITED;
  info.si_status = 7;
  source->pending.push_back(info);
  EXPECT_EQ(file->Readiness(), EventMask{EPOLLIN});
  EXPECT_EQ(*file->Read(iov), 2 * sizeof(signalfd_siginfo));
  EXPECT_EQ(got[0].ssi_signo, unsigned{SIGUSR1});
  EXPECT_EQ(got[0].ssi_pid, 12u);
  EXPECT_EQ(got[0].ssi_int, 34);
  EXPECT_EQ(got[1].ssi_status, 7);
  EXPECT_EQ(file->Read(IoVec(got, 127)).error(), Errno::kEINVAL);
  EXPECT_EQ(file->FdInfo(), "sigmask:\t0000000000010200\n");
  vfs::SignalSource::SetCurrent(nullptr);
  delete source;
}

}  // namespace
}  // namespace anonfs
