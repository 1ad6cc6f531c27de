#include "base/host_load.h"

#include <gtest/gtest.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <atomic>
#include <climits>
#include <thread>
#include <vector>

#include "base/affinity.h"

namespace base {
namespace {

TEST(HostLoadTest, CountsWhoWaitsForAProcessor) {
  EXPECT_EQ(HostLoad::IdleProcessors(), INT_MAX);
  HostLoad::Prepare();
  // Not where others have processors that are not ours.
  const bool known = CPU_COUNT(&Affinity::Processors()) == get_nprocs() && access("/proc/loadavg", R_OK) == 0;
  ASSERT_EQ(HostLoad::IdleProcessors() != INT_MAX, known);
  if (!known) return;
  EXPECT_LT(HostLoad::IdleProcessors(), get_nprocs());

  std::atomic<bool> stop{false};
  std::vector<std::thread> busy;
  for (int i = 0; i < get_nprocs() + 1; i++) busy.emplace_back([&stop] { while (!stop) continue; });
  // Until all of them have begun.
  while (HostLoad::IdleProcessors() >= 0) std::this_thread::yield();
  stop = true;
  for (std::thread& thread : busy) thread.join();
}

}  // namespace
}  // namespace base
