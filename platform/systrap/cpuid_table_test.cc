#include "platform/systrap/cpuid_table.h"

#include <cpuid.h>
#include <gtest/gtest.h>
#include <signal.h>

#include "platform/systrap/guest_test_util.h"

namespace platform::systrap {
namespace {

using Kind = Event::Kind;

// Makes a system call with what cpuid says of leaf 0 and of two subleaves of 4, for ever; registers that it does not change
// are in the upper halves.
GUEST(kAskTwice, R"(
1:  mov $-1, %rbx
    xor %eax, %eax
    mov $77, %ecx
    int $0xa2
    mov %ebx, %edi
    mov %ecx, %esi
    mov $4, %eax
    mov $1, %ecx
    int $0xa2
    mov %rax, %r10
    mov %rbx, %r8
    mov $4, %eax
    mov $2, %ecx
    int $0xa2
    mov %rcx, %r9
    mov $110, %eax
    syscall
    jmp 1b
)");

constexpr int kHotCalls = 1000;  // code may be replaced

// The next system call; `interrupts`: how often the Sentry was asked before.
Event NextCall(Context& context, AddressSpace& space, int* interrupts) {
  for (*interrupts = 0;; ++*interrupts) {
    Event event = context.Run(space);
    if (event.kind != Kind::kInterrupted) return event;
  }
}

TEST(CpuidTable, AnswersAsTheProcessor) {
  Guest guest({}, kHotCalls);
  guest.OnFiber([&] {
    auto space = guest.NewSpace(kAskTwice);
    auto replacement = space->ReplaceCpuid(kCode, kAskTwice.size());
    ASSERT_TRUE(replacement.has_value());
    EXPECT_EQ(*replacement, kCpuidReplacement);
    auto context = guest.NewContext();
    uint32_t a, b, c, d, a4, b4, c4, d4;
    for (int round = 0; round < 3; round++) {
      int interrupts;
      const Event event = NextCall(*context, *space, &interrupts);
      ASSERT_EQ(event.kind, Kind::kSyscall);
      EXPECT_EQ(interrupts, round == 0 ? 3 : 0);
      __cpuid(0, a, b, c, d);
      EXPECT_EQ(event.args[0], b);
      EXPECT_EQ(event.args[1], c);
      __cpuid_count(4, 1, a4, b4, c4, d4);
      EXPECT_EQ(event.args[4], b4);
      __cpuid_count(4, 2, a4, b4, c4, d4);
      EXPECT_EQ(event.args[5], c4);
    }
  });
}

TEST(CpuidTable, NotWhereNoCodeIsToBeReplaced) {
  Guest guest;
  guest.OnFiber([&] { EXPECT_FALSE(guest.NewSpace(kAskTwice)->ReplaceCpuid(kCode, kPage).has_value()); });
}

TEST(CpuidTable, ElsewhereItIsAFault) {
  Guest guest({}, kHotCalls);
  guest.OnFiber([&] {
    auto space = guest.NewSpace(kAskTwice);
    auto context = guest.NewContext();
    int interrupts;
    Event event = NextCall(*context, *space, &interrupts);
    EXPECT_EQ(event.kind, Kind::kFault);
    EXPECT_EQ(event.signo, SIGSEGV);
    // In front of the range, and behind its end.
    for (uint64_t start : {kCode + kPage, kCode - kPage}) {
      ASSERT_TRUE(space->ReplaceCpuid(start, kPage).has_value());
      EXPECT_EQ(NextCall(*context, *space, &interrupts).kind, Kind::kFault);
    }
  });
}

// What one application was answered must not make the next one's code something else.
TEST(CpuidTable, AReusedStubHasNoRange) {
  Guest guest({}, kHotCalls);
  guest.OnFiber([&] {
    for (int i = 0; i < 4; i++) {
      auto space = guest.NewSpace(kAskTwice);
      auto context = guest.NewContext();
      int interrupts;
      EXPECT_EQ(NextCall(*context, *space, &interrupts).kind, Kind::kFault);
      ASSERT_TRUE(space->ReplaceCpuid(kCode, kAskTwice.size()).has_value());
      EXPECT_EQ(NextCall(*context, *space, &interrupts).kind, Kind::kSyscall);
      context.reset();
    }
  });
}

TEST(CpuidTable, AForkHasTheRange) {
  Guest guest({}, kHotCalls);
  guest.OnFiber([&] {
    auto space = guest.NewSpace(kAskTwice);
    ASSERT_TRUE(space->ReplaceCpuid(kCode, kAskTwice.size()).has_value());
    auto child = guest.NewSpace(kAskTwice);
    child->InheritCode(*space);
    auto context = guest.NewContext();
    int interrupts;
    EXPECT_EQ(NextCall(*context, *child, &interrupts).kind, Kind::kSyscall);
  });
}

// More leaves than the table has room for.
GUEST(kAskAll, R"(
    mov $0x12340000, %r15d
1:  mov %r15d, %eax
    mov %r15d, %ecx
    int $0xa2
    inc %r15d
    cmp $0x12340100, %r15d
    jne 1b
    mov $110, %eax
    syscall
)");

TEST(CpuidTable, AFullTableCostsOnlyTime) {
  Guest guest({}, kHotCalls);
  guest.OnFiber([&] {
    auto space = guest.NewSpace(kAskAll);
    ASSERT_TRUE(space->ReplaceCpuid(kCode, kAskAll.size()).has_value());
    auto context = guest.NewContext();
    int interrupts;
    EXPECT_EQ(NextCall(*context, *space, &interrupts).kind, Kind::kSyscall);
    EXPECT_EQ(interrupts, 0x100);
  });
}

}  // namespace
}  // namespace platform::systrap
