// What no guest may achieve on any platform, and how platforms end. Linked with a
// CreatePlatformUnderTest of each.

#include <signal.h>
#include <sys/syscall.h>

#include "platform/ptrace/guest_driver.h"

namespace platform {
namespace {

using Kind = Event::Kind;

GUEST(endless_spin, R"(
    incq (%rdi)
1:  inc %rbx
    jmp 1b
)");

GUEST(call_then_trap, R"(
    mov $42, %eax
    syscall
    int3
)");

GUEST(odd, R"(
    mov $20, %eax
    int $0x80              # 5: getpid of i386
    mov $0x40000027, %eax  # x32 getpid
    syscall
    mov $-1, %rax
    syscall
    mov $0x1f400000027, %rax  # only the low 32 bits count
    syscall
    mov $0xffffffffff600400, %rax
    call *%rax             # vsyscall time(2)
    int3
    .byte 0x6a, 0x23       # push $0x23: the 32-bit code segment
    lea 1f(%rip), %rcx
    push %rcx
    lretq
1:  inc %eax
    int $0x80
)");

TEST(HostileGuest, OddWaysIntoTheHostKernel) {
  GuestMachine machine;
  LOAD_GUEST(machine, odd);
  RunFibers({[&] {
    auto space = machine.NewSpace();
    auto context = machine.NewContext();
    Event event = context->Run(*space);
    if (event.kind == Kind::kSyscall) {
      EXPECT_TRUE(event.compat);
      EXPECT_EQ(event.nr, 20u);
      context->SetResult(-ENOSYS);
    } else {
      ASSERT_EQ(event.kind, Kind::kFault);  // a platform may let it fault instead
      ASSERT_TRUE(context->EnsureRegisters().ok());
      context->mutable_registers().rip = GuestMachine::kCode + 7;
    }
    event = context->Run(*space);
    ASSERT_EQ(event.kind, Kind::kSyscall);
    EXPECT_EQ(static_cast<uint32_t>(event.nr), 0x40000027u);
    context->SetResult(-ENOSYS);
    event = context->Run(*space);
    ASSERT_EQ(event.kind, Kind::kSyscall);
    EXPECT_EQ(static_cast<uint32_t>(event.nr), 0xffffffffu);
    context->SetResult(-ENOSYS);
    event = context->Run(*space);
    ASSERT_EQ(event.kind, Kind::kSyscall);
    EXPECT_EQ(static_cast<uint32_t>(event.nr), 39u);
    context->SetResult(1);
    event = context->Run(*space);
    if (event.kind == Kind::kSyscall) {
      EXPECT_EQ(event.nr, static_cast<uint64_t>(SYS_time));
      context->SetResult(4712);
      event = context->Run(*space);
      ASSERT_EQ(event.kind, Kind::kFault);
      EXPECT_EQ(event.signo, SIGTRAP);
      EXPECT_EQ(context->registers().rax, 4712u);
    } else {
      // A host without the vsyscall page.
      ASSERT_EQ(event.kind, Kind::kFault);
      EXPECT_EQ(event.signo, SIGSEGV);
      ASSERT_TRUE(context->EnsureRegisters().ok());
      for (const char* p = guest_odd_begin; p < guest_odd_end; p++) {
        if (static_cast<uint8_t>(*p) == 0xcc)
          context->mutable_registers().rip = GuestMachine::kCode + (p - guest_odd_begin) + 1;
      }
    }
    // 32-bit code runs at most to its first event.
    event = context->Run(*space);
    ASSERT_EQ(event.kind, Kind::kFault);
    EXPECT_EQ(event.signo, SIGSEGV);
  }});
}

GUEST(sysenter, R"(
    mov $20, %eax
    lea 64(%rdi), %rbp
    sysenter
    ud2
)");

TEST(HostileGuest, SysenterMakesNoHostCall) {
  GuestMachine machine;
  LOAD_GUEST(machine, sysenter);
  RunFibers({[&] {
    auto space = machine.NewSpace();
    auto context = machine.NewContext();
    context->mutable_registers().rdi = GuestMachine::kData;
    EXPECT_EQ(context->Run(*space).kind, Kind::kFault);
  }});
}

GUEST(single_step, R"(
    pushf
    orl $0x100, (%rsp)
    popf
    nop
    mov $39, %eax
    syscall
    nop
    pushf
    andl $~0x100, (%rsp)
    popf
    mov $40, %eax
    syscall
)");

TEST(HostileGuest, SingleStepsItselfThroughACall) {
  GuestMachine machine;
  LOAD_GUEST(machine, single_step);
  RunFibers({[&] {
    auto space = machine.NewSpace();
    auto context = machine.NewContext();
    int traps = 0, calls = 0;
    for (int i = 0; i < 30; i++) {
      Event event = context->Run(*space);
      if (event.kind == Kind::kFault) {
        ASSERT_EQ(event.signo, SIGTRAP);
        EXPECT_EQ(event.trap_number, 1u);
        traps++;
        continue;
      }
      ASSERT_EQ(event.kind, Kind::kSyscall);
      calls++;
      if (event.nr == 40) break;
      EXPECT_EQ(event.nr, 39u);
      context->SetResult(0);
    }
    EXPECT_EQ(calls, 2);
    EXPECT_GE(traps, 5);
  }});
}

TEST(HostileGuest, HostileRegistersAreHarmless) {
  GuestMachine machine;
  LOAD_GUEST(machine, call_then_trap);
  RunFibers({[&] {
    auto space = machine.NewSpace();
    auto context = machine.NewContext();
    Registers fresh = context->registers();
    Registers& registers = context->mutable_registers();
    registers.cs = 0x23;
    registers.ss = 0;
    registers.ds = registers.es = registers.fs = registers.gs = 0xffff;
    registers.eflags = 0xffffffffffffffff & ~0x100;
    registers.fs_base = 0xffff800000000000;
    registers.gs_base = ~0ULL;
    registers.orig_rax = 1;
    registers.rax = static_cast<uint64_t>(-512);
    Event event = context->Run(*space);
    ASSERT_EQ(event.kind, Kind::kSyscall);
    EXPECT_EQ(event.nr, 42u);
    EXPECT_FALSE(event.compat);
    ASSERT_TRUE(context->EnsureRegisters().ok());
    for (uint64_t rip : {0xffff800000000000ULL, 0x8000000000000000ULL, 0x7ffffffffffeULL, 0ULL}) {
      context->mutable_registers() = fresh;
      context->mutable_registers().rip = rip;
      event = context->Run(*space);
      ASSERT_EQ(event.kind, Kind::kFault) << rip;
      EXPECT_EQ(event.signo, SIGSEGV);
    }
    context->mutable_registers() = fresh;
    context->mutable_registers().rsp = 0xffff800000000000;
    EXPECT_EQ(context->Run(*space).kind, Kind::kSyscall);
  }});
}

TEST(HostileGuest, ShutdownEndsRunningGuests) {
  GuestMachine machine;
  LOAD_GUEST(machine, endless_spin);
  auto* started = reinterpret_cast<std::atomic<uint64_t>*>(machine.data());
  std::thread other([&] {
    while (started->load() < 1) usleep(100);
    KernelLock::Section section;
    machine.platform().Shutdown();
  });
  RunFibers({[&] {
    auto space = machine.NewSpace();
    auto context = machine.NewContext();
    context->mutable_registers().rdi = GuestMachine::kData;
    EXPECT_EQ(context->Run(*space).kind, Kind::kExited);
    EXPECT_EQ(context->Run(*space).kind, Kind::kExited);
    context->Release();
    EXPECT_FALSE(machine.platform().CreateAddressSpace().ok());
  }});
  other.join();
}

TEST(HostileGuest, ShutdownByAFiber) {
  GuestMachine machine;
  LOAD_GUEST(machine, endless_spin);
  RunFibers({[&] {
               auto space = machine.NewSpace();
               auto context = machine.NewContext();
               context->mutable_registers().rdi = GuestMachine::kData;
               EXPECT_EQ(context->Run(*space).kind, Kind::kExited);
             },
             [&] {
               auto space = machine.NewSpace();
               auto context = machine.NewContext();
               context->mutable_registers().rip = GuestMachine::kNowhere;
               EXPECT_EQ(context->Run(*space).kind, Kind::kFault);
               machine.platform().Shutdown();
               EXPECT_EQ(context->Run(*space).kind, Kind::kExited);
             }});
}

}  // namespace
}  // namespace platform
