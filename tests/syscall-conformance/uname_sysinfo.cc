// uname(2), sysinfo(2), sethostname(2), getcpu(2)
#include <sched.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

#include "util/check.h"
#include "util/child.h"
#include "util/memory.h"
#include "util/temp_dir.h"

namespace conformance {
namespace {

TEST(Uname, FieldsAndProcAgree) {
  utsname names = {};
  ASSERT_OK(uname(&names));
  EXPECT_STREQ(names.sysname, "Linux");
  EXPECT_STREQ(names.machine, "x86_64");
  EXPECT_GE(atoi(names.release), 4);
  EXPECT_EQ(ReadFile("/proc/sys/kernel/osrelease"), std::string(names.release) + "\n");
  EXPECT_EQ(ReadFile("/proc/sys/kernel/hostname"), std::string(names.nodename) + "\n");
  EXPECT_ERRNO(syscall(SYS_uname, BadPointer()), EFAULT);
}

TEST(Sethostname, ChecksLengthAndPrivilege) {
  EXPECT_EXITED(RunChild([] {
                  CHILD_CHECK(setresuid(1000, 1000, 1000) == 0);
                  CHILD_ERRNO(sethostname("x", 1), EPERM);
                  CHILD_ERRNO(setdomainname("x", 1), EPERM);
                  return 0;
                }),
                0);
}

TEST(Sysinfo, MemoryAndUptimeArePlausible) {
  struct sysinfo info = {};
  ASSERT_OK(sysinfo(&info));
  EXPECT_GT(info.uptime, 0);
  EXPECT_GT(info.mem_unit, 0u);
  EXPECT_GT(info.totalram * info.mem_unit, 16ul << 20);
  EXPECT_LE(info.freeram, info.totalram);
  EXPECT_GT(info.procs, 0);
  EXPECT_ERRNO(syscall(SYS_sysinfo, BadPointer()), EFAULT);
}

TEST(Getcpu, IsWithinTheAffinityMask) {
  unsigned cpu = ~0u, node = ~0u;
  ASSERT_OK(syscall(SYS_getcpu, &cpu, &node, nullptr));
  cpu_set_t set;
  ASSERT_OK(sched_getaffinity(0, sizeof(set), &set));
  EXPECT_TRUE(CPU_ISSET(cpu, &set));
  EXPECT_LT(sched_getcpu(), CPU_SETSIZE);
  EXPECT_ERRNO(syscall(SYS_getcpu, BadPointer(), nullptr, nullptr), EFAULT);
}

TEST(Personality, QueryAndSet) {
  EXPECT_EXITED(RunChild([] {
                  CHILD_CHECK(syscall(SYS_personality, 0xffffffff) == 0);
                  CHILD_CHECK(syscall(SYS_personality, 0x0040000 /* ADDR_NO_RANDOMIZE */) == 0);
                  CHILD_CHECK(syscall(SYS_personality, 0xffffffff) == 0x0040000);
                  return 0;
                }),
                0);
}

}  // namespace
}  // namespace conformance
