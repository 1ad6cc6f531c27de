// Replaced call sites and posted calls, with guests that use them and guests that abuse them.

#include "platform/systrap/call_sites.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <thread>
#include <vector>

#include "platform/systrap/guest_test_util.h"

namespace platform::systrap {
namespace {

using Kind = Event::Kind;

constexpr uint64_t kFsBase = kData + 1024;

// Calls getppid for ever with a counter in rdi, and another one in memory: neither may ever skip.
GUEST(kCountCalls, R"(
    xor %edi, %edi
1:  mov $110, %eax
    syscall
    cmp %rdi, %rax
    jne 2f
    inc %rdi
    incq 0x500000
    jmp 1b
2:  hlt
)");
constexpr int kCallReturn = 9;  // offset behind the system call instruction

// The same by the sequence that read(2) has.
GUEST(kCountReads, R"(
    xor %edi, %edi
1:  xor %eax, %eax
    syscall
    cmp $-4096, %rax
    ja 2f
    cmp %rdi, %rax
    jne 2f
    inc %rdi
    incq 0x500000
    jmp 1b
2:  hlt
)");
constexpr int kReadReturn = 6;

// As kCountCalls; every hundredth call is followed by one of getpgrp from another place, which must return -7.
GUEST(kCountBoth, R"(
    xor %edi, %edi
    mov $100, %esi
1:  mov $110, %eax
    syscall
    cmp %rdi, %rax
    jne 2f
    inc %rdi
    incq 0x500000
    dec %esi
    jnz 1b
    mov $100, %esi
    mov $111, %eax
    syscall
    cmp $-7, %rax
    je 1b
2:  hlt
)");
constexpr int kBothReturn = 14;

// As kCountCalls, with a value in rbx that must stay and is passed on.
GUEST(kCountKeeping, R"(
    xor %edi, %edi
    mov $0x12345, %ebx
1:  mov %rbx, %rsi
    mov $110, %eax
    syscall
    cmp %rdi, %rax
    jne 2f
    inc %rdi
    jmp 1b
2:  hlt
)");
constexpr int kKeepingReturn = 17;

// As kCountCalls, with a fault after each call.
GUEST(kCountFaults, R"(
    xor %edi, %edi
1:  mov $110, %eax
    syscall
    cmp %rdi, %rax
    jne 2f
    inc %rdi
    ud2
    jmp 1b
2:  hlt
)");
constexpr int kFault = 17;

class Counting {
 public:
  Counting(Guest& guest, std::string_view code, int return_offset, uint64_t offset = 0)
      : guest_(guest),
        offset_(offset),
        space_(guest.NewSpace(code, offset)),
        context_(guest.NewContext()) {
    context_->mutable_registers().fs_base = kFsBase;
    Replace(kCode + return_offset);
  }

  void Replace(uint64_t ip) {
    std::array<uint8_t, CodePatch::kWindow> window = {};
    const int missing = std::max<int>(0, CodePatch::kBefore - static_cast<int>(ip - kCode));
    memcpy(window.data() + missing,
           guest_.At(offset_) + (ip - kCode) - CodePatch::kBefore + missing,
           CodePatch::kWindow - missing);
    std::optional<CodePatch> patch = space_->ReplaceCall(ip, window);
    ASSERT_TRUE(patch.has_value());
    ip_ = ip;
    memcpy(guest_.At(offset_) + (patch->address - kCode), patch->bytes.data(), patch->length);
  }

  // Answers calls until there were `count`, and not the next one; interrupts are passed over,
  // everything else ends it.
  Event RunCalls(uint64_t count) {
    for (;;) {
      Event event = context_->Run(*space_);
      if (event.kind == Kind::kInterrupted) continue;
      if (event.kind != Kind::kSyscall) return event;
      EXPECT_EQ(event.args[0], calls_);
      EXPECT_EQ(event.ip, ip_);
      if (calls_ == count) return event;
      Answer();
    }
  }
  void Answer() { context_->SetResult(static_cast<int64_t>(calls_++)); }

  Context& context() { return *context_; }
  AddressSpace& space() { return *space_; }
  uint64_t calls() const { return calls_; }

