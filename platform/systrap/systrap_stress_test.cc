// Threads of several spaces in system calls, while they are interrupted, their mappings change and
// their fibers block.

#include <gtest/gtest.h>

#include <random>
#include <thread>

#include "platform/systrap/guest_test_util.h"

namespace platform::systrap {
namespace {

using Kind = Event::Kind;

// Counts in r15, which it passes on, and in xmm7. Every other call is of another number.
GUEST(kCounter, R"(
1:  inc %r15
    movq %xmm7, %rsi
    inc %rsi
    movq %rsi, %xmm7
    mov %r15, %rdi
    rdfsbase %rdx
    mov %r15d, %eax
    and $1, %eax
    add $39, %eax
    syscall
    cmp %r15, %rax
    je 1b
    ud2
)");

struct Counts {
  int interrupts = 0;
  int calls = 0;
};

void Count(Guest& guest, AddressSpace& space, int seed, Counts& counts) {
  std::minstd_rand random(seed + 1);
  auto context = guest.NewContext();
  context->mutable_registers().fs_base = 0x1000 + seed;
  uint64_t last = 0;
  for (int i = 0; i < 4000; i++) {
    Event event = context->Run(space);
    if (event.kind == Kind::kInterrupted) {
      counts.interrupts++;
      ASSERT_TRUE(context->has_registers());
      continue;
    }
    ASSERT_EQ(static_cast<int>(event.kind), static_cast<int>(Kind::kSyscall))
        << "signo " << event.signo;
    counts.calls++;
    ASSERT_EQ(event.args[0], last + 1);
    ASSERT_EQ(event.args[1], last + 1);
    ASSERT_EQ(event.args[2], 0x1000u + seed);
    ASSERT_EQ(event.nr, 39 + ((last + 1) & 1));
    last++;
    context->SetResult(last);
    const uint64_t address = 0x10000000 + seed * 0x100000 + random() % 16 * kPage;
    switch (random() % 16) {
      case 0:
        CHECK_OK(context->EnsureRegisters());
        ASSERT_EQ(context->registers().rax, last);
        ASSERT_EQ(context->registers().r15, last);
        break;
      case 1:
        CHECK_OK(context->EnsureRegisters());
        context->mutable_registers().rbx++;
        break;
      case 2:
        CHECK_OK(space.Map(address, kPage, guest.memory_fd(), 0x100000, PROT_READ, false));
        break;
      case 3:
        CHECK_OK(space.Unmap(address, kPage));
        CHECK_OK(space.Flush());
        break;
      case 4: {
        KernelLock::Unlocked unlocked;
        std::this_thread::yield();
        break;
      }
      case 5: {
        // To another host thread, and sometimes the state to another context.
        CHECK_OK(context->EnsureRegisters());
        if (random() % 2 == 0) {
          auto copy = guest.NewContext();
          copy->CopyStateFrom(*context);
          context = std::move(copy);
        } else {
          context->Release();
        }
        break;
      }
      case 6:
        context->Interrupt();
        break;
      default:
        break;
    }
  }
}

TEST(SystrapStress, CountersNeverSkip) {
  Guest guest({40});
  constexpr int kSpaces = 3, kThreads = 3;
  std::atomic<bool> done[kSpaces * kThreads] = {};
  Counts counts[kSpaces * kThreads];
  RefPtr<AddressSpace> spaces[kSpaces];
  guest.OnFiber([&] {
    for (int i = 0; i < kSpaces; i++) spaces[i] = guest.NewSpace(kCounter, 0x10000 * i);
  });
  for (int i = 0; i < kSpaces * kThreads; i++) {
    Guest::Start([&, i] { Count(guest, *spaces[i % kSpaces], i, counts[i]); }, done[i]);
  }
  for (auto& flag : done) Guest::Await(flag);
  for (Counts& count : counts) {
    EXPECT_GT(count.calls, 3000);
    EXPECT_GT(count.interrupts, 0);
  }
  guest.OnFiber([&] {
    for (auto& space : spaces) space.reset();
  });
}

TEST(SystrapStress, InterruptsFromOutside) {
  Guest guest({40});
  constexpr int kThreads = 4;
  std::atomic<bool> done[kThreads] = {};
  std::unique_ptr<Context> contexts[kThreads];
  std::atomic<int> interrupts = 0;
  std::atomic<bool> stop = false;
  RefPtr<AddressSpace> space;
  guest.OnFiber([&] {
    space = guest.NewSpace(kCounter);
    for (auto& context : contexts) context = guest.NewContext();
  });
  for (int i = 0; i < kThreads; i++) {
    Guest::Start(
        [&, i] {
          uint64_t last = 0;
          while (!stop) {
            Event event = contexts[i]->Run(*space);
            if (event.kind == Kind::kInterrupted) {
              interrupts++;
              continue;
            }
            ASSERT_EQ(static_cast<int>(event.kind), static_cast<int>(Kind::kSyscall));
            ASSERT_EQ(event.args[0], ++last);
            ASSERT_EQ(event.args[1], last);
            contexts[i]->SetResult(last);
          }
        },
        done[i]);
  }
  for (int round = 0; round < 20000 && interrupts < 1000; round++) {
    {
      KernelLock::Section section;
      contexts[round % kThreads]->Interrupt();
    }
    usleep(50);
  }
  stop = true;
  for (int i = 0; i < kThreads; i++) Guest::Await(done[i]);
  EXPECT_GT(interrupts, 100);
  guest.OnFiber([&] {
    for (auto& context : contexts) context.reset();
    space.reset();
  });
}

}  // namespace
}  // namespace platform::systrap
