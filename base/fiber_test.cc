#include "base/fiber.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>

#include "base/event_loop.h"
#include "base/io_vec.h"
#include "base/kernel_lock.h"
#include "base/wait_queue.h"

namespace base {
namespace {

TEST(Fiber, RunsWhenTheSectionEnds) {
  std::string log;
  {
    KernelLock::Section section;
    Fiber::Start([&] { log += "b"; });
    log += "a";
  }
  EXPECT_EQ(log, "ab");
}

TEST(Fiber, BlockUntilIsWokenByNotify) {
  WaitQueue queue;
  int value = 0;
  Result<int> got = Errno::kEIO;
  {
    KernelLock::Section section;
    Fiber::Start([&] {
      got = BlockUntil<int>(queue, EPOLLIN, kNoDeadline, [&]() -> Result<int> {
        if (value == 0) return Errno::kEAGAIN;
        return value;
      });
    });
  }
  EXPECT_FALSE(got.ok());
  std::thread([&] {
    KernelLock::Section section;
    value = 7;
    queue.Notify(EPOLLIN);
  }).join();
  ASSERT_TRUE(got.ok());
  EXPECT_EQ(*got, 7);
}

TEST(Fiber, InterruptEndsABlockedWaitOnly) {
  WaitQueue queue;
  Result<int> got = 0;
  Fiber* fiber;
  bool parked_done = false;
  {
    KernelLock::Section section;
    fiber = Fiber::Start([&] {
      got = BlockUntil<int>(queue, EPOLLIN, kNoDeadline, []() -> Result<int> { return Errno::kEAGAIN; });
      Fiber::Park();
      parked_done = true;
    });
  }
  {
    KernelLock::Section section;
    fiber->Interrupt();
  }
  EXPECT_EQ(got.error(), Errno::kERESTARTSYS);
  EXPECT_FALSE(parked_done);
  {
    KernelLock::Section section;
    fiber->Unpark();
  }
  EXPECT_TRUE(parked_done);
}

TEST(Fiber, DeadlineEndsABlock) {
  static int64_t now = 1000;
  SetClockForTest([] { return now; }, nullptr);
  WakeReason reason = WakeReason::kWoken;
  {
    KernelLock::Section section;
    Fiber::Start([&] { reason = Fiber::Block(2000); });
  }
  EXPECT_EQ(reason, WakeReason::kWoken);
  {
    KernelLock::Section section;
    EventLoop::Get().FireTimers(1999);
  }
  EXPECT_EQ(reason, WakeReason::kWoken);
  {
    KernelLock::Section section;
    EventLoop::Get().FireTimers(2000);
  }
  EXPECT_EQ(reason, WakeReason::kTimedOut);
  SetClockForTest(nullptr, nullptr);
}

TEST(SafeCopy, StopsAtAnUnmappedPage) {
  InstallSafeCopyHandler();
  char from[16] = "hello";
  EXPECT_EQ(SafeCopy(reinterpret_cast<void*>(8), from, 5), 0u);
  char to[16];
  EXPECT_EQ(SafeCopy(to, from, 5), 5u);
}

}  // namespace
}  // namespace base
