// membarrier(2), setns(2), kcmp(2), get_mempolicy(2)
#include <fcntl.h>
#include <linux/kcmp.h>
#include <linux/membarrier.h>
#include <linux/mempolicy.h>
#include <pthread.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <atomic>

#include "util/check.h"
#include "util/child.h"
#include "util/fd.h"
#include "util/memory.h"

namespace conformance {
namespace {

long Membarrier(int command) { return syscall(SYS_membarrier, command, 0, 0); }

TEST(Membarrier, NeedsRegistration) {
  long commands = Membarrier(MEMBARRIER_CMD_QUERY);
  ASSERT_NE(commands & MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0);
  EXPECT_EXITED(RunChild([] {
                  CHILD_ERRNO(Membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED), EPERM);
                  CHILD_CHECK(Membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) == 0);
                  CHILD_CHECK(Membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) == 0);
                  return 0;
                }),
                0);
  EXPECT_ERRNO(Membarrier(1 << 30), EINVAL);
  EXPECT_ERRNO(syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 5, 0), EINVAL);
}

// The pattern that it is for: the frequent side has no barrier of its own.
TEST(Membarrier, OrdersStoresAndLoadsOfARunningThread) {
  ASSERT_OK(Membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED));
  struct Shared {
    std::atomic<bool> stop{false};
    std::atomic<int> mine{0}, yours{0}, round{0}, seen{0};
  } shared;
  pthread_t thread;
  ASSERT_EQ(pthread_create(
                &thread, nullptr,
                [](void* p) -> void* {
                  Shared& s = *static_cast<Shared*>(p);
                  while (!s.stop.load(std::memory_order_relaxed)) {
                    int round = s.round.load(std::memory_order_acquire);
                    if (s.seen.load(std::memory_order_relaxed) == round) continue;
                    s.yours.store(round, std::memory_order_relaxed);
                    asm volatile("" ::: "memory");
                    // The store above may be seen late; with the barrier one of the two sees the other.
                    int mine = s.mine.load(std::memory_order_relaxed);
                    s.seen.store(mine == round ? round : -round, std::memory_order_release);
                    while (s.round.load(std::memory_order_acquire) == round && !s.stop.load()) {
                    }
                  }
                  return nullptr;
                },
                &shared),
            0);
  for (int round = 1; round <= 200; round++) {
    shared.mine.store(0, std::memory_order_relaxed);
    shared.round.store(round, std::memory_order_release);
    shared.mine.store(round, std::memory_order_relaxed);
    ASSERT_OK(Membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED));
    bool saw = shared.yours.load(std::memory_order_relaxed) == round;
    int seen;
    while ((seen = shared.seen.load(std::memory_order_acquire)) != round && seen != -round) {
    }
    EXPECT_TRUE(saw || seen == round) << "both missed each other in round " << round;
  }
  shared.stop = true;
  pthread_join(thread, nullptr);
}

TEST(Setns, JoinsTheNamespaceOfAnother) {
  EXPECT_EXITED(RunChild([] {
                  Fd old(open("/proc/self/ns/uts", O_RDONLY));
                  CHILD_CHECK(old.get() >= 0);
                  struct stat before = {}, now = {};
                  CHILD_CHECK(fstat(old, &before) == 0);
                  if (unshare(CLONE_NEWUTS) != 0) return errno == EPERM ? 0 : 1;
                  CHILD_CHECK(sethostname("other", 5) == 0);
                  CHILD_CHECK(stat("/proc/self/ns/uts", &now) == 0 && now.st_ino != before.st_ino);
                  CHILD_ERRNO(setns(old, CLONE_NEWIPC), EINVAL);
                  CHILD_CHECK(setns(old, CLONE_NEWUTS) == 0);
                  char name[65];
                  CHILD_CHECK(gethostname(name, sizeof name) == 0 && strcmp(name, "other") != 0);
                  CHILD_CHECK(stat("/proc/self/ns/uts", &now) == 0 && now.st_ino == before.st_ino);
                  return 0;
                }),
                0);
  Fd file(open("/", O_RDONLY));
  EXPECT_ERRNO(setns(file, 0), EINVAL);
  EXPECT_ERRNO(setns(-1, 0), EBADF);
}

TEST(Kcmp, ComparesFilesAndMemory) {
  pid_t self = getpid();
  Fd one(open("/", O_RDONLY)), same(dup(one)), other(open("/", O_RDONLY));
  auto compare = [&](int type, long a, long b) { return syscall(SYS_kcmp, self, self, type, a, b); };
  if (compare(KCMP_VM, 0, 0) == -1 && errno == ENOSYS) GTEST_SKIP() << "built without";
  EXPECT_EQ(compare(KCMP_FILE, one.get(), same.get()), 0);
  EXPECT_NE(compare(KCMP_FILE, one.get(), other.get()), 0);
  EXPECT_EQ(compare(KCMP_VM, 0, 0), 0);
  EXPECT_ERRNO(compare(KCMP_FILE, one.get(), 9999), EBADF);
  EXPECT_ERRNO(compare(99, 0, 0), EINVAL);
}

TEST(Mempolicy, OneNodeIsEnough) {
  int mode = -1;
  unsigned long nodes[16] = {};
  ASSERT_OK(syscall(SYS_get_mempolicy, &mode, nodes, 1024, 0, 0));
  EXPECT_EQ(mode, MPOL_DEFAULT);
  EXPECT_EXITED(RunChild([] {
                  unsigned long node = 1;
                  CHILD_CHECK(syscall(SYS_set_mempolicy, MPOL_BIND, &node, 64) == 0);
                  int policy = -1;
                  CHILD_CHECK(syscall(SYS_get_mempolicy, &policy, nullptr, 0, 0, 0) == 0 && policy == MPOL_BIND);
                  CHILD_ERRNO(syscall(SYS_set_mempolicy, 77, nullptr, 0), EINVAL);
                  return 0;
                }),
                0);
  EXPECT_ERRNO(syscall(SYS_get_mempolicy, &mode, nullptr, 0, BadPointer(), MPOL_F_ADDR), EFAULT);
}

}  // namespace
}  // namespace conformance
