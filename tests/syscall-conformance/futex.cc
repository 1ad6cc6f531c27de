// futex(2), set_robust_list(2)
#include <linux/futex.h>
#include <sys/syscall.h>

#include <atomic>
#include <bit>

#include "util/check.h"
#include "util/child.h"
#include "util/clock.h"
#include "util/interrupt.h"
#include "util/memory.h"
#include "util/signals.h"

namespace conformance {
namespace {

using Word = std::atomic<uint32_t>;

long Futex(Word* word, int op, uint32_t value, const void* timeout = nullptr,
           Word* word2 = nullptr, uint32_t value3 = 0) {
  return syscall(SYS_futex, word, op, value, timeout, word2, value3);
}

// Wakes until `count` waiters have been woken; they may not be asleep yet.
void WakeAll(Word* word, int op, int count) {
  for (int64_t end = NowMs() + 5000; count > 0 && NowMs() < end; SleepMs(1)) {
    count -= static_cast<int>(Futex(word, op, 100));
  }
  EXPECT_EQ(count, 0);
}

TEST(Futex, WaitWithOtherValueIsEagain) {
  Word word = 1;
  EXPECT_ERRNO(Futex(&word, FUTEX_WAIT, 2), EAGAIN);
  EXPECT_ERRNO(Futex(&word, FUTEX_WAIT_PRIVATE, 2), EAGAIN);
}

TEST(Futex, WakeWithoutWaitersIsZero) {
  Word word = 0;
  EXPECT_EQ(Futex(&word, FUTEX_WAKE, 1), 0);
}

TEST(Futex, WaitTimesOut) {
  Word word = 0;
  timespec timeout = {0, 50'000'000};
  int64_t start = NowMs();
  EXPECT_ERRNO(Futex(&word, FUTEX_WAIT, 0, &timeout), ETIMEDOUT);
  EXPECT_GE(NowMs() - start, 49);
}

TEST(Futex, WaitBitsetTimeoutIsAbsolute) {
  Word word = 0;
  for (int clock_flag : {0, FUTEX_CLOCK_REALTIME}) {
    timespec now;
    clock_gettime(clock_flag ? CLOCK_REALTIME : CLOCK_MONOTONIC, &now);
    int64_t end = ToNs(now) + 50'000'000, start = NowMs();
    timespec until = {end / 1'000'000'000, end % 1'000'000'000};
    EXPECT_ERRNO(Futex(&word, FUTEX_WAIT_BITSET | clock_flag, 0, &until, nullptr, ~0u), ETIMEDOUT);
    EXPECT_GE(NowMs() - start, 49);
    timespec past = {1, 0};
    EXPECT_ERRNO(Futex(&word, FUTEX_WAIT_BITSET | clock_flag, 0, &past, nullptr, ~0u), ETIMEDOUT);
  }
}

// Threads that wait on a word, each with a bit of its own. The destructor wakes what is left, so
// that a failure does not hang.
class Waiters {
 public:
  Waiters(Word* word, int count, Word* moved_to = nullptr) : word_(word), moved_to_(moved_to) {
    for (int i = 0; i < count; i++) {
      threads_.emplace_back([this, i] {
        ready_++;
        EXPECT_OK(Futex(word_, FUTEX_WAIT_BITSET, 0, nullptr, nullptr, 1u << i));
        woken_ |= 1u << i;
      });
    }
    while (ready_ < count) SleepMs(1);
    SleepMs(100);  // From here to the wait is but a step.
  }
  ~Waiters() {
    uint32_t all = (1u << threads_.size()) - 1;
    while (woken_ != all) {
      Futex(word_, FUTEX_WAKE, 100);
      if (moved_to_ != nullptr) Futex(moved_to_, FUTEX_WAKE, 100);
      SleepMs(1);
    }
    for (auto& thread : threads_) thread.join();
  }
  // The bits of those that have returned, when at least `count` have.
  uint32_t Woken(int count) const {
    for (int i = 0; i < 2000 && std::popcount(woken_.load()) < count; i++) SleepMs(1);
    return woken_;
  }

