// getrlimit(2), prlimit(2), getrusage(2)
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "util/check.h"
#include "util/child.h"
#include "util/clock.h"
#include "util/fd.h"
#include "util/memory.h"
#include "util/signals.h"

namespace conformance {
namespace {

TEST(Rlimit, SetGetAndOldValue) {
  EXPECT_EXITED(RunChild([] {
                  rlimit limit = {100, 200}, got = {}, old = {};
                  CHILD_CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
                  CHILD_CHECK(getrlimit(RLIMIT_NOFILE, &got) == 0);
                  CHILD_CHECK(got.rlim_cur == 100 && got.rlim_max == 200);
                  limit = {50, 200};
                  CHILD_CHECK(prlimit(0, RLIMIT_NOFILE, &limit, &old) == 0);
                  CHILD_CHECK(old.rlim_cur == 100);
                  return 0;
                }),
                0);
}

TEST(Rlimit, Errors) {
  rlimit limit = {2, 1};
  EXPECT_ERRNO(setrlimit(RLIMIT_NOFILE, &limit), EINVAL) << "soft above hard";
  EXPECT_ERRNO(syscall(SYS_getrlimit, 99, &limit), EINVAL);
  EXPECT_ERRNO(syscall(SYS_setrlimit, 99, &limit), EINVAL);
  EXPECT_ERRNO(syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, nullptr, BadPointer()), EFAULT);
  EXPECT_ERRNO(syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, BadPointer(), nullptr), EFAULT);
  EXPECT_ERRNO(syscall(SYS_prlimit64, 0x7ffffff0, RLIMIT_NOFILE, nullptr, &limit), ESRCH);
}

TEST(Rlimit, UserCannotRaiseTheHardLimit) {
  EXPECT_EXITED(RunChild([] {
                  rlimit limit = {100, 200};
                  CHILD_CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
                  CHILD_CHECK(setresuid(1000, 1000, 1000) == 0);
                  limit = {200, 200};
                  CHILD_CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
                  limit = {200, 201};
                  CHILD_ERRNO(setrlimit(RLIMIT_NOFILE, &limit), EPERM);
                  limit = {10, 150};
                  CHILD_CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
                  limit = {10, 200};
                  CHILD_ERRNO(setrlimit(RLIMIT_NOFILE, &limit), EPERM);
                  return 0;
                }),
                0);
}

TEST(Rlimit, InheritedByForkAndSharedByThreads) {
  EXPECT_EXITED(RunChild([] {
                  rlimit limit = {77, 77};
                  std::thread([&] { setrlimit(RLIMIT_NOFILE, &limit); }).join();
                  rlimit got = {};
                  CHILD_CHECK(getrlimit(RLIMIT_NOFILE, &got) == 0 && got.rlim_cur == 77);
                  int status = RunChild([] {
                    rlimit inherited = {};
                    getrlimit(RLIMIT_NOFILE, &inherited);
                    return static_cast<int>(inherited.rlim_cur);
                  });
                  return WEXITSTATUS(status) == 77 ? 0 : 1;
                }),
                0);
}

TEST(Rlimit, LowerLimitKeepsOpenDescriptors) {
  EXPECT_EXITED(RunChild([] {
                  int high = fcntl(0, F_DUPFD, 50);
                  rlimit limit = {10, 10};
                  CHILD_CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
                  CHILD_CHECK(fcntl(high, F_GETFD) == 0);
                  CHILD_ERRNO(fcntl(0, F_DUPFD, 10), EINVAL);
                  CHILD_ERRNO(dup2(0, 10), EBADF);
                  return 0;
                }),
                0);
}

TEST(Rlimit, CpuTimeRaisesSigxcpuThenKills) {
  EXPECT_KILLED(RunChild([] {
                  alarm(0);  // A busy machine may need longer than the limit of a child.
                  rlimit limit = {1, 2};
                  CHILD_CHECK(setrlimit(RLIMIT_CPU, &limit) == 0);
                  for (;;) {
                  }
                  return 0;
                }),
                SIGXCPU);
}

TEST(Rlimit, StackLimitStopsGrowth) {
  EXPECT_EXITED(RunChild([] {
                  rlimit limit = {};
                  CHILD_CHECK(getrlimit(RLIMIT_STACK, &limit) == 0);
                  // Well inside the limit the stack grows by being touched.
                  volatile char* low = static_cast<char*>(__builtin_frame_address(0)) - (2 << 20);
                  *low = 1;
                  return *low - 1;
                }),
                0);
}

TEST(Getrusage, SelfThreadAndErrors) {
  rusage usage = {};
  while (NowNs(CLOCK_PROCESS_CPUTIME_ID) < 30'000'000) {
  }
  ASSERT_OK(getrusage(RUSAGE_SELF, &usage));
  EXPECT_GT(usage.ru_utime.tv_sec * 1000000 + usage.ru_utime.tv_usec + usage.ru_stime.tv_usec, 0);
  EXPECT_GT(usage.ru_maxrss, 0);
  EXPECT_OK(getrusage(RUSAGE_THREAD, &usage));
  EXPECT_ERRNO(syscall(SYS_getrusage, 99, &usage), EINVAL);
  EXPECT_ERRNO(syscall(SYS_getrusage, RUSAGE_SELF, BadPointer()), EFAULT);
}

}  // namespace
}  // namespace conformance
