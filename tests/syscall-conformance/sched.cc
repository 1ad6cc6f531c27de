// sched_setaffinity(2), sched_setscheduler(2), getpriority(2), membarrier(2), rseq(2)
#include <linux/membarrier.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "util/check.h"
#include "util/child.h"
#include "util/clock.h"
#include "util/memory.h"

namespace conformance {
namespace {

TEST(SchedAffinity, GetSetAndErrors) {
  EXPECT_EXITED(RunChild([] {
                  cpu_set_t set, one;
                  CHILD_CHECK(sched_getaffinity(0, sizeof(set), &set) == 0);
                  CHILD_CHECK(CPU_COUNT(&set) >= 1);
                  int cpu = 0;
                  while (!CPU_ISSET(cpu, &set)) cpu++;
                  CPU_ZERO(&one);
                  CPU_SET(cpu, &one);
                  CHILD_CHECK(sched_setaffinity(0, sizeof(one), &one) == 0);
                  CHILD_CHECK(sched_getaffinity(0, sizeof(set), &set) == 0);
                  CHILD_CHECK(CPU_EQUAL(&set, &one));
                  CPU_ZERO(&one);
                  CHILD_ERRNO(sched_setaffinity(0, sizeof(one), &one), EINVAL);
                  CHILD_ERRNO(sched_getaffinity(0, 1, &set), EINVAL);
                  CHILD_ERRNO(sched_getaffinity(0x7ffffff0, sizeof(set), &set), ESRCH);
                  return 0;
                }),
                0);
}

TEST(SchedAffinity, SystemCallReturnsTheSize) {
  unsigned long mask[128] = {};
  long n = syscall(SYS_sched_getaffinity, 0, sizeof(mask), mask);
  EXPECT_GT(n, 0);
  EXPECT_EQ(n % 8, 0);
  EXPECT_ERRNO(syscall(SYS_sched_getaffinity, 0, 3, mask), EINVAL);
}

TEST(SchedScheduler, DefaultPolicyAndErrors) {
  EXPECT_EQ(sched_getscheduler(0), SCHED_OTHER);
  sched_param param = {5};
  ASSERT_OK(sched_getparam(0, &param));
  EXPECT_EQ(param.sched_priority, 0);
  param.sched_priority = 5;
  EXPECT_ERRNO(sched_setscheduler(0, SCHED_OTHER, &param), EINVAL);
  EXPECT_ERRNO(sched_setscheduler(0, 77, &param), EINVAL);
  EXPECT_ERRNO(sched_setscheduler(-1, SCHED_OTHER, &param), EINVAL);
  EXPECT_ERRNO(sched_getscheduler(0x7ffffff0), ESRCH);
  EXPECT_ERRNO(sched_getparam(0, nullptr), EINVAL);
}

TEST(SchedPriority, RangesOfPolicies) {
  EXPECT_EQ(sched_get_priority_min(SCHED_FIFO), 1);
  EXPECT_EQ(sched_get_priority_max(SCHED_RR), 99);
  EXPECT_EQ(sched_get_priority_max(SCHED_OTHER), 0);
  EXPECT_ERRNO(sched_get_priority_max(77), EINVAL);
}

TEST(Priority, NiceIsInheritedAndClamped) {
  EXPECT_EXITED(RunChild([] {
                  CHILD_CHECK(setpriority(PRIO_PROCESS, 0, 7) == 0);
                  CHILD_CHECK(getpriority(PRIO_PROCESS, 0) == 7);
                  // The system call itself returns 20 - nice, never a negative number.
                  CHILD_CHECK(syscall(SYS_getpriority, PRIO_PROCESS, 0) == 13);
                  int status = RunChild([] { return getpriority(PRIO_PROCESS, 0); });
                  CHILD_CHECK(WEXITSTATUS(status) == 7);
                  CHILD_CHECK(setpriority(PRIO_PROCESS, 0, 100) == 0);
                  CHILD_CHECK(getpriority(PRIO_PROCESS, 0) == 19);
                  return 0;
                }),
                0);
}

TEST(Priority, Errors) {
  EXPECT_ERRNO(syscall(SYS_getpriority, 77, 0), EINVAL);
  EXPECT_ERRNO(syscall(SYS_getpriority, PRIO_PROCESS, 0x7ffffff0), ESRCH);
  EXPECT_EXITED(RunChild([] {
                  CHILD_CHECK(setresuid(1000, 1000, 1000) == 0);
                  CHILD_CHECK(setpriority(PRIO_PROCESS, 0, 5) == 0);
                  CHILD_ERRNO(setpriority(PRIO_PROCESS, 0, -5), EACCES);
                  return 0;
                }),
                0);
}

TEST(SchedYield, Succeeds) { EXPECT_OK(sched_yield()); }

TEST(Membarrier, QueryAndRegister) {
  long commands = syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);
  ASSERT_GE(commands, 0);
  ASSERT_TRUE(commands & MEMBARRIER_CMD_PRIVATE_EXPEDITED);
  EXPECT_EXITED(RunChild([] {
                  CHILD_ERRNO(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0),
                              EPERM);
                  CHILD_CHECK(syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0,
                                      0) == 0);
                  CHILD_CHECK(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) ==
                              0);
                  CHILD_ERRNO(syscall(SYS_membarrier, 1 << 30, 0, 0), EINVAL);
                  return 0;
                }),
                0);
}

}  // namespace
}  // namespace conformance
