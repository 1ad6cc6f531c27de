#include "vfs/fs/anon/timerfd.h"

#include <gtest/gtest.h>
#include <sys/timerfd.h>

#include "base/kernel_lock.h"

namespace anonfs {
namespace {

class TimerFdTest : public testing::Test {
 protected:
  TimerFdTest() {
    monotonic_ = 1'000'000;
    realtime_ = 5'000'000'000;
    base::SetClockForTest([] { return monotonic_; }, [] { return realtime_; });
  }
  ~TimerFdTest() override {
    file_.reset();
    base::SetClockForTest(nullptr, nullptr);
  }
  void Create(clockid_t clock) {
    file_ = CreateTimer(clock, 0, RefPtr<const Credentials>(Credentials::Root(MakeRef<base::UserNamespace>(nullptr, 0)))).value();
    timer_ = vfs::FileAs<TimerFile>(file_.get());
  }
  static itimerspec Spec(int64_t value, int64_t interval) {
    return {.it_interval = {interval / 1'000'000'000, interval % 1'000'000'000},
            .it_value = {value / 1'000'000'000, value % 1'000'000'000}};
  }
  void Advance(int64_t ns) {
    monotonic_ += ns;
    realtime_ += ns;
    KernelLock::Section section;
    base::EventLoop::Get().FireTimers(monotonic_);
  }
  Result<uint64_t> Read() {
    uint64_t ticks = 0;
    TRY(timer_->Read(IoVec(&ticks, 8)));
    return ticks;
  }

  static inline int64_t monotonic_, realtime_;
  RefPtr<vfs::FileDescription> file_;
  TimerFile* timer_ = nullptr;
};

TEST_F(TimerFdTest, OneShot) {
  Create(CLOCK_MONOTONIC);
  ASSERT_TRUE(timer_->SetTime(0, Spec(100, 0)).ok());
  EXPECT_EQ(timer_->GetTime().it_value.tv_nsec, 100);
  EXPECT_EQ(Read().error(), Errno::kEAGAIN);
  Advance(99);
  EXPECT_EQ(timer_->Readiness(), 0u);
  Advance(1);
  EXPECT_EQ(timer_->Readiness(), EventMask{EPOLLIN});
  EXPECT_EQ(*Read(), 1u);
  EXPECT_EQ(Read().error(), Errno::kEAGAIN);
  EXPECT_EQ(timer_->GetTime().it_value.tv_nsec, 0);
}

TEST_F(TimerFdTest, AnIntervalCountsWhatNobodyRead) {
  Create(CLOCK_MONOTONIC);
  ASSERT_TRUE(timer_->SetTime(0, Spec(100, 50)).ok());
  Advance(100);
  Advance(120);
  EXPECT_EQ(*Read(), 3u);
  EXPECT_EQ(timer_->GetTime().it_value.tv_nsec, 30);
  Advance(30);
  EXPECT_EQ(*Read(), 1u);
  EXPECT_EQ(timer_->SetTime(0, Spec(0, 0))->it_interval.tv_nsec, 50);
  Advance(1000);
  EXPECT_EQ(Read().error(), Errno::kEAGAIN);
}

TEST_F(TimerFdTest, AbsoluteInThePastIsReadableAtOnce) {
  Create(CLOCK_MONOTONIC);
  ASSERT_TRUE(timer_->SetTime(TFD_TIMER_ABSTIME, Spec(1, 0)).ok());
  EXPECT_EQ(*Read(), 1u);
}

TEST_F(TimerFdTest, WallClockStepsMoveAbsoluteTimers) {
  Create(CLOCK_REALTIME);
  ASSERT_TRUE(timer_->SetTime(TFD_TIMER_ABSTIME, Spec(realtime_ + 100, 0)).ok());
  realtime_ -= 500;
  Advance(100);
  EXPECT_EQ(Read().error(), Errno::kEAGAIN);
  Advance(500);
  EXPECT_EQ(*Read(), 1u);
}

TEST_F(TimerFdTest, CancelOnSet) {
  Create(CLOCK_REALTIME);
  ASSERT_TRUE(timer_->SetTime(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, Spec(realtime_ + 100, 0)).ok());
  TimerFile::ClockWasSet();
  EXPECT_EQ(timer_->Readiness(), EventMask{EPOLLIN});
  EXPECT_EQ(Read().error(), Errno::kECANCELED);
  EXPECT_EQ(Read().error(), Errno::kEAGAIN);
}

TEST_F(TimerFdTest, Errors) {
  auto user = RefPtr<const Credentials>(MakeRef<Credentials>());
  EXPECT_EQ(CreateTimer(CLOCK_PROCESS_CPUTIME_ID, 0, user).error(), Errno::kEINVAL);
  EXPECT_EQ(CreateTimer(CLOCK_REALTIME_ALARM, 0, user).error(), Errno::kEPERM);
  EXPECT_EQ(CreateTimer(CLOCK_REALTIME, 1, user).error(), Errno::kEINVAL);
  Create(CLOCK_MONOTONIC);
  EXPECT_EQ(timer_->SetTime(4, Spec(1, 0)).error(), Errno::kEINVAL);
  itimerspec bad = Spec(1, 0);
  bad.it_value.tv_nsec = 1'000'000'000;
  EXPECT_EQ(timer_->SetTime(0, bad).error(), Errno::kEINVAL);
}

}  // namespace
}  // namespace anonfs