 private:
  Word* word_;
  Word* moved_to_;
  std::atomic<int> ready_ = 0;
  std::atomic<uint32_t> woken_ = 0;
  std::vector<std::thread> threads_;
};

TEST(Futex, WakeReleasesExactlyTheAskedNumber) {
  Word word = 0;
  Waiters waiters(&word, 4);
  EXPECT_EQ(Futex(&word, FUTEX_WAKE, 1), 1);
  EXPECT_EQ(std::popcount(waiters.Woken(1)), 1);
  EXPECT_EQ(Futex(&word, FUTEX_WAKE, 2), 2);
  EXPECT_EQ(std::popcount(waiters.Woken(3)), 3);
  EXPECT_EQ(Futex(&word, FUTEX_WAKE, 100), 1);
}

TEST(Futex, BitsetSelectsWaiters) {
  Word word = 0;
  Waiters waiters(&word, 2);
  EXPECT_EQ(Futex(&word, FUTEX_WAKE_BITSET, 100, nullptr, nullptr, 2), 1);
  EXPECT_EQ(waiters.Woken(1), 2u);
  EXPECT_EQ(Futex(&word, FUTEX_WAKE, 100), 1);
  EXPECT_ERRNO(Futex(&word, FUTEX_WAIT_BITSET, 0, nullptr, nullptr, 0), EINVAL);
  EXPECT_ERRNO(Futex(&word, FUTEX_WAKE_BITSET, 1, nullptr, nullptr, 0), EINVAL);
}

TEST(Futex, RequeueMovesWaiters) {
  Word a = 0, b = 0;
  Waiters waiters(&a, 3, &b);
  EXPECT_ERRNO(Futex(&a, FUTEX_CMP_REQUEUE, 1, reinterpret_cast<void*>(10), &b, 7), EAGAIN);
  EXPECT_EQ(Futex(&a, FUTEX_CMP_REQUEUE, 1, reinterpret_cast<void*>(10), &b, 0), 3);
  EXPECT_EQ(Futex(&a, FUTEX_WAKE, 100), 0);
  EXPECT_EQ(Futex(&b, FUTEX_WAKE, 100), 2);
}

TEST(Futex, WakeOpChangesTheSecondWord) {
  Word a = 0, b = 5;
  int op = FUTEX_OP(FUTEX_OP_ADD, 3, FUTEX_OP_CMP_EQ, 5);
  EXPECT_EQ(Futex(&a, FUTEX_WAKE_OP, 1, reinterpret_cast<void*>(1), &b, op), 0);
  EXPECT_EQ(b, 8u);
}

TEST(Futex, SharedAcrossProcessesPrivateIsNot) {
  SharedMemory memory;
  auto* word = memory.as<Word>();
  pid_t pid = Fork([&] {
    CHILD_CHECK(Futex(word, FUTEX_WAIT, 0) == 0);
    return 0;
  });
  SleepMs(50);
  EXPECT_EQ(Futex(word, FUTEX_WAKE_PRIVATE, 100), 0);
  WakeAll(word, FUTEX_WAKE, 1);
  EXPECT_EXITED(Wait(pid), 0);
}

TEST(Futex, SharedWordAtTwoAddresses) {
  SharedMemory memory;
  char* alias = static_cast<char*>(mremap(memory.data(), 0, kPage, MREMAP_MAYMOVE));
  ASSERT_NE(alias, MAP_FAILED);
  std::thread waiter([&] { EXPECT_OK(Futex(memory.as<Word>(), FUTEX_WAIT, 0)); });
  WakeAll(reinterpret_cast<Word*>(alias), FUTEX_WAKE, 1);
  waiter.join();
  munmap(alias, kPage);
}

TEST(Futex, SignalInterrupts) {
  Word word = 0;
  ScopedHandler handler(SIGUSR1, +[](int) {});
  EXPECT_ERRNO(Interrupted([&] { return Futex(&word, FUTEX_WAIT, 0); }, [] {}), EINTR);
}

TEST(Futex, RestartsAfterHandlerWithSaRestart) {
  Word word = 0;
  ScopedHandler handler(SIGUSR1, +[](int) {}, SA_RESTART);
  EXPECT_OK(Interrupted([&] { return Futex(&word, FUTEX_WAIT, 0); },
                        [&] { WakeAll(&word, FUTEX_WAKE, 1); }));
}

TEST(Futex, Errors) {
  Word word = 0;
  auto* odd = reinterpret_cast<Word*>(reinterpret_cast<char*>(&word) + 1);
  EXPECT_ERRNO(Futex(odd, FUTEX_WAIT, 0), EINVAL);
  EXPECT_ERRNO(Futex(reinterpret_cast<Word*>(0x0000900000000000), FUTEX_WAIT, 0), EFAULT);
  PrivateMemory memory(kPage, PROT_NONE);
  EXPECT_ERRNO(Futex(memory.as<Word>(), FUTEX_WAIT, 0), EFAULT);
  timespec bad = {0, 1'000'000'000};
  EXPECT_ERRNO(Futex(&word, FUTEX_WAIT, 0, &bad), EINVAL);
  EXPECT_ERRNO(Futex(&word, FUTEX_WAIT, 0, BadPointer<timespec>()), EFAULT);
  EXPECT_ERRNO(Futex(&word, 99, 0), ENOSYS);
}

TEST(Futex, PriorityInheritanceLock) {
  Word word = 0;
  uint32_t tid = syscall(SYS_gettid);
  ASSERT_OK(Futex(&word, FUTEX_LOCK_PI, 0));
  EXPECT_EQ(word, tid);
  EXPECT_ERRNO(Futex(&word, FUTEX_LOCK_PI, 0), EDEADLK);
  std::thread other([&] {
    EXPECT_ERRNO(Futex(&word, FUTEX_TRYLOCK_PI, 0), EAGAIN);
    EXPECT_ERRNO(Futex(&word, FUTEX_UNLOCK_PI, 0), EPERM);
    EXPECT_OK(Futex(&word, FUTEX_LOCK_PI, 0));
    EXPECT_EQ(word & FUTEX_TID_MASK, static_cast<uint32_t>(syscall(SYS_gettid)));
    EXPECT_OK(Futex(&word, FUTEX_UNLOCK_PI, 0));
  });
  for (int i = 0; i < 2000 && (word & FUTEX_WAITERS) == 0; i++) SleepMs(1);
  EXPECT_TRUE(word & FUTEX_WAITERS);
  EXPECT_OK(Futex(&word, FUTEX_UNLOCK_PI, 0));
  other.join();
  EXPECT_EQ(word, 0u);
}

TEST(Futex, RobustMutexSurvivesItsDeadOwner) {
  SharedMemory memory;
  auto* mutex = memory.as<pthread_mutex_t>();
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  ASSERT_EQ(pthread_mutex_init(mutex, &attributes), 0);
  EXPECT_EXITED(RunChild([&] { return pthread_mutex_lock(mutex); }), 0);
  EXPECT_EQ(pthread_mutex_lock(mutex), EOWNERDEAD);
  EXPECT_EQ(pthread_mutex_consistent(mutex), 0);
  EXPECT_EQ(pthread_mutex_unlock(mutex), 0);
}

TEST(Futex, RobustMutexWakesAWaiterWhenTheOwnerIsKilled) {
  SharedMemory memory;
  auto* mutex = memory.as<pthread_mutex_t>();
  auto* locked = reinterpret_cast<std::atomic<int>*>(memory.data() + 1024);
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  ASSERT_EQ(pthread_mutex_init(mutex, &attributes), 0);
  pid_t pid = Fork([&] {
    pthread_mutex_lock(mutex);
    *locked = 1;
    for (;;) pause();
    return 0;
  });
  while (*locked == 0) SleepMs(1);
  std::thread killer([pid] {
    SleepMs(50);
    kill(pid, SIGKILL);
  });
  EXPECT_EQ(pthread_mutex_lock(mutex), EOWNERDEAD);
  killer.join();
  Wait(pid);
}

TEST(Futex, RobustListIsReported) {
  void* head = nullptr;
  size_t length = 0;
  ASSERT_OK(syscall(SYS_get_robust_list, 0, &head, &length));
  EXPECT_EQ(length, 24u);
  EXPECT_NE(head, nullptr);
  EXPECT_ERRNO(syscall(SYS_set_robust_list, head, 12), EINVAL);
}

TEST(Futex, ConditionVariablePingPong) {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
  int turn = 0;
  auto play = [&](int me) {
    for (int i = 0; i < 500; i++) {
      pthread_mutex_lock(&mutex);
      while (turn != me) pthread_cond_wait(&condition, &mutex);
      turn = !me;
      pthread_cond_broadcast(&condition);
      pthread_mutex_unlock(&mutex);
    }
  };
  std::thread other(play, 1);
  play(0);
  other.join();
  EXPECT_EQ(turn, 0);
}

}  // namespace
}  // namespace conformance
