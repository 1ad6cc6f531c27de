// What every platform must do, seen from inside a guest. Linked with a CreatePlatformUnderTest of
// each platform.

#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>

#include <chrono>

#include "platform/ptrace/guest_driver.h"

namespace platform {
namespace {

using Kind = Event::Kind;

GUEST(calls, R"(
1:  mov $0x1234, %eax
    mov $1, %edi
    mov $2, %esi
    mov $3, %edx
    mov $4, %r10d
    mov $5, %r8d
    mov $6, %r9d
    syscall
    mov %rax, %rdi
    mov $0x4321, %eax
    syscall
    jmp 1b
)");

TEST(Guest, SystemCallsCarrySixArgumentsAndAResult) {
  GuestMachine machine;
  LOAD_GUEST(machine, calls);
  RunFibers({[&] {
    auto space = machine.NewSpace();
    auto context = machine.NewContext();
    for (int64_t i = 0; i < 100; i++) {
      Event event = context->Run(*space);
      ASSERT_EQ(event.kind, Kind::kSyscall);
      EXPECT_EQ(event.nr, 0x1234u);
      EXPECT_FALSE(event.compat);
      for (uint64_t a = 0; a < 6; a++) EXPECT_EQ(event.args[a], a + 1);
      int64_t result = i % 2 == 0 ? i * 0x100000001 : -i;
      context->SetResult(result);
      event = context->Run(*space);
      ASSERT_EQ(event.kind, Kind::kSyscall);
      EXPECT_EQ(event.nr, 0x4321u);
      EXPECT_EQ(event.args[0], static_cast<uint64_t>(result));
    }
  }});
}

GUEST(registers, R"(
    mov $42, %eax
    syscall
    int3
)");

TEST(Guest, AllRegistersMakeTheRoundTrip) {
  GuestMachine machine;
  LOAD_GUEST(machine, registers);
  RunFibers({[&] {
    auto space = machine.NewSpace();
    auto context = machine.NewContext();
    Registers& in = context->mutable_registers();
    in.rbx = 0x1111111111111111;
    in.rcx = 0x2222222222222222;
    in.rdx = 0x3333333333333333;
    in.rsi = 0x4444444444444444;
    in.rdi = 0x5555555555555555;
    in.rbp = 0x6666666666666666;
    in.r8 = 0x8888888888888888;
    in.r9 = 0x9999999999999999;
    in.r10 = 0xaaaaaaaaaaaaaaaa;
    in.r11 = 0xbbbbbbbbbbbbbbbb;
    in.r12 = 0xcccccccccccccccc;
    in.r13 = 0xdddddddddddddddd;
    in.r14 = 0xeeeeeeeeeeeeeeee;
    in.r15 = 0xffffffffffffffff;
    in.fs_base = 0x123456789000;
    in.gs_base = 0x12345678a000;
    Registers expected = in;
    ASSERT_EQ(context->Run(*space).kind, Kind::kSyscall);
    ASSERT_TRUE(context->EnsureRegisters().ok());
    const Registers& out = context->registers();
    EXPECT_EQ(out.orig_rax, 42u);
    EXPECT_EQ(out.rip, GuestMachine::kCode + 7);
    EXPECT_EQ(static_cast<int64_t>(out.rax), -ENOSYS);
    EXPECT_EQ(out.rcx, out.rip);
    EXPECT_EQ(out.rbx, expected.rbx);
    EXPECT_EQ(out.rdx, expected.rdx);
    EXPECT_EQ(out.rsi, expected.rsi);
    EXPECT_EQ(out.rdi, expected.rdi);
    EXPECT_EQ(out.rbp, expected.rbp);
    EXPECT_EQ(out.rsp, expected.rsp);
    EXPECT_EQ(out.r8, expected.r8);
    EXPECT_EQ(out.r9, expected.r9);
    EXPECT_EQ(out.r10, expected.r10);
    EXPECT_EQ(out.r12, expected.r12);
    EXPECT_EQ(out.r13, expected.r13);
    EXPECT_EQ(out.r14, expected.r14);
    EXPECT_EQ(out.r15, expected.r15);
    EXPECT_EQ(out.fs_base, expected.fs_base);
    EXPECT_EQ(out.gs_base, expected.gs_base);
    // All of them are loaded, rcx and r11 included, as after sigreturn.
    context->mutable_registers() = expected;
    context->mutable_registers().rip = GuestMachine::kCode + 7;
    context->mutable_registers().rax = 77;
    Event event = context->Run(*space);
    ASSERT_EQ(event.kind, Kind::kFault);
    EXPECT_EQ(event.signo, SIGTRAP);
    EXPECT_EQ(event.trap_number, 3u);
    EXPECT_EQ(context->registers().rip, GuestMachine::kCode + 8);
    EXPECT_EQ(context->registers().rax, 77u);
    EXPECT_EQ(context->registers().rcx, expected.rcx);
    EXPECT_EQ(context->registers().r11, expected.r11);
  }});
}

TEST(Guest, FullStateCallsComeWithRegisters) {
  SyscallSet full;
  full.set(42);
  GuestMachine machine(full);
  LOAD_GUEST(machine, registers);
  RunFibers({[&] {
    auto space = machine.NewSpace();
    auto context = machine.NewContext();
    ASSERT_EQ(context->Run(*space).kind, Kind::kSyscall);
    ASSERT_TRUE(context->has_registers());
    EXPECT_EQ(context->registers().orig_rax, 42u);
    context->SetResult(-5);
    Event event = context->Run(*space);
    EXPECT_EQ(event.signo, SIGTRAP);
    EXPECT_EQ(static_cast<int64_t>(context->registers().rax), -5);
  }});
}

GUEST(faults, R"(
    mov (%rdi), %rax       # 0: 3 bytes
    mov %rax, (%rdi)       # 3: 3 bytes
    jmp *%rdi              # 6: 2 bytes
    xor %ecx, %ecx         # 8: 2 bytes
    div %ecx               # 10: 2 bytes
    ud2                    # 12: 2 bytes
    hlt                    # 14: 1 byte
    lock addl $1, (%rdi)   # 15: 4 bytes
    push (%rdi)            # 19: 2 bytes
)");

TEST(Guest, FaultsAreReportedWithAddressAndKind) {
  GuestMachine machine;
  LOAD_GUEST(machine, faults);
  RunFibers({[&] {
    auto space = machine.NewSpace();
    auto context = machine.NewContext();
    auto run_at = [&](uint64_t offset, uint64_t address) {
      Registers& registers = context->mutable_registers();
      registers.rip = GuestMachine::kCode + offset;
      registers.rdi = address;
      Event event = context->Run(*space);
      EXPECT_EQ(event.kind, Kind::kFault);
      return event;
    };
    Event event = run_at(0, GuestMachine::kNowhere);
    EXPECT_EQ(event.signo, SIGSEGV);
    EXPECT_EQ(event.si_code, SEGV_MAPERR);
    EXPECT_EQ(event.address, GuestMachine::kNowhere);
    EXPECT_TRUE(event.page_fault());
    EXPECT_FALSE(event.write());
    EXPECT_FALSE(event.execute());
    EXPECT_EQ(context->registers().rip, GuestMachine::kCode);

    event = run_at(3, GuestMachine::kNowhere + 8);
    EXPECT_EQ(event.address, GuestMachine::kNowhere + 8);
    EXPECT_TRUE(event.write());
    event = run_at(3, GuestMachine::kCode + 16);
    EXPECT_EQ(event.si_code, SEGV_ACCERR);
    EXPECT_TRUE(event.write());
    event = run_at(15, GuestMachine::kCode + 16);
    EXPECT_TRUE(event.write());
    event = run_at(19, GuestMachine::kNowhere);
    EXPECT_FALSE(event.write());

    event = run_at(6, GuestMachine::kData);
    EXPECT_EQ(event.signo, SIGSEGV);
    EXPECT_TRUE(event.execute());
    EXPECT_FALSE(event.write());
    EXPECT_EQ(event.address, GuestMachine::kData);
    event = run_at(6, GuestMachine::kNowhere);
    EXPECT_TRUE(event.execute());
    EXPECT_EQ(context->registers().rip, GuestMachine::kNowhere);

    event = run_at(8, 0);
    EXPECT_EQ(event.signo, SIGFPE);
    EXPECT_EQ(event.si_code, FPE_INTDIV);
    EXPECT_EQ(event.trap_number, 0u);
    event = run_at(12, 0);
    EXPECT_EQ(event.signo, SIGILL);
    event = run_at(14, 0);
    EXPECT_EQ(event.signo, SIGSEGV);
    EXPECT_EQ(event.trap_number, 13u);
    event = run_at(0, 0x8000000000000000);
    EXPECT_EQ(event.signo, SIGSEGV);
    EXPECT_EQ(event.trap_number, 13u);

    // After all that the thread still works.
    event = run_at(0, GuestMachine::kData);
    EXPECT_EQ(event.address, GuestMachine::kData);
    EXPECT_TRUE(event.write() || event.execute() || event.page_fault());
  }});
}

GUEST(memory, R"(
1:  mov (%rdi), %rax
    mov %rsi, (%rdi)
    mov %rax, %rdi
    mov $1, %eax
    syscall
    jmp 1b
)");

TEST(Guest, MappingsChange) {
  GuestMachine machine;
  LOAD_GUEST(machine, memory);
  int other = memfd_create("other", MFD_CLOEXEC);
  ASSERT_EQ(ftruncate(other, 8192), 0);
  uint64_t value = 0x0123456789abcdef;
  ASSERT_EQ(pwrite(other, &value, 8, 4096), 8);
  RunFibers({[&] {
    auto space = machine.NewSpace();
    auto context = machine.NewContext();
    constexpr uint64_t kPlace = 0x10000000;
    auto touch = [&](uint64_t address) {
      Registers& registers = context->mutable_registers();
      registers.rip = GuestMachine::kCode;
      registers.rdi = address;
      registers.rsi = 99;
      Event event = context->Run(*space);
      return event;
    };
    EXPECT_EQ(touch(kPlace).kind, Kind::kFault);
    // A foreign descriptor, closed right after the call.
    int borrowed = dup(other);
    ASSERT_TRUE(space->Map(kPlace, 4096, borrowed, 4096, PROT_READ, false).ok());
    close(borrowed);
    Event event = touch(kPlace);
    EXPECT_EQ(event.kind, Kind::kFault);
    EXPECT_TRUE(event.write());
    EXPECT_EQ(event.si_code, SEGV_ACCERR);
    EXPECT_EQ(context->registers().rax, value);
    ASSERT_TRUE(space->Protect(kPlace, 4096, PROT_READ | PROT_WRITE).ok());
    event = touch(kPlace);
    ASSERT_EQ(event.kind, Kind::kSyscall);
    EXPECT_EQ(event.args[0], value);
    uint64_t now = 0;
    EXPECT_EQ(pread(other, &now, 8, 4096), 8);
    EXPECT_EQ(now, 99u);
    ASSERT_TRUE(context->EnsureRegisters().ok());
    // Replaced by memory of the memory file, with precommit.
    machine.at<uint64_t>(0) = 5;
    ASSERT_TRUE(space
                    ->Map(kPlace, 4096, machine.memory_fd(), GuestMachine::kCodeSize,
                          PROT_READ | PROT_WRITE, true)
                    .ok());
    event = touch(kPlace);
    ASSERT_EQ(event.kind, Kind::kSyscall);
    EXPECT_EQ(event.args[0], 5u);
    EXPECT_EQ(machine.at<uint64_t>(0), 99u);
    ASSERT_TRUE(context->EnsureRegisters().ok());
    ASSERT_TRUE(space->Unmap(kPlace, 4096).ok());
    EXPECT_TRUE(space->Flush().ok());
    event = touch(kPlace);
    EXPECT_EQ(event.kind, Kind::kFault);
    EXPECT_EQ(event.si_code, SEGV_MAPERR);
    // Beyond the end of a file: SIGBUS.
    ASSERT_TRUE(space->Map(kPlace, 8192, other, 8192, PROT_READ, false).ok());
    event = touch(kPlace);
    EXPECT_EQ(event.kind, Kind::kFault);
    EXPECT_EQ(event.signo, SIGBUS);
    // Many at once.
    for (uint64_t i = 0; i < 300; i++) {
      uint64_t offset = GuestMachine::kCodeSize + (i % 2) * 4096;
      ASSERT_TRUE(space
                      ->Map(kPlace + i * 4096, 4096, i % 3 == 0 ? other : machine.memory_fd(),
                            i % 3 == 0 ? 0 : offset, PROT_READ | PROT_WRITE, false)
                      .ok());
    }
    machine.at<uint64_t>(4096) = 6;
    event = touch(kPlace + 299 * 4096);
    ASSERT_EQ(event.kind, Kind::kSyscall);
    ASSERT_TRUE(context->EnsureRegisters().ok());
    event = touch(kPlace + 298 * 4096);
    ASSERT_EQ(event.kind, Kind::kSyscall);
    ASSERT_TRUE(context->EnsureRegisters().ok());
    // Where a mapping cannot be replaced, the old one does not stay.
    int pipe_fds[2];
    ASSERT_EQ(pipe(pipe_fds), 0);
    ASSERT_TRUE(space->Map(kPlace, 4096, pipe_fds[0], 0, PROT_READ, false).ok());
    EXPECT_FALSE(space->Flush().ok());
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    event = touch(kPlace);
    EXPECT_EQ(event.kind, Kind::kFault);
    EXPECT_EQ(event.si_code, SEGV_MAPERR);
    // The stub's own region is out of reach.
    uint64_t top = machine.platform().max_user_address();
    EXPECT_FALSE(space->Map(top, 4096, machine.memory_fd(), 0, PROT_READ, false).ok());
    EXPECT_FALSE(space->Unmap(top - 4096, 8192).ok());
    EXPECT_EQ(touch(top + 4096).kind, Kind::kFault);
  }});
  close(other);
}

GUEST(fpu, R"(
    movq %xmm3, %rdi
    stmxcsr (%rsi)
    mov $1, %eax
    mov $0x77, %edx
    movq %rdx, %xmm5
    syscall
    movq %xmm5, %rdi
    movq %xmm3, %rsi
    mov $2, %eax
    syscall
)");

TEST(Guest, FpuStateIsSeparatePreservedAndCopied) {
  GuestMachine machine;
  LOAD_GUEST(machine, fpu);
  RunFibers({[&] {
    auto space = machine.NewSpace();
    auto context = machine.NewContext();
    context->mutable_registers().rsi = GuestMachine::kData;
    Event event = context->Run(*space);
    ASSERT_EQ(event.kind, Kind::kSyscall);
    EXPECT_EQ(event.args[0], 0u);  // nothing of the Sentry's
    EXPECT_EQ(machine.at<uint32_t>(0), 0x1f80u);

    ASSERT_TRUE(context->EnsureRegisters().ok());
    auto state = context->fpu_state();
    ASSERT_GE(state.size(), 576u);
    ASSERT_LE(state.size(), machine.platform().xsave_size());
    uint64_t xmm5;
    memcpy(&xmm5, state.data() + 160 + 5 * 16, 8);
    EXPECT_EQ(xmm5, 0x77u);
    uint32_t magic;
    memcpy(&magic, state.data() + 464, 4);
    EXPECT_EQ(magic, 0x46505853u);

    auto child = machine.NewContext();
    child->CopyStateFrom(*context);
    child->SetResult(0);
    event = child->Run(*space);
    ASSERT_EQ(event.kind, Kind::kSyscall);
    EXPECT_EQ(event.nr, 2u);
    EXPECT_EQ(event.args[0], 0x77u);

    std::vector<uint8_t> changed(state.begin(), state.end());
    uint64_t xmm3 = 0x3333;
    memcpy(changed.data() + 160 + 3 * 16, &xmm3, 8);
    uint64_t features;
    memcpy(&features, changed.data() + 512, 8);
    features |= 3;
    memcpy(changed.data() + 512, &features, 8);
    ASSERT_TRUE(context->SetFpuState(changed).ok());
    event = context->Run(*space);
    ASSERT_EQ(event.kind, Kind::kSyscall);
    EXPECT_EQ(event.args[0], 0x77u);
    EXPECT_EQ(event.args[1], 0x3333u);

    // Malformed ones are refused.
    ASSERT_TRUE(context->EnsureRegisters().ok());
    std::vector<uint8_t> bad = changed;
    memset(bad.data() + 24, 0xff, 4);  // reserved bits of mxcsr
    EXPECT_EQ(context->SetFpuState(bad).error(), Errno::kEINVAL);
    bad = changed;
    bad[519] = 0x40;  // unknown feature
    EXPECT_EQ(context->SetFpuState(bad).error(), Errno::kEINVAL);
    bad = changed;
    bad[520] = 1;  // xcomp_bv
    EXPECT_EQ(context->SetFpuState(bad).error(), Errno::kEINVAL);
    EXPECT_EQ(context->SetFpuState({changed.data(), 100}).error(), Errno::kEINVAL);

    context->ResetFpuState();
    context->mutable_registers().rip = GuestMachine::kCode;
    context->mutable_registers().rsi = GuestMachine::kData;
    event = context->Run(*space);
    ASSERT_EQ(event.kind, Kind::kSyscall);
    EXPECT_EQ(event.args[0], 0u);
  }});
}

GUEST(segments, R"(
    mov %fs:8, %rdi
    mov %gs:16, %rsi
    mov $1, %eax
    syscall
    mov %fs:0, %rdi
    mov $2, %eax
    syscall
)");

TEST(Guest, FsAndGsBase) {
  GuestMachine machine;
  LOAD_GUEST(machine, segments);
  machine.at<uint64_t>(8) = 0xf5;
  machine.at<uint64_t>(4096 + 16) = 0x65;
  machine.at<uint64_t>(4096) = 0xf6;
  RunFibers({[&] {
    auto space = machine.NewSpace();
    auto context = machine.NewContext();
    context->mutable_registers().fs_base = GuestMachine::kData;
    context->mutable_registers().gs_base = GuestMachine::kData + 4096;
    Event event = context->Run(*space);
    ASSERT_EQ(event.kind, Kind::kSyscall);
    EXPECT_EQ(event.args[0], 0xf5u);
    EXPECT_EQ(event.args[1], 0x65u);
    // As arch_prctl does it.
    ASSERT_TRUE(context->EnsureRegisters().ok());
    context->mutable_registers().fs_base = GuestMachine::kData + 4096;
    context->SetResult(0);
    event = context->Run(*space);
    ASSERT_EQ(event.kind, Kind::kSyscall);
    EXPECT_EQ(event.args[0], 0xf6u);
  }});
}

GUEST(counter, R"(
    mov $1000, %ebx
1:  lock incq (%rdi)
    mov $1, %eax
    syscall
    dec %ebx
    jnz 1b
    mov $60, %eax
    syscall
)");

TEST(Guest, ThreadsOfOneSpaceAndTwoSpacesRunAtOnce) {
  GuestMachine machine;
  LOAD_GUEST(machine, counter);
  constexpr int kThreads = 4;
  RefPtr<AddressSpace> spaces[2];
  RunFibers({[&] {
    spaces[0] = machine.NewSpace();
    spaces[1] = machine.NewSpace();
  }});
  std::vector<std::function<void()>> fibers;
  for (int i = 0; i < kThreads * 2; i++) {
    fibers.push_back([&, i] {
      auto context = machine.NewContext();
      context->mutable_registers().rdi = GuestMachine::kData;
      context->mutable_registers().r15 = i;
      for (;;) {
        Event event = context->Run(*spaces[i % 2]);
        ASSERT_EQ(event.kind, Kind::kSyscall);
        if (event.nr == 60) break;
        context->SetResult(0);
      }
      context->Release();
    });
  }
  RunFibers(std::move(fibers));
  EXPECT_EQ(machine.at<uint64_t>(0), 1000u * kThreads * 2);
  RunFibers({[&] { spaces[0] = spaces[1] = nullptr; }});
}

GUEST(spin, R"(
    incq (%rdi)
1:  inc %rbx
    jmp 1b
)");

TEST(Guest, InterruptEndsASpin) {
  GuestMachine machine;
  LOAD_GUEST(machine, spin);
  auto* started = reinterpret_cast<std::atomic<uint64_t>*>(machine.data());
  std::unique_ptr<Context> context;
  std::thread other([&] {
    for (uint64_t i = 1; i <= 20; i++) {
      while (started->load() < i) usleep(100);
      KernelLock::Section section;
      context->Interrupt();
    }
  });
  RunFibers({[&] {
    auto space = machine.NewSpace();
    context = machine.NewContext();
    for (int i = 0; i < 20; i++) {
      context->mutable_registers().rip = GuestMachine::kCode;
      context->mutable_registers().rdi = GuestMachine::kData;
      Event event = context->Run(*space);
      ASSERT_EQ(event.kind, Kind::kInterrupted);
      EXPECT_GE(context->registers().rip, GuestMachine::kCode);
      EXPECT_LT(context->registers().rip, GuestMachine::kCode + 16);
    }
    context->Release();
  }});
  other.join();
}

TEST(Guest, InterruptBeforeRunAndDuringCalls) {
  GuestMachine machine;
  LOAD_GUEST(machine, calls);
  std::atomic<bool> stop{false};
  std::unique_ptr<Context> context;
  RunFibers({[&] {
    auto space = machine.NewSpace();
    context = machine.NewContext();
    context->Interrupt();
    Event event = context->Run(*space);
    ASSERT_EQ(event.kind, Kind::kInterrupted);
    EXPECT_EQ(context->registers().rip, GuestMachine::kCode);
    event = context->Run(*space);
    ASSERT_EQ(event.kind, Kind::kSyscall);
    // The result that was set is not lost to the interrupt.
    context->SetResult(4711);
    context->Interrupt();
    event = context->Run(*space);
    ASSERT_EQ(event.kind, Kind::kInterrupted);
    EXPECT_EQ(context->registers().rax, 4711u);
    event = context->Run(*space);
    ASSERT_EQ(event.kind, Kind::kSyscall);
    EXPECT_EQ(event.args[0], 4711u);
  }});
  // Interrupts at any moment neither lose nor repeat a call.
  std::thread other([&] {
    while (!stop) {
      usleep(30);
      KernelLock::Section section;
      context->Interrupt();
    }
  });
  RunFibers({[&] {
    auto space = machine.NewSpace();
    context->Release();
    context->mutable_registers().rip = GuestMachine::kCode;
    uint64_t expected = 0x1234;
    for (int i = 0; i < 5000;) {
      Event event = context->Run(*space);
      if (event.kind == Kind::kInterrupted) continue;
      ASSERT_EQ(event.kind, Kind::kSyscall);
      ASSERT_EQ(event.nr, expected);
      if (expected == 0x4321) {
        ASSERT_EQ(event.args[0], static_cast<uint64_t>(i - 1));
      }
      expected = expected == 0x1234 ? 0x4321 : 0x1234;
      context->SetResult(i++);
    }
    stop = true;
    context->Release();
  }});
  other.join();
}

TEST(Guest, InterruptEndsABlockedCall) {
  GuestMachine machine;
  LOAD_GUEST(machine, calls);
  std::atomic<Fiber*> blocked{nullptr};
  std::thread other([&] {
    while (blocked == nullptr) usleep(100);
    KernelLock::Section section;
    blocked.load()->Interrupt();
  });
  RunFibers({[&] {
    auto space = machine.NewSpace();
    auto context = machine.NewContext();
    ASSERT_EQ(context->Run(*space).kind, Kind::kSyscall);
    WaitQueue never;
    blocked = Fiber::Current();
    auto got = base::BlockUntil<int>(never, EPOLLIN, base::kNoDeadline,
                                     []() -> Result<int> { return Errno::kEAGAIN; });
    EXPECT_EQ(got.error(), Errno::kERESTARTSYS);
    Fiber::Current()->ClearInterrupt();
    context->SetResult(-EINTR);
    Event event = context->Run(*space);
    ASSERT_EQ(event.kind, Kind::kSyscall);
    EXPECT_EQ(static_cast<int64_t>(event.args[0]), -EINTR);
  }});
  other.join();
}

TEST(Guest, ManySpacesComeAndGo) {
  GuestMachine machine;
  LOAD_GUEST(machine, calls);
  RunFibers({[&] {
    for (int i = 0; i < 100; i++) {
      auto space = machine.NewSpace();
      auto context = machine.NewContext();
      auto second = machine.NewContext();
      ASSERT_EQ(context->Run(*space).kind, Kind::kSyscall);
      ASSERT_EQ(second->Run(*space).kind, Kind::kSyscall);
      // As execve does.
      ASSERT_TRUE(context->EnsureRegisters().ok());
      context->Release();
      space = machine.NewSpace();
      ASSERT_EQ(context->Run(*space).kind, Kind::kSyscall);
    }
  }});
}

TEST(Guest, AFreshSpaceIsEmpty) {
  GuestMachine machine;
  LOAD_GUEST(machine, memory);
  RunFibers({[&] {
    for (int i = 0; i < 3; i++) {
      auto space = machine.NewSpace();
      auto context = machine.NewContext();
      constexpr uint64_t kPlace = 0x10000000;
      context->mutable_registers().rdi = kPlace;
      Event event = context->Run(*space);
      ASSERT_EQ(event.kind, Kind::kFault);
      EXPECT_EQ(event.address, kPlace);
      ASSERT_TRUE(space->Map(kPlace, 4096, machine.memory_fd(), 0, PROT_READ, false).ok());
      event = context->Run(*space);
      ASSERT_EQ(event.kind, Kind::kFault);
      EXPECT_TRUE(event.write());
    }
  }});
}

GUEST(loop, R"(
1:  mov $1000, %eax
    syscall
    jmp 1b
)");

TEST(Guest, RoundTripCost) {
  GuestMachine machine;
  LOAD_GUEST(machine, loop);
  RunFibers({[&] {
    auto space = machine.NewSpace();
    auto context = machine.NewContext();
    constexpr int kCalls = 20000;
    auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < kCalls; i++) {
      ASSERT_EQ(context->Run(*space).kind, Kind::kSyscall);
      context->SetResult(0);
    }
    auto ns = std::chrono::duration_cast<std::chrono::nanoseconds>(
                  std::chrono::steady_clock::now() - start)
                  .count();
    printf("%s: %ld ns per system call\n", machine.platform().name(),
           static_cast<long>(ns / kCalls));
    start = std::chrono::steady_clock::now();
    constexpr int kSpaces = 50;
    for (int i = 0; i < kSpaces; i++) machine.NewSpace();
    ns = std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now() -
                                                              start)
             .count();
    printf("%s: %ld ns per address space\n", machine.platform().name(),
           static_cast<long>(ns / kSpaces));
  }});
}

}  // namespace
}  // namespace platform
