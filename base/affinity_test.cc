#include "base/affinity.h"

#include <gtest/gtest.h>

#include <thread>

namespace base {
namespace {

cpu_set_t Host() {
  cpu_set_t set;
  EXPECT_EQ(sched_getaffinity(0, sizeof set, &set), 0);
  return set;
}

bool Same(const cpu_set_t& a, const cpu_set_t& b) { return CPU_EQUAL(&a, &b); }

// Each in a thread of its own, whose limits end with it.
class AffinityTest : public testing::Test {
 protected:
  AffinityTest() { Affinity::Prepare(); }
  template <class Body>
  void InThread(Body body) {
    std::thread(body).join();
  }
};

TEST_F(AffinityTest, OfAThreadThatWasToldNothing) {
  InThread([] {
    EXPECT_TRUE(Same(Affinity::Processors(), Host()));
    EXPECT_TRUE(Same(Affinity::Own(), Affinity::Processors()));
  });
}

TEST_F(AffinityTest, HereEndsWhereItBegan) {
  InThread([] {
    const int processor = sched_getcpu();
    {
      Affinity::Here here(processor);
      EXPECT_TRUE(here.ok());
      EXPECT_TRUE(Same(Host(), Affinity::Only(processor)));
    }
    EXPECT_TRUE(Same(Host(), Affinity::Processors()));
  });
}

TEST_F(AffinityTest, HereLeavesToAThreadWhatItWasToldBefore) {
  InThread([] {
    const int processor = sched_getcpu();
    Affinity::SetOwn(Affinity::Only(processor));
    {
      Affinity::Here here(processor);
      EXPECT_TRUE(here.ok());
    }
    EXPECT_TRUE(Same(Host(), Affinity::Only(processor)));
    EXPECT_TRUE(Same(Affinity::Own(), Affinity::Only(processor)));
    Affinity::SetOwn(Affinity::Processors());
    EXPECT_TRUE(Same(Host(), Affinity::Processors()));
  });
}

TEST_F(AffinityTest, HereIsNotWhereTheThreadMayNotBe) {
  InThread([] {
    for (int processor : {-1, CPU_SETSIZE, CPU_SETSIZE - 1}) {
      if (processor == CPU_SETSIZE - 1 && CPU_ISSET(processor, &Affinity::Processors())) continue;
      Affinity::Here here(processor);
      EXPECT_FALSE(here.ok());
      EXPECT_TRUE(Same(Host(), Affinity::Processors()));
    }
  });
}

}  // namespace
}  // namespace base
