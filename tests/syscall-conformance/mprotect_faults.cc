// mprotect(2) and the signals of faults: SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP
#include <setjmp.h>
#include <sys/syscall.h>
#include <ucontext.h>

#include <atomic>

#include "util/check.h"
#include "util/child.h"
#include "util/fd.h"
#include "util/memory.h"
#include "util/signals.h"

namespace conformance {
namespace {

thread_local sigjmp_buf jump;
thread_local siginfo_t fault;
thread_local greg_t fault_error, fault_trap;

void Jump(int, siginfo_t* info, void* context) {
  fault = *info;
  auto& gregs = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  fault_error = gregs[REG_ERR];
  fault_trap = gregs[REG_TRAPNO];
  siglongjmp(jump, 1);
}

// Runs `access` and returns the signal number that it raised, or 0.
template <typename Access>
[[gnu::noinline]] int FaultOf(Access access) {
  ScopedHandler segv(SIGSEGV, Jump), bus(SIGBUS, Jump), fpe(SIGFPE, Jump), ill(SIGILL, Jump),
      trap(SIGTRAP, Jump);
  fault = {};
  if (sigsetjmp(jump, 1) == 0) access();
  return fault.si_signo;
}

int ReadFault(const void* address) {
  return FaultOf([address] { static_cast<void>(*static_cast<const volatile char*>(address)); });
}
int WriteFault(void* address) {
  return FaultOf([address] { *static_cast<volatile char*>(address) = 1; });
}

TEST(Segv, UnmappedAddressIsMaperrWithItsAddress) {
  PrivateMemory memory(2 * kPage);
  ASSERT_OK(munmap(memory.page(1), kPage));
  char* address = memory.page(1) + 123;
  EXPECT_EQ(ReadFault(address), SIGSEGV);
  EXPECT_EQ(fault.si_code, SEGV_MAPERR);
  EXPECT_EQ(fault.si_addr, address);
  EXPECT_EQ(fault_trap, 14);
  EXPECT_EQ(fault_error & 2, 0);
  EXPECT_EQ(WriteFault(address), SIGSEGV);
  EXPECT_EQ(fault_error & 2, 2) << "the error code says that it was a write";
  EXPECT_EQ(fault_error & 4, 4) << "and that it came from user mode";
}

TEST(Segv, ReadOnlyPageIsAccerr) {
  PrivateMemory memory(kPage, PROT_READ);
  EXPECT_EQ(ReadFault(memory.data()), 0);
  EXPECT_EQ(WriteFault(memory.data() + 5), SIGSEGV);
  EXPECT_EQ(fault.si_code, SEGV_ACCERR);
  EXPECT_EQ(fault.si_addr, memory.data() + 5);
}

TEST(Segv, NoAccessPageIsAccerr) {
  PrivateMemory memory(kPage, PROT_NONE);
  EXPECT_EQ(ReadFault(memory.data()), SIGSEGV);
  EXPECT_EQ(fault.si_code, SEGV_ACCERR);
}

TEST(Segv, NullPointer) {
  void* null = nullptr;
  asm volatile("" : "+r"(null));
  EXPECT_EQ(ReadFault(null), SIGSEGV);
  EXPECT_EQ(fault.si_code, SEGV_MAPERR);
  EXPECT_EQ(fault.si_addr, nullptr);
}

TEST(Segv, NonCanonicalAddressIsAGeneralProtectionFault) {
  EXPECT_EQ(ReadFault(reinterpret_cast<void*>(0x8000000000000000)), SIGSEGV);
  EXPECT_EQ(fault.si_code, SI_KERNEL);
  EXPECT_EQ(fault.si_addr, nullptr);
  EXPECT_EQ(fault_trap, 13);
}

TEST(Segv, KernelAddressIsMaperr) {
  void* address = reinterpret_cast<void*>(0xffff888000000000);
  EXPECT_EQ(ReadFault(address), SIGSEGV);
  EXPECT_EQ(fault.si_code, SEGV_MAPERR);
  EXPECT_EQ(fault.si_addr, address);
}

TEST(Segv, ExecutingDataIsAccerr) {
  PrivateMemory memory(kPage);
  memory.data()[0] = static_cast<char>(0xc3);
  char* address = memory.data();
  EXPECT_EQ(FaultOf([address] { reinterpret_cast<void (*)()>(address)(); }), SIGSEGV);
  EXPECT_EQ(fault.si_code, SEGV_ACCERR);
  EXPECT_EQ(fault.si_addr, address);
}

TEST(Segv, JumpToUnmappedReportsTheTarget) {
  auto* target = BadPointer<void>();
  EXPECT_EQ(FaultOf([target] { reinterpret_cast<void (*)()>(target)(); }), SIGSEGV);
  EXPECT_EQ(fault.si_addr, target);
}

TEST(Segv, PrivilegedInstruction) {
  EXPECT_EQ(FaultOf([] { asm volatile("hlt"); }), SIGSEGV);
  EXPECT_EQ(FaultOf([] { asm volatile("int $0xa2"); }), SIGSEGV);
  EXPECT_EQ(fault.si_code, SI_KERNEL);
  EXPECT_EQ(FaultOf([] { asm volatile("cli"); }), SIGSEGV);
}

TEST(Segv, HandlerMayRepairAndResume) {
  // The write barrier of many a garbage collector.
  static std::atomic<int> faults;
  faults = 0;
  PrivateMemory memory(64 * kPage, PROT_READ);
  ScopedHandler handler(
      SIGSEGV, +[](int, siginfo_t* info, void*) {
        faults++;
        auto page = reinterpret_cast<uintptr_t>(info->si_addr) & ~(kPage - 1);
        mprotect(reinterpret_cast<void*>(page), kPage, PROT_READ | PROT_WRITE);
      });
  for (int i = 0; i < 64; i++) *memory.page(i) = static_cast<char>(i);
  EXPECT_EQ(faults, 64);
  for (int i = 0; i < 64; i++) EXPECT_EQ(*memory.page(i), i);
}

TEST(Segv, BlockedOrIgnoredFaultKills) {
  EXPECT_KILLED(RunChild([] {
                  ScopedBlock block({SIGSEGV});
                  ScopedHandler handler(SIGSEGV, +[](int) { _exit(1); });
                  *BadPointer<volatile int>() = 1;
                  return 2;
                }),
                SIGSEGV);
  EXPECT_KILLED(RunChild([] {
                  signal(SIGSEGV, SIG_IGN);
                  *BadPointer<volatile int>() = 1;
                  return 2;
                }),
                SIGSEGV);
}

TEST(Segv, EachThreadGetsItsOwn) {
  ScopedHandler handler(SIGSEGV, Jump);
  std::atomic<int> good = 0;
  PrivateMemory memory(4 * kPage, PROT_NONE);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; t++) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 50; i++) {
        if (sigsetjmp(jump, 1) == 0) {
          *static_cast<volatile char*>(memory.page(t) + i) = 1;
        } else if (fault.si_addr == memory.page(t) + i) {
          good++;
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(good, 200);
}

TEST(Fpe, DivisionByZero) {
  EXPECT_EQ(FaultOf([] {
              volatile int zero = 0, one = 1;
              one = one / zero;
            }),
            SIGFPE);
  EXPECT_EQ(fault.si_code, FPE_INTDIV);
  EXPECT_NE(fault.si_addr, nullptr);
}

TEST(Fpe, UnmaskedSseException) {
  EXPECT_EQ(FaultOf([] {
              unsigned csr = 0x1f80 & ~(1u << 9);  // Unmask division by zero.
              asm volatile("ldmxcsr %0" ::"m"(csr));
              volatile double zero = 0, one = 1;
              one = one / zero;
            }),
            SIGFPE);
  EXPECT_EQ(fault.si_code, FPE_FLTDIV);
  unsigned csr = 0x1f80;
  asm volatile("ldmxcsr %0" ::"m"(csr));
}

TEST(Ill, UndefinedInstruction) {
  EXPECT_EQ(FaultOf([] { asm volatile("ud2"); }), SIGILL);
  EXPECT_EQ(fault.si_code, ILL_ILLOPN);
  EXPECT_NE(fault.si_addr, nullptr);
}

TEST(Trap, Breakpoint) {
  EXPECT_EQ(FaultOf([] { asm volatile("int3"); }), SIGTRAP);
  EXPECT_EQ(fault.si_code, SI_KERNEL);
}

TEST(Trap, SingleStepFlag) {
  static volatile sig_atomic_t steps;
  steps = 0;
  ScopedHandler handler(
      SIGTRAP, +[](int, siginfo_t* info, void*) {
        if (info->si_code == TRAP_TRACE) steps = steps + 1;
      });
  asm volatile(
      "sub $128, %%rsp\n pushf\n orl $0x100, (%%rsp)\n popf\n nop\n nop\n"
      "pushf\n andl $~0x100, (%%rsp)\n popf\n add $128, %%rsp\n" ::
          : "memory", "cc");
  EXPECT_GE(steps, 4);
}

TEST(Trap, IgnoredBreakpointKills) {
  EXPECT_KILLED(RunChild([] {
                  signal(SIGTRAP, SIG_IGN);
                  asm volatile("int3");
                  return 1;
                }),
                SIGTRAP);
}

TEST(Mprotect, TakesAndGivesAccess) {
  PrivateMemory memory(3 * kPage);
  memset(memory.data(), 3, memory.size());
  ASSERT_OK(mprotect(memory.page(1), kPage, PROT_NONE));
  EXPECT_EQ(ReadFault(memory.page(0)), 0);
  EXPECT_EQ(ReadFault(memory.page(1)), SIGSEGV);
  EXPECT_EQ(WriteFault(memory.page(2)), 0);
  ASSERT_OK(mprotect(memory.page(1), kPage, PROT_READ));
  EXPECT_EQ(*memory.page(1), 3) << "the content is kept";
}

TEST(Mprotect, Errors) {
  PrivateMemory memory(2 * kPage);
  EXPECT_ERRNO(mprotect(memory.data() + 1, kPage, PROT_READ), EINVAL);
  EXPECT_ERRNO(mprotect(memory.data(), kPage, 0x10000), EINVAL);
  EXPECT_OK(mprotect(memory.data(), 0, PROT_READ));
  EXPECT_ERRNO(mprotect(memory.data(), kPage, PROT_READ | PROT_GROWSDOWN | PROT_GROWSUP), EINVAL);
  ASSERT_OK(munmap(memory.page(1), kPage));
  EXPECT_ERRNO(mprotect(memory.page(1), kPage, PROT_READ), ENOMEM);
}

TEST(Mprotect, HoleStopsItAfterTheFirstPart) {
  PrivateMemory memory(3 * kPage);
  ASSERT_OK(munmap(memory.page(1), kPage));
  EXPECT_ERRNO(mprotect(memory.data(), 3 * kPage, PROT_READ), ENOMEM);
  EXPECT_EQ(WriteFault(memory.page(0)), SIGSEGV) << "the part before the hole has changed";
  EXPECT_EQ(WriteFault(memory.page(2)), 0) << "the part after it has not";
}

TEST(Mprotect, CopyOnWritePageStaysPrivateAfterGivingWriteBack) {
  PrivateMemory memory(kPage);
  *memory.data() = 1;
  EXPECT_EXITED(RunChild([&] {
                  CHILD_CHECK(mprotect(memory.data(), kPage, PROT_READ) == 0);
                  CHILD_CHECK(mprotect(memory.data(), kPage, PROT_READ | PROT_WRITE) == 0);
                  *memory.data() = 2;
                  return 0;
                }),
                0);
  EXPECT_EQ(*memory.data(), 1);
}

TEST(Mprotect, KernelHonoursItToo) {
  PrivateMemory memory(kPage, PROT_NONE);
  int ends[2];
  ASSERT_OK(pipe(ends));
  Fd reader(ends[0]), writer(ends[1]);
  EXPECT_ERRNO(write(writer, memory.data(), 1), EFAULT);
  ASSERT_OK(mprotect(memory.data(), kPage, PROT_READ));
  EXPECT_EQ(write(writer, memory.data(), 1), 1);
  EXPECT_ERRNO(read(reader, memory.data(), 1), EFAULT);
}

}  // namespace
}  // namespace conformance
