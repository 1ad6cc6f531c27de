#include "platform/systrap/systrap.h"

#include <gtest/gtest.h>
#include <signal.h>

#include "platform/systrap/guest_test_util.h"

namespace platform::systrap {
namespace {

using Kind = Event::Kind;

Event RunTo(Context& context, AddressSpace& space, Kind kind) {
  Event event = context.Run(space);
  EXPECT_EQ(static_cast<int>(event.kind), static_cast<int>(kind))
      << "nr " << event.nr << " signo " << event.signo << " address " << std::hex << event.address;
  return event;
}

// ---- system calls

GUEST(kGetpid, R"(
    mov $39, %eax
    syscall
    mov %rax, %rdi
    mov $60, %eax
    syscall
    hlt
)");

TEST(Systrap, SystemCallsAndResults) {
  Guest guest;
  guest.OnFiber([&] {
    auto space = guest.NewSpace(kGetpid);
    auto context = guest.NewContext();
    Event event = RunTo(*context, *space, Kind::kSyscall);
    EXPECT_EQ(event.nr, 39u);
    EXPECT_EQ(event.ip, kCode + 7);
    EXPECT_FALSE(event.compat);
    EXPECT_FALSE(context->has_registers());
    context->SetResult(1234);
    event = RunTo(*context, *space, Kind::kSyscall);
    EXPECT_EQ(event.nr, 60u);
    EXPECT_EQ(event.args[0], 1234u);
  });
}

GUEST(kSixArguments, R"(
    mov $0x1122334455667788, %rdi
    mov $2, %esi
    mov $3, %edx
    mov $4, %r10d
    mov $5, %r8d
    mov $-6, %r9
    mov $9, %eax
    syscall
    mov %rdi, %rax
    mov $60, %eax
    syscall
)");

void CheckSixArguments(Guest& guest) {
  guest.OnFiber([&] {
    auto space = guest.NewSpace(kSixArguments);
    auto context = guest.NewContext();
    Event event = RunTo(*context, *space, Kind::kSyscall);
    EXPECT_EQ(event.nr, 9u);
    EXPECT_EQ(event.args[0], 0x1122334455667788u);
    EXPECT_EQ(event.args[1], 2u);
    EXPECT_EQ(event.args[2], 3u);
    EXPECT_EQ(event.args[3], 4u);
    EXPECT_EQ(event.args[4], 5u);
    EXPECT_EQ(event.args[5], static_cast<uint64_t>(-6));
    context->SetResult(-ENOMEM);
    event = RunTo(*context, *space, Kind::kSyscall);
    EXPECT_EQ(event.nr, 60u);
    EXPECT_EQ(event.args[0], 0x1122334455667788u);
  });
}

TEST(Systrap, SixArgumentsByNotification) {
  Guest guest;
  CheckSixArguments(guest);
}

TEST(Systrap, SixArgumentsByTrap) {
  Guest guest({9});
  CheckSixArguments(guest);
}

GUEST(kAllRegisters, R"(
    mov $1, %ebx
    mov $2, %ecx
    mov $3, %edx
    mov $4, %esi
    mov $5, %edi
    mov $6, %ebp
    mov $8, %r8d
    mov $9, %r9d
    mov $10, %r10d
    mov $12, %r12d
    mov $13, %r13d
    mov $14, %r14d
    mov $15, %r15d
    mov $56, %eax
    syscall
    mov $57, %eax
    syscall
)");

TEST(Systrap, FullStateRegistersRoundTrip) {
  Guest guest({56, 57});
  guest.OnFiber([&] {
    auto space = guest.NewSpace(kAllRegisters);
    auto context = guest.NewContext();
    Event event = RunTo(*context, *space, Kind::kSyscall);
    EXPECT_EQ(event.nr, 56u);
    ASSERT_TRUE(context->has_registers());
    const Registers& r = context->registers();
    EXPECT_EQ(r.rbx, 1u);
    EXPECT_EQ(r.rdx, 3u);
    EXPECT_EQ(r.rbp, 6u);
    EXPECT_EQ(r.r12, 12u);
    EXPECT_EQ(r.r15, 15u);
    EXPECT_EQ(r.rsp, kData + kPage);
    EXPECT_EQ(r.rip, event.ip);
    EXPECT_EQ(r.orig_rax, 56u);
    EXPECT_EQ(static_cast<int64_t>(r.rax), -ENOSYS);
    EXPECT_EQ(r.cs, 0x33u);
    Registers& m = context->mutable_registers();
    m.r13 = 1313;
    m.rdi = 55;
    m.fs_base = 0x12345000;
    m.rsp -= 64;
    context->SetResult(77);
    event = RunTo(*context, *space, Kind::kSyscall);
    EXPECT_EQ(event.nr, 57u);
    EXPECT_EQ(event.args[0], 55u);
    EXPECT_EQ(context->registers().r13, 1313u);
    EXPECT_EQ(context->registers().fs_base, 0x12345000u);
    EXPECT_EQ(context->registers().rsp, kData + kPage - 64);
    EXPECT_EQ(context->registers().r14, 14u);
  });
}

// ---- faults

GUEST(kRead, "mov 0x600123, %al\n");
GUEST(kWrite, "movb $1, 0x600456\n");
GUEST(kJump, "mov $0x600789, %eax\n jmp *%rax\n");
GUEST(kDivide, "xor %ecx, %ecx\n mov $1, %eax\n div %ecx\n");
GUEST(kInt3, "int3\n");
GUEST(kUd2, "ud2\n");
GUEST(kHalt, "hlt\n");
GUEST(kNonCanonical, "mov $0x8000000000000000, %rax\n mov (%rax), %rax\n");

Event Fault(Guest& guest, std::string_view code) {
  Event event;
  guest.OnFiber([&] {
    auto space = guest.NewSpace(code);
    auto context = guest.NewContext();
    event = RunTo(*context, *space, Kind::kFault);
    EXPECT_TRUE(context->has_registers());
  });
  return event;
}

TEST(Systrap, PageFaultsSayWhatAndWhere) {
  Guest guest;
  Event event = Fault(guest, kRead);
  EXPECT_EQ(event.signo, SIGSEGV);
  EXPECT_EQ(event.si_code, SEGV_MAPERR);
  EXPECT_TRUE(event.page_fault());
  EXPECT_EQ(event.address, 0x600123u);
  EXPECT_FALSE(event.write());
  EXPECT_FALSE(event.execute());
  event = Fault(guest, kWrite);
  EXPECT_EQ(event.address, 0x600456u);
  EXPECT_TRUE(event.write());
  event = Fault(guest, kJump);
  EXPECT_EQ(event.address, 0x600789u);
  EXPECT_TRUE(event.execute());
}

TEST(Systrap, OtherExceptions) {
  Guest guest;
  EXPECT_EQ(Fault(guest, kDivide).signo, SIGFPE);
  EXPECT_EQ(Fault(guest, kInt3).signo, SIGTRAP);
  EXPECT_EQ(Fault(guest, kUd2).signo, SIGILL);
  Event event = Fault(guest, kHalt);
  EXPECT_EQ(event.signo, SIGSEGV);
  EXPECT_EQ(event.trap_number, 13u);
  EXPECT_FALSE(event.page_fault());
  EXPECT_EQ(Fault(guest, kNonCanonical).signo, SIGSEGV);
}

GUEST(kRetry, "mov 0x600000, %rdi\n mov $60, %eax\n syscall\n");

TEST(Systrap, AFaultIsRetriedAfterTheMappingIsMade) {
  Guest guest;
  guest.OnFiber([&] {
    auto space = guest.NewSpace(kRetry);
    auto context = guest.NewContext();
    RunTo(*context, *space, Kind::kFault);
    guest.Word<uint64_t>(0x10000) = 4711;
    CHECK_OK(space->Map(0x600000, kPage, guest.memory_fd(), 0x10000, PROT_READ, true));
    Event event = RunTo(*context, *space, Kind::kSyscall);
    EXPECT_EQ(event.args[0], 4711u);
  });
}

// ---- mappings

// Reads or writes the addresses that it is told.
GUEST(kPeekPoke, R"(
1:  mov $1, %eax
    syscall
    test %rax, %rax
    js 2f
    mov (%rax), %rdi
    jmp 1b
2:  neg %rax
    movq $99, (%rax)
    jmp 1b
)");

TEST(Systrap, MapUnmapProtectAreSeenByTheGuest) {
  Guest guest;
  guest.OnFiber([&] {
    auto space = guest.NewSpace(kPeekPoke);
    auto context = guest.NewContext();
    RunTo(*context, *space, Kind::kSyscall);
    guest.Word<uint64_t>(0x10000) = 1;
    guest.Word<uint64_t>(0x11000) = 2;
    CHECK_OK(
        space->Map(0x600000, 2 * kPage, guest.memory_fd(), 0x10000, PROT_READ | PROT_WRITE, false));
    context->SetResult(0x601000);
    EXPECT_EQ(RunTo(*context, *space, Kind::kSyscall).args[0], 2u);
    context->SetResult(-0x601000);
    RunTo(*context, *space, Kind::kSyscall);
    EXPECT_EQ(guest.Word<uint64_t>(0x11000), 99u);

    CHECK_OK(space->Protect(0x601000, kPage, PROT_READ));
    context->SetResult(-0x601000);
    Event event = RunTo(*context, *space, Kind::kFault);
    EXPECT_EQ(event.si_code, SEGV_ACCERR);
    EXPECT_TRUE(event.write());
    CHECK_OK(space->Protect(0x601000, kPage, PROT_READ | PROT_WRITE));
    RunTo(*context, *space, Kind::kSyscall);

    // Replaced by another page, then taken away.
    guest.Word<uint64_t>(0x12000) = 3;
    CHECK_OK(space->Map(0x601000, kPage, guest.memory_fd(), 0x12000, PROT_READ, true));
    context->SetResult(0x601000);
    EXPECT_EQ(RunTo(*context, *space, Kind::kSyscall).args[0], 3u);
    CHECK_OK(space->Unmap(0x600000, 2 * kPage));
    CHECK_OK(space->Flush());
    context->SetResult(0x601000);
    EXPECT_EQ(RunTo(*context, *space, Kind::kFault).si_code, SEGV_MAPERR);
  });
}

TEST(Systrap, MapsOtherDescriptors) {
  Guest guest;
  guest.OnFiber([&] {
    auto space = guest.NewSpace(kPeekPoke);
    auto context = guest.NewContext();
    RunTo(*context, *space, Kind::kSyscall);
    // More than a stub keeps.
    for (uint64_t i = 0; i < 40; i++) {
      Fd file(memfd_create("mapped", MFD_CLOEXEC));
      const uint64_t value = 1000 + i;
      ASSERT_EQ(ftruncate(file.get(), kPage), 0);
      ASSERT_EQ(pwrite(file.get(), &value, sizeof value, 8), 8);
      CHECK_OK(space->Map(0x600000 + i * kPage, kPage, file.get(), 0, PROT_READ, false));
    }
    for (uint64_t i = 0; i < 40; i++) {
      context->SetResult(0x600008 + i * kPage);
      EXPECT_EQ(RunTo(*context, *space, Kind::kSyscall).args[0], 1000 + i);
    }
  });
}

TEST(Systrap, ManyMappingsInOneBatch) {
  Guest guest;
  guest.OnFiber([&] {
    auto space = guest.NewSpace(kPeekPoke);
    auto context = guest.NewContext();
    RunTo(*context, *space, Kind::kSyscall);
    // In reverse, so that nothing merges.
    constexpr uint64_t kCount = 3000;
    for (uint64_t i = 0; i < kCount; i++) {
      CHECK_OK(space->Map(0x10000000 + i * 2 * kPage, kPage, guest.memory_fd(),
                          0x10000 + (i % 64) * kPage, PROT_READ | PROT_WRITE, false));
    }
    guest.Word<uint64_t>(0x10000 + ((kCount - 1) % 64) * kPage) = 8;
    context->SetResult(0x10000000 + (kCount - 1) * 2 * kPage);
    EXPECT_EQ(RunTo(*context, *space, Kind::kSyscall).args[0], 8u);
  });
}

TEST(Systrap, TheStubRegionCannotBeMapped) {
  Guest guest;
  guest.OnFiber([&] {
    auto space = guest.NewSpace(kGetpid);
    const uint64_t end = guest.platform().max_user_address();
    CHECK_OK(space->Map(end - kPage, kPage, guest.memory_fd(), 0, PROT_READ, false));
    EXPECT_EQ(space->Map(end - kPage, 2 * kPage, guest.memory_fd(), 0, PROT_READ, false).error(),
              Errno::kEINVAL);
    EXPECT_EQ(space->Unmap(end, kPage).error(), Errno::kEINVAL);
    EXPECT_EQ(space->Protect(end + kPage, kPage, PROT_READ).error(), Errno::kEINVAL);
    EXPECT_EQ(space->Unmap(kPage, ~uint64_t{0} - 4095).error(), Errno::kEINVAL);
    CHECK_OK(space->Flush());
  });
}

// ---- interrupts

GUEST(kSpin, R"(
    mov $39, %eax
    syscall
1:  incq 0x500000
    jmp 1b
)");

TEST(Systrap, InterruptStopsASpinningGuest) {
  Guest guest;
  std::atomic<bool> done = false;
  std::unique_ptr<Context> context;
  RefPtr<AddressSpace> space;
  guest.OnFiber([&] {
    space = guest.NewSpace(kSpin);
    context = guest.NewContext();
    RunTo(*context, *space, Kind::kSyscall);
  });
  for (int round = 0; round < 50; round++) {
    done = false;
    const uint64_t before = guest.Word<uint64_t>(kPage);
    Guest::Start(
        [&] {
          RunTo(*context, *space, Kind::kInterrupted);
          EXPECT_TRUE(context->has_registers());
          EXPECT_GE(context->registers().rip, kCode + 7);
          EXPECT_LT(context->registers().rip, kCode + kPage);
        },
        done);
    while (guest.Word<uint64_t>(kPage) == before) {
    }
    {
      KernelLock::Section section;
      context->Interrupt();
    }
    Guest::Await(done);
  }
  guest.OnFiber([&] {
    context.reset();
    space.reset();
  });
}

TEST(Systrap, InterruptBetweenEventsEndsTheNextRun) {
  Guest guest;
  guest.OnFiber([&] {
    auto space = guest.NewSpace(kGetpid);
    auto context = guest.NewContext();
    context->Interrupt();
    RunTo(*context, *space, Kind::kInterrupted);
    RunTo(*context, *space, Kind::kSyscall);
    context->SetResult(-EINTR);
    context->Interrupt();
    RunTo(*context, *space, Kind::kInterrupted);
    ASSERT_TRUE(context->has_registers());
    EXPECT_EQ(static_cast<int64_t>(context->registers().rax), -EINTR);
    Event event = RunTo(*context, *space, Kind::kSyscall);
    EXPECT_EQ(static_cast<int64_t>(event.args[0]), -EINTR);
  });
}

TEST(Systrap, EnsureRegistersInASystemCall) {
  Guest guest;
  guest.OnFiber([&] {
    auto space = guest.NewSpace(kAllRegisters);
    auto context = guest.NewContext();
    Event event = RunTo(*context, *space, Kind::kSyscall);
    EXPECT_FALSE(context->has_registers());
    context->SetResult(-512);  // ERESTARTSYS stays between kernel and platform
    CHECK_OK(context->EnsureRegisters());
    CHECK_OK(context->EnsureRegisters());
    const Registers r = context->registers();
    EXPECT_EQ(r.rip, event.ip);
    EXPECT_EQ(r.orig_rax, 56u);
    EXPECT_EQ(static_cast<int64_t>(r.rax), -512);
    EXPECT_EQ(r.r15, 15u);
    // Restarted as the kernel would.
    context->mutable_registers().rax = r.orig_rax;
    context->mutable_registers().rip -= 2;
    event = RunTo(*context, *space, Kind::kSyscall);
    EXPECT_EQ(event.nr, 56u);
    EXPECT_EQ(event.ip, r.rip);
    context->SetResult(5);
    event = RunTo(*context, *space, Kind::kSyscall);
    EXPECT_EQ(event.nr, 57u);
    CHECK_OK(context->EnsureRegisters());
    EXPECT_EQ(static_cast<int64_t>(context->registers().rax), -ENOSYS);
  });
}

// ---- FPU and segment bases

// Fills registers from the data page, calls, and stores them again.
GUEST(kVectors, R"(
    mov $0x500000, %ebx
    vmovdqu (%rbx), %ymm0
    vmovdqu 32(%rbx), %ymm15
    fldpi
    mov $39, %eax
    syscall
    vmovdqu %ymm0, 64(%rbx)
    vmovdqu %ymm15, 96(%rbx)
    fstpl 128(%rbx)
    rdfsbase %rsi
    rdgsbase %rdx
    mov $60, %eax
    syscall
)");

void FillVectors(Guest& guest, uint64_t offset) {
  for (int i = 0; i < 64; i++) guest.At(offset)[i] = static_cast<char>(i + 1);
  memset(guest.At(offset) + 64, 0, 72);
}

void CheckVectors(Guest& guest, uint64_t offset) {
  EXPECT_EQ(memcmp(guest.At(offset), guest.At(offset) + 64, 64), 0);
  double pi;
  memcpy(&pi, guest.At(offset) + 128, sizeof pi);
  EXPECT_DOUBLE_EQ(pi, 3.14159265358979323846);
}

void CheckVectorsAcrossCall(Guest& guest) {
  guest.OnFiber([&] {
    FillVectors(guest, kPage);
    auto space = guest.NewSpace(kVectors);
    auto context = guest.NewContext();
    context->mutable_registers().fs_base = 0x7000;
    context->mutable_registers().gs_base = 0x123456789000;
    RunTo(*context, *space, Kind::kSyscall);
    context->Interrupt();
    RunTo(*context, *space, Kind::kInterrupted);
    EXPECT_GT(context->fpu_state().size(), 576u);
    EXPECT_LE(context->fpu_state().size(), guest.platform().xsave_size());
    Event event = RunTo(*context, *space, Kind::kSyscall);
    EXPECT_EQ(event.args[1], 0x7000u);
    EXPECT_EQ(event.args[2], 0x123456789000u);
    CheckVectors(guest, kPage);
  });
}

TEST(Systrap, VectorsSurviveNotifications) {
  Guest guest;
  CheckVectorsAcrossCall(guest);
}

TEST(Systrap, VectorsSurviveTraps) {
  Guest guest({39});
  CheckVectorsAcrossCall(guest);
}

TEST(Systrap, AChildGetsACopyOfTheState) {
  Guest guest({39});
  guest.OnFiber([&] {
    FillVectors(guest, kPage);
    auto space = guest.NewSpace(kVectors);
    auto parent = guest.NewContext();
    parent->mutable_registers().fs_base = 0x7000;
    RunTo(*parent, *space, Kind::kSyscall);
    // In another address space, with another data page.
    constexpr uint64_t kOther = 0x20000;
    auto copy = guest.NewSpace(kVectors, kOther);
    memcpy(guest.At(kOther + kPage), guest.At(kPage), 64);
    auto child = guest.NewContext();
    child->CopyStateFrom(*parent);
    child->SetResult(0);
    Event event = RunTo(*child, *copy, Kind::kSyscall);
    EXPECT_EQ(event.nr, 60u);
    EXPECT_EQ(event.args[1], 0x7000u);
    CheckVectors(guest, kOther + kPage);
    // And in the same one, like a thread.
    auto thread = guest.NewContext();
    thread->CopyStateFrom(*parent);
    memset(guest.At(kPage) + 64, 0, 72);
    RunTo(*thread, *space, Kind::kSyscall);
    CheckVectors(guest, kPage);
    memset(guest.At(kPage) + 64, 0, 72);
    RunTo(*parent, *space, Kind::kSyscall);
    CheckVectors(guest, kPage);
  });
}

TEST(Systrap, FpuStateIsValidatedAndLoaded) {
  Guest guest({39});
  guest.OnFiber([&] {
    FillVectors(guest, kPage);
    auto space = guest.NewSpace(kVectors);
    auto context = guest.NewContext();
    RunTo(*context, *space, Kind::kSyscall);
    std::vector<uint8_t> state(context->fpu_state().begin(), context->fpu_state().end());
    std::vector<uint8_t> bad = state;
    bad[27] = 0xff;  // reserved MXCSR bits
    EXPECT_EQ(context->SetFpuState(bad).error(), Errno::kEINVAL);
    bad = state;
    bad[530] = 1;  // reserved header bytes
    EXPECT_EQ(context->SetFpuState(bad).error(), Errno::kEINVAL);
    EXPECT_EQ(context->SetFpuState(std::span(state).first(100)).error(), Errno::kEINVAL);
    context->ResetFpuState();
    CHECK_OK(context->SetFpuState(state));
    RunTo(*context, *space, Kind::kSyscall);
    CheckVectors(guest, kPage);
  });
}

TEST(Systrap, ResetFpuStateClears) {
  Guest guest({39});
  guest.OnFiber([&] {
    FillVectors(guest, kPage);
    auto space = guest.NewSpace(kVectors);
    auto context = guest.NewContext();
    RunTo(*context, *space, Kind::kSyscall);
    context->ResetFpuState();
    RunTo(*context, *space, Kind::kSyscall);
    for (int i = 64; i < 128; i++) EXPECT_EQ(guest.At(kPage)[i], 0);
  });
}

// ---- several threads and spaces

// Adds to a counter, with a call after each.
GUEST(kCount, R"(
1:  lock incq 0x500000
    mov $39, %eax
    syscall
    jmp 1b
)");

TEST(Systrap, ThreadsShareAnAddressSpace) {
  Guest guest;
  constexpr int kThreads = 5, kRounds = 200;
  std::atomic<bool> done[kThreads] = {};
  RefPtr<AddressSpace> space;
  guest.OnFiber([&] { space = guest.NewSpace(kCount); });
  for (auto& flag : done) {
    Guest::Start(
        [&] {
          auto context = guest.NewContext();
          for (int i = 0; i < kRounds; i++) {
            RunTo(*context, *space, Kind::kSyscall);
            context->SetResult(0);
          }
        },
        flag);
  }
  for (auto& flag : done) Guest::Await(flag);
  EXPECT_EQ(guest.Word<uint64_t>(kPage), static_cast<uint64_t>(kThreads * kRounds));
  guest.OnFiber([&] { space.reset(); });
}

TEST(Systrap, SpacesRunInParallel) {
  Guest guest;
  constexpr int kSpaces = 4, kRounds = 500;
  std::atomic<bool> done[kSpaces] = {};
  for (int n = 0; n < kSpaces; n++) {
    Guest::Start(
        [&guest, n] {
          auto space = guest.NewSpace(kCount, 0x10000 * (n + 1));
          auto context = guest.NewContext();
          for (int i = 0; i < kRounds; i++) {
            RunTo(*context, *space, Kind::kSyscall);
            context->SetResult(0);
          }
        },
        done[n]);
  }
  for (auto& flag : done) Guest::Await(flag);
  for (int n = 0; n < kSpaces; n++) {
    EXPECT_EQ(guest.Word<uint64_t>(0x10000 * (n + 1) + kPage), static_cast<uint64_t>(kRounds));
  }
}

TEST(Systrap, AContextMovesToAnotherSpace) {
  Guest guest;
  guest.OnFiber([&] {
    auto first = guest.NewSpace(kGetpid);
    auto second = guest.NewSpace(kCount, 0x10000);
    auto context = guest.NewContext();
    RunTo(*context, *first, Kind::kSyscall);
    // execve
    context->Release();
    first.reset();
    context->mutable_registers() = Registers{};
    context->mutable_registers().rip = kCode;
    context->ResetFpuState();
    EXPECT_EQ(RunTo(*context, *second, Kind::kSyscall).nr, 39u);
    EXPECT_EQ(guest.Word<uint64_t>(0x10000 + kPage), 1u);
  });
}

TEST(Systrap, ABlockedFiberDoesNotStopOtherThreadsOfTheSpace) {
  Guest guest;
  std::atomic<bool> blocked_done = false, other_done = false;
  RefPtr<AddressSpace> space;
  int pair[2];
  ASSERT_EQ(pipe(pair), 0);
  guest.OnFiber([&] { space = guest.NewSpace(kCount); });
  Guest::Start(
      [&] {
        auto context = guest.NewContext();
        RunTo(*context, *space, Kind::kSyscall);
        char c;
        {
          KernelLock::Unlocked unlocked;
          ASSERT_EQ(read(pair[0], &c, 1), 1);
        }
        RunTo(*context, *space, Kind::kSyscall);
      },
      blocked_done);
  Guest::Start(
      [&] {
        auto context = guest.NewContext();
        for (int i = 0; i < 100; i++) RunTo(*context, *space, Kind::kSyscall);
        ASSERT_EQ(write(pair[1], "x", 1), 1);
      },
      other_done);
  Guest::Await(other_done);
  Guest::Await(blocked_done);
  guest.OnFiber([&] { space.reset(); });
  close(pair[0]);
  close(pair[1]);
}

}  // namespace
}  // namespace platform::systrap