 private:
  Guest& guest_;
  const uint64_t offset_;
  RefPtr<AddressSpace> space_;
  std::unique_ptr<Context> context_;
  uint64_t calls_ = 0, ip_ = 0;
};

// With a worker that may watch, and without.
class CallSitesTest : public testing::TestWithParam<bool> {
 protected:
  CallSitesTest() : guest({}, 0, GetParam()) {}

  Guest guest;
};
INSTANTIATE_TEST_SUITE_P(, CallSitesTest, testing::Bool(), [](const auto& info) {
  return info.param ? "Watched" : "NotWatched";
});

TEST_P(CallSitesTest, CallsArriveInOrder) {
  guest.OnFiber([&] {
    Counting calls(guest, kCountCalls, kCallReturn);
    EXPECT_EQ(calls.RunCalls(20000).kind, Kind::kSyscall);
    EXPECT_EQ(guest.Word<uint64_t>(kPage), 20000u);
    Counting reads(guest, kCountReads, kReadReturn, 4 * kPage);
    EXPECT_EQ(reads.RunCalls(20000).kind, Kind::kSyscall);
    EXPECT_EQ(guest.Word<uint64_t>(5 * kPage), 20000u);
  });
}

// A watched thread makes system calls that it does not post.
TEST_P(CallSitesTest, OtherCallsInBetween) {
  guest.OnFiber([&] {
    Counting calls(guest, kCountBoth, kBothReturn);
    uint64_t others = 0;
    while (calls.calls() < 20000) {
      Event event = calls.context().Run(calls.space());
      ASSERT_EQ(event.kind, Kind::kSyscall);
      if (event.nr == 110) {
        ASSERT_EQ(event.args[0], calls.calls());
        calls.Answer();
      } else {
        ASSERT_EQ(event.nr, 111u);
        ASSERT_EQ(calls.calls(), ++others * 100);
        calls.context().SetResult(-7);
      }
    }
    EXPECT_EQ(others, 199u);
  });
}

// A watched thread takes faults.
TEST_P(CallSitesTest, FaultsInBetween) {
  guest.OnFiber([&] {
    Counting calls(guest, kCountFaults, kCallReturn);
    uint64_t faults = 0;
    while (faults < 5000) {
      Event event = calls.context().Run(calls.space());
      if (event.kind == Kind::kSyscall) {
        ASSERT_EQ(event.args[0], faults);
        ASSERT_EQ(calls.calls(), faults);
        calls.Answer();
        continue;
      }
      ASSERT_EQ(event.kind, Kind::kFault);
      ASSERT_EQ(event.signo, SIGILL);
      ASSERT_EQ(calls.context().registers().rip, kCode + kFault);
      ASSERT_EQ(calls.context().registers().rdi, ++faults);
      calls.context().mutable_registers().rip += 2;
    }
  });
}

TEST_P(CallSitesTest, RegistersAreThoseOfTheOriginalCode) {
  guest.OnFiber([&] {
    Counting calls(guest, kCountCalls, kCallReturn);
    for (uint64_t i = 0; i < 2000; i++) {
      ASSERT_EQ(calls.RunCalls(i).kind, Kind::kSyscall);
      calls.Answer();
      ASSERT_TRUE(calls.context().EnsureRegisters().ok());
      const Registers& registers = calls.context().registers();
      ASSERT_EQ(registers.rip, kCode + kCallReturn);
      ASSERT_EQ(registers.rdi, i);
      ASSERT_EQ(registers.rax, i);
      ASSERT_EQ(registers.orig_rax, 110u);
      ASSERT_EQ(registers.rsp, kData + kPage);
    }
  });
}

// Interrupts at any instruction lose nothing, and show no instruction pointer in the stub.
TEST_P(CallSitesTest, InterruptsAnywhere) {
  for (auto [code, offset] :
       {std::pair(kCountCalls, kCallReturn), std::pair(kCountReads, kReadReturn)}) {
    guest.OnFiber([&] {
      Counting calls(guest, code, offset);
      std::atomic<bool> stop = false;
      std::thread interrupter([&] {
        while (!stop) {
          {
            KernelLock::Section section;
            calls.context().Interrupt();
          }
          usleep(20);
        }
      });
      int interrupted = 0;
      uint64_t next = 0;
      while (next < 30000) {
        Event event = calls.context().Run(calls.space());
        if (event.kind == Kind::kInterrupted) {
          interrupted++;
          ASSERT_GE(calls.context().registers().rip, kCode);
          ASSERT_LT(calls.context().registers().rip, kCode + kPage);
          continue;
        }
        ASSERT_EQ(event.kind, Kind::kSyscall);
        ASSERT_EQ(event.args[0], next);
        calls.context().SetResult(static_cast<int64_t>(next++));
      }
      {
        KernelLock::Unlocked unlocked;
        stop = true;
        interrupter.join();
      }
      EXPECT_GT(interrupted, 0);
    });
  }
}

// Two threads, of two address spaces, every second call of which lasts until the other one has made the next: where
// they are watched they yield to each other. Interrupts come at any time.
TEST_P(CallSitesTest, BlockedCallsYield) {
  constexpr uint64_t kTurns = 20000;
  struct Side {
    std::unique_ptr<Counting> calls;
    int may_go = 0;
    Fiber* waiting = nullptr;
    std::atomic<bool> done = false;
  } sides[2];
  auto let_go = [](Side& side) {
    side.may_go++;
    if (side.waiting != nullptr) side.waiting->Unpark();
  };
  auto play = [&](Side& me, Side& other) {
    Context& context = me.calls->context();
    for (uint64_t next = 0; next < 2 * kTurns;) {
      Event event = context.Run(me.calls->space());
      if (event.kind == Kind::kInterrupted) {
        ASSERT_GE(context.registers().rip, kCode);
        ASSERT_LT(context.registers().rip, kCode + kPage);
        if (next > 0) {
          ASSERT_EQ(context.registers().rbx, 0x12345u);
        }
        continue;
      }
      ASSERT_EQ(event.kind, Kind::kSyscall);
      ASSERT_EQ(event.args[0], next);
      ASSERT_EQ(event.args[1], 0x12345u);
      if (next % 2 == 0) {
        let_go(other);
      } else {
        me.waiting = Fiber::Current();
        while (me.may_go == 0) Fiber::Park();
        me.may_go--;
        me.waiting = nullptr;
      }
      if (next % 128 == 127) {
        ASSERT_TRUE(context.EnsureRegisters().ok());
        ASSERT_EQ(context.registers().rbx, 0x12345u);
      }
      context.SetResult(static_cast<int64_t>(next++));
    }
  };
  guest.OnFiber([&] {
    for (int i : {0, 1}) {
      sides[i].calls = std::make_unique<Counting>(guest, kCountKeeping, kKeepingReturn, 8 * kPage * static_cast<uint64_t>(i));
    }
  });
  for (int i : {0, 1}) Guest::Start([&, i] { play(sides[i], sides[1 - i]); }, sides[i].done);
  std::atomic<bool> stop = false;
  std::thread interrupter([&] {
    for (int i = 0; !stop; i++) {
      {
        KernelLock::Section section;
        sides[i % 2].calls->context().Interrupt();
      }
      usleep(i % 64 < 32 ? 50 : 2000);
    }
  });
  for (Side& side : sides) Guest::Await(side.done);
  stop = true;
  interrupter.join();
  guest.OnFiber([&] {
    for (Side& side : sides) side.calls.reset();
  });
}

TEST_P(CallSitesTest, AnswersHoldUntilForgotten) {
  guest.OnFiber([&] {
    // Returns as soon as the result of getpid changes.
    static constexpr unsigned char kLoop[] = {
        0xb8, 39, 0, 0, 0, 0x0f, 0x05,              // 1: mov $39, %eax; syscall
        0x83, 0xf8, 0x07,                           // cmp $7, %eax
        0x74, 0xf4,                                 // je 1b
        0xb8, 60, 0, 0, 0, 0x0f, 0x05};             // mov $60, %eax; syscall
    auto space = guest.NewSpace({reinterpret_cast<const char*>(kLoop), sizeof kLoop}, 0);
    auto context = guest.NewContext();
    context->mutable_registers().fs_base = kFsBase;
    std::array<uint8_t, CodePatch::kWindow> window = {};
    memcpy(window.data() + 2, kLoop, CodePatch::kWindow - 2);
    std::optional<CodePatch> patch = space->ReplaceCall(kCode + 7, window);
    ASSERT_TRUE(patch.has_value());
    memcpy(guest.At(0), patch->bytes.data(), patch->length);
    for (int i = 0; i < 2; i++) {
      Event event = context->Run(*space);
      ASSERT_EQ(event.nr, 39u);
      context->SetResult(7);
    }
    context->SetAnswer(39, 7);
    std::thread later([&] {
      usleep(20000);
      KernelLock::Section section;
      context->ForgetAnswers();
    });
    Event event = context->Run(*space);  // no call arrives for 20 ms
    EXPECT_EQ(event.nr, 39u);
    {
      KernelLock::Unlocked unlocked;
      later.join();
    }
    context->SetResult(8);
    EXPECT_EQ(context->Run(*space).nr, 60u);
  });
}

TEST(CallSites, UnknownCodeStays) {
  std::vector<char> slot(kSlotSize > 1 << 20 ? 1 << 20 : kSlotSize);
  CallSites sites(slot.data());
  std::array<uint8_t, CodePatch::kWindow> window = {};
  auto put = [&](std::initializer_list<uint8_t> before) {
    window = {};
    std::copy(before.begin(), before.end(), window.begin() + CodePatch::kBefore - before.size());
  };
  put({0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05});  // what unwinders look for
  EXPECT_FALSE(sites.Replace(0x401009, window).has_value());
  put({0x90, 0x90, 0x90, 0x90, 0x90, 0x0f, 0x05});
  EXPECT_FALSE(sites.Replace(0x401009, window).has_value());
  put({0x31, 0xc0, 0x0f, 0x05});  // no comparison behind it
  EXPECT_FALSE(sites.Replace(0x401009, window).has_value());
  put({0xb8, 39, 0, 0, 0, 0xcd, 0x80});  // another way to call
  EXPECT_FALSE(sites.Replace(0x401009, window).has_value());
  put({0xb8, 39, 0, 0, 0, 0x0f, 0x05});
  EXPECT_TRUE(sites.Replace(0x401009, window).has_value());
  int more = 0;
  for (uint64_t ip = 0x402009; sites.Replace(ip, window).has_value(); ip += 16) more++;
  EXPECT_EQ(more, STUB_MAX_SITES - 32 - 1) << "the others are for reads";
}

// Wherever the library is loaded.
TEST(CallSites, CallsThatTakeTurnsGetHot) {
  constexpr uint32_t kHot = 32;
  std::vector<char> slot(1 << 20);
  for (uint64_t base = 0x7f0000000000; base < 0x7f0000000000 + (uint64_t{200} << 12); base += 4096) {
    CallSites sites(slot.data());
    int hot = 0;
    bool warm;
    for (uint32_t i = 0; i < 2 * kHot; i++) {
      for (uint64_t call = 0; call < 16; call++) hot += sites.Count(base + call * 0x3a7, kHot, &warm) ? 1 : 0;
    }
    EXPECT_EQ(hot, 16) << base;
  }
}

// The places of threads whose stacks lie side by side.
TEST(CallSites, NeighboursFindTheirAreas) {
  std::vector<char> slot(1 << 20);
  CallSites sites(slot.data());
  std::array<uint8_t, CodePatch::kWindow> window = {0xb8, 39, 0, 0, 0, 0x0f, 0x05};
  std::rotate(window.begin(), window.begin() + 7, window.begin() + CodePatch::kBefore);
  ASSERT_TRUE(sites.Replace(0x401009, window).has_value());
  for (uint64_t distance : {0x1000u, 0x21000u, 0x801000u, 0x1000000u + 0x40}) {
    int bound = 0;
    for (uint64_t i = 0; i < 16; i++) {
      bound += sites.Bind(0x7f12345676c0 - i * distance, STUB_AREAS + i * STUB_AREA_SIZE) ? 1 : 0;
    }
    EXPECT_EQ(bound, 16) << distance;
    EXPECT_FALSE(sites.Bind(0, STUB_AREAS));
    for (uint64_t i = 0; i < 16; i++) sites.Unbind(STUB_AREAS + i * STUB_AREA_SIZE);
  }
}

// ---- abuse


TEST_P(CallSitesTest, JumpsIntoTrampolinesAndStubCall) {
  guest.OnFiber([&] {
    const uint64_t area = STUB_AREAS + STUB_AREA_SIZE + STUB_AREA_HEADER;
    std::vector<uint64_t> targets;
    for (int i = 0; i < STUB_TRAMPOLINE_SIZE; i += 3) targets.push_back(STUB_TRAMPOLINES + i);
    for (uint64_t at = StubAddress(StubHandler); at < StubAddress(StubCallEnd); at += 3) {
      targets.push_back(at);
    }
    targets.push_back(STUB_TABLE);
    // Some go round in circles.
    Context* running = nullptr;
    std::atomic<bool> stop = false;
    std::thread interrupter([&] {
      while (!stop) {
        usleep(500);
        KernelLock::Section section;
        if (running != nullptr) running->Interrupt();
      }
    });
    for (uint64_t target : targets) {
      for (uint64_t value : {uint64_t{0}, area, area + 64, kData, ~uint64_t{0},
                             uint64_t{STUB_TRAMPOLINES}}) {
        for (uint64_t nr : {uint64_t{STUB_PARK}, uint64_t{STUB_DOORBELL}, uint64_t{39}}) {
          Counting calls(guest, kCountCalls, kCallReturn);
          Registers& registers = calls.context().mutable_registers();
          registers.rip = target;
          registers.rax = nr;
          registers.r11 = registers.rcx = registers.rbx = registers.rdx = value;
          registers.rdi = value;
          running = &calls.context();
          for (int i = 0; i < 3; i++) {
            Event event = calls.context().Run(calls.space());
            if (event.kind != Kind::kSyscall) break;
            calls.context().SetResult(-ENOSYS);
          }
          running = nullptr;
        }
      }
    }
    {
      KernelLock::Unlocked unlocked;
      stop = true;
      interrupter.join();
    }
    // The platform still works.
    Counting calls(guest, kCountCalls, kCallReturn);
    EXPECT_EQ(calls.RunCalls(100).kind, Kind::kSyscall);
  });
}

// A second thread writes what it likes over the headers of both.
GUEST(kScribble, R"(
    mov $0x7fffe1007800, %rbx
    mov $0x7fffe100b800, %rbp
1:  rdtsc
    and $7, %eax
    mov %eax, 24(%rbx)
    mov %eax, 64(%rbx)
    mov %eax, 64(%rbp)
    mov %rdx, 72(%rbx)
    rdtsc
    mov %eax, 68(%rbx)
    mov %rax, 120(%rbx)
    jmp 1b
)");

TEST_P(CallSitesTest, ScribblesOnPostedCalls) {
  guest.OnFiber([&] {
    for (int round = 0; round < 20; round++) {
      Counting calls(guest, kCountCalls, kCallReturn);
      memcpy(guest.At(2 * kPage), kScribble.data(), kScribble.size());
      CHECK_OK(calls.space().Map(kCode + kPage, kPage, guest.memory_fd(), 2 * kPage,
                                 PROT_READ | PROT_EXEC, false));
      auto other = guest.NewContext(kCode + kPage);
      bool done = false;
      Fiber* self = Fiber::Current();
      Fiber::Start([&] {
        while (other->Run(calls.space()).kind == Kind::kSyscall) {
        }
        done = true;
        self->Unpark();
      });
      for (int i = 0; i < 3000; i++) {
        Event event = calls.context().Run(calls.space());
        if (event.kind != Kind::kSyscall) break;
        calls.context().SetResult(static_cast<int64_t>(event.args[0]));
      }
      other->Interrupt();
      while (!done) Fiber::Park();
    }
    Counting calls(guest, kCountCalls, kCallReturn);
    EXPECT_EQ(calls.RunCalls(100).kind, Kind::kSyscall);
  });
}

}  // namespace
}  // namespace platform::systrap
