#include "platform/systrap/placement.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/affinity.h"

namespace platform::systrap {
namespace {

class PlacementTest : public testing::Test {
 protected:
  PlacementTest() {
    base::Affinity::Prepare();
    // Here to stay, while the test looks.
    const cpu_set_t one = base::Affinity::Only(sched_getcpu());
    sched_setaffinity(0, sizeof one, &one);
  }
  ~PlacementTest() override {
    sched_setaffinity(0, sizeof(cpu_set_t), &base::Affinity::Processors());
  }
};

TEST_F(PlacementTest, AloneNobodyIsSentAway) {
  Placement thread;
  thread.Resume();
  usleep(1000);
  thread.Stop();
  EXPECT_EQ(Placement::Elsewhere(), -1);
}

TEST_F(PlacementTest, BesideOneThatWasJustResumedNobodyIsSentAway) {
  Placement other;
  other.Resume();
  EXPECT_EQ(Placement::Elsewhere(), -1);
}

TEST_F(PlacementTest, BesideOneThatRunsForLongToAFreeProcessor) {
  Placement other, third;
  other.Resume();
  usleep(2000);
  const int elsewhere = Placement::Elsewhere();
  if (CPU_COUNT(&base::Affinity::Processors()) == 1) {
    EXPECT_EQ(elsewhere, -1);
    return;
  }
  EXPECT_NE(elsewhere, sched_getcpu());
  EXPECT_TRUE(CPU_ISSET(elsewhere, &base::Affinity::Processors()));
  third.ResumeAt(elsewhere);
  EXPECT_NE(Placement::Elsewhere(), elsewhere);
  third.Stop();
  other.Stop();
  EXPECT_EQ(Placement::Elsewhere(), -1);
}

}  // namespace
}  // namespace platform::systrap
