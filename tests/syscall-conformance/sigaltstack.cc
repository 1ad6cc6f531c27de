// sigaltstack(2)
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <ucontext.h>

#include "util/check.h"
#include "util/child.h"
#include "util/memory.h"
#include "util/signals.h"

namespace conformance {
namespace {

uintptr_t handler_stack;
int handler_flags;
void NoteStack(int) {
  int local;
  handler_stack = reinterpret_cast<uintptr_t>(&local);
  stack_t now = {};
  sigaltstack(nullptr, &now);
  handler_flags = now.ss_flags;
}

struct Sigaltstack : testing::Test {
  Sigaltstack() {
    stack_t stack = {.ss_sp = memory.data(), .ss_flags = 0, .ss_size = memory.size()};
    EXPECT_OK(sigaltstack(&stack, nullptr));
  }
  ~Sigaltstack() override {
    stack_t off = {.ss_sp = nullptr, .ss_flags = SS_DISABLE, .ss_size = 0};
    EXPECT_OK(sigaltstack(&off, nullptr));
  }
  bool Contains(uintptr_t address) {
    auto low = reinterpret_cast<uintptr_t>(memory.data());
    return address >= low && address < low + memory.size();
  }
  PrivateMemory memory{16 * kPage};
};

TEST_F(Sigaltstack, HandlerRunsOnItOnlyWithOnstack) {
  {
    ScopedHandler handler(SIGUSR1, NoteStack);
    raise(SIGUSR1);
    EXPECT_FALSE(Contains(handler_stack));
    EXPECT_EQ(handler_flags, 0);
  }
  ScopedHandler handler(SIGUSR1, NoteStack, SA_ONSTACK);
  raise(SIGUSR1);
  EXPECT_TRUE(Contains(handler_stack));
  EXPECT_EQ(handler_flags, SS_ONSTACK);
}

TEST_F(Sigaltstack, QueryReturnsWhatWasSet) {
  stack_t now = {};
  ASSERT_OK(sigaltstack(nullptr, &now));
  EXPECT_EQ(now.ss_sp, memory.data());
  EXPECT_EQ(now.ss_size, memory.size());
  EXPECT_EQ(now.ss_flags, 0);
}

TEST_F(Sigaltstack, TooSmallIsEnomemAndBadFlagsEinval) {
  stack_t small = {.ss_sp = memory.data(), .ss_flags = 0, .ss_size = 1024};
  EXPECT_ERRNO(sigaltstack(&small, nullptr), ENOMEM);
  stack_t bad = {.ss_sp = memory.data(), .ss_flags = 0x10, .ss_size = memory.size()};
  EXPECT_ERRNO(sigaltstack(&bad, nullptr), EINVAL);
  EXPECT_ERRNO(sigaltstack(BadPointer<stack_t>(), nullptr), EFAULT);
}

int change_error;
TEST_F(Sigaltstack, CannotChangeWhileInUse) {
  ScopedHandler handler(
      SIGUSR1,
      +[](int) {
        stack_t off = {.ss_sp = nullptr, .ss_flags = SS_DISABLE, .ss_size = 0};
        change_error = sigaltstack(&off, nullptr) == -1 ? errno : 0;
      },
      SA_ONSTACK);
  raise(SIGUSR1);
  EXPECT_EQ(change_error, EPERM);
}

TEST_F(Sigaltstack, AutodisarmLetsAHandlerReplaceIt) {
  stack_t stack = {.ss_sp = memory.data(), .ss_flags = static_cast<int>(1u << 31),
                   .ss_size = memory.size()};
  ASSERT_OK(sigaltstack(&stack, nullptr));
  ScopedHandler handler(SIGUSR1, NoteStack, SA_ONSTACK);
  raise(SIGUSR1);
  EXPECT_TRUE(Contains(handler_stack));
  EXPECT_EQ(handler_flags, SS_DISABLE);
  stack_t now = {};
  ASSERT_OK(sigaltstack(nullptr, &now));
  EXPECT_EQ(now.ss_sp, memory.data()) << "armed again after the handler";
}

TEST_F(Sigaltstack, IsPerThreadAndNotInheritedByThreads) {
  std::thread other([] {
    stack_t now = {};
    EXPECT_OK(sigaltstack(nullptr, &now));
    EXPECT_EQ(now.ss_flags, SS_DISABLE);
  });
  other.join();
}

TEST_F(Sigaltstack, IsInheritedByFork) {
  EXPECT_EXITED(RunChild([this] {
                  stack_t now = {};
                  CHILD_CHECK(sigaltstack(nullptr, &now) == 0);
                  CHILD_CHECK(now.ss_sp == memory.data());
                  return 0;
                }),
                0);
}

// Goes deeper until the stack ends; the depth is only there to hide that from the compiler.
[[gnu::noinline]] int Overflow(volatile int* depth) {
  volatile int frame[256];
  frame[0] = *depth + 1;
  return *depth < 0 ? 0 : Overflow(frame) + frame[0];
}

TEST_F(Sigaltstack, StackOverflowIsCaughtOnIt) {
  EXPECT_EXITED(RunChild([] {
                  ScopedHandler handler(
                      SIGSEGV, +[](int, siginfo_t* info, void*) {
                        _exit(info->si_code == SEGV_MAPERR || info->si_code == SEGV_ACCERR ? 33
                                                                                          : 34);
                      },
                      SA_ONSTACK);
                  volatile int start = 0;
                  return Overflow(&start);
                }),
                33);
}

TEST_F(Sigaltstack, OverflowWithoutItKills) {
  EXPECT_KILLED(RunChild([] {
                  ScopedHandler handler(SIGSEGV, +[](int) { _exit(33); });
                  volatile int start = 0;
                  return Overflow(&start);
                }),
                SIGSEGV);
}

TEST_F(Sigaltstack, ContextNamesTheStack) {
  static stack_t seen;
  ScopedHandler handler(
      SIGUSR1,
      +[](int, siginfo_t*, void* context) { seen = static_cast<ucontext_t*>(context)->uc_stack; },
      SA_ONSTACK);
  raise(SIGUSR1);
  EXPECT_EQ(seen.ss_sp, memory.data());
  EXPECT_EQ(seen.ss_size, memory.size());
}

TEST(MinSigStackSize, AuxiliaryVectorHoldsTheFrameWithVectorState) {
  // The frame of a machine with AVX cannot be smaller than the legacy constant.
  unsigned long size = getauxval(AT_MINSIGSTKSZ);
  EXPECT_GE(size, 1024u);
  EXPECT_LT(size, 65536u);
}

}  // namespace
}  // namespace conformance
