// sigreturn(2): the frame on the stack and the vector state in it
#include <cpuid.h>
#include <fcntl.h>
#include <immintrin.h>
#include <sys/syscall.h>
#include <ucontext.h>

#include "util/check.h"
#include "util/child.h"
#include "util/clock.h"
#include "util/fd.h"
#include "util/memory.h"
#include "util/signals.h"

namespace conformance {
namespace {

bool HasAvx() { return __builtin_cpu_supports("avx"); }

_fpx_sw_bytes seen;
uintptr_t fp_address, frame_address;
uint32_t trailer;

void LookAtFrame(int, siginfo_t*, void* context) {
  auto* uc = static_cast<ucontext_t*>(context);
  auto* fp = reinterpret_cast<char*>(uc->uc_mcontext.fpregs);
  fp_address = reinterpret_cast<uintptr_t>(fp);
  frame_address = reinterpret_cast<uintptr_t>(uc) - 8;
  memcpy(&seen, fp + 464, sizeof(seen));
  if (seen.magic1 == FP_XSTATE_MAGIC1) memcpy(&trailer, fp + seen.xstate_size, sizeof(trailer));
}

TEST(SignalFrame, VectorStateIsMarkedAsLinuxDoes) {
  ScopedHandler handler(SIGUSR1, LookAtFrame);
  raise(SIGUSR1);
  unsigned eax, ebx, ecx, edx;
  ASSERT_TRUE(__get_cpuid_count(1, 0, &eax, &ebx, &ecx, &edx));
  if ((ecx & bit_OSXSAVE) == 0) GTEST_SKIP() << "no XSAVE";
  EXPECT_EQ(seen.magic1, unsigned{FP_XSTATE_MAGIC1});
  EXPECT_EQ(trailer, unsigned{FP_XSTATE_MAGIC2});
  EXPECT_EQ(seen.xstate_bv & 3, 3u);
  EXPECT_GE(seen.xstate_size, 576u);
  EXPECT_EQ(seen.extended_size, seen.xstate_size + 4);
  EXPECT_EQ(fp_address % 64, 0u);
}

TEST(SignalFrame, StackIsAlignedAsAfterACall) {
  ScopedHandler handler(SIGUSR1, LookAtFrame);
  raise(SIGUSR1);
  EXPECT_EQ(frame_address % 16, 8u) << "a return address was pushed on an aligned stack";
}

[[gnu::target("avx")]] void ClobberYmm(int) {
  asm volatile("vpcmpeqd %%xmm9, %%xmm9, %%xmm9\n vinsertf128 $1, %%xmm9, %%ymm9, %%ymm9\n" ::
                   : "xmm9");
}

[[gnu::target("avx")]] bool YmmSurvivesKill() {
  alignas(32) uint64_t in[4] = {1, 2, 3, 4}, out[4] = {};
  pid_t pid = getpid();
  asm volatile("vmovdqa %2, %%ymm9\n syscall\n vmovdqa %%ymm9, %0\n"
               : "=m"(out)
               : "a"(SYS_kill), "m"(in), "D"(pid), "S"(SIGUSR1)
               : "rcx", "r11", "xmm9", "memory");
  return memcmp(in, out, sizeof(in)) == 0;
}

TEST(SignalFrame, UpperHalvesOfVectorsSurviveTheHandler) {
  if (!HasAvx()) GTEST_SKIP() << "no AVX";
  ScopedHandler handler(SIGUSR1, ClobberYmm);
  EXPECT_TRUE(YmmSurvivesKill());
}

TEST(SignalFrame, HandlerMayChangeSavedVectorRegisters) {
  ScopedHandler handler(
      SIGUSR1, +[](int, siginfo_t*, void* context) {
        auto* fp = static_cast<ucontext_t*>(context)->uc_mcontext.fpregs;
        for (uint32_t& element : fp->_xmm[7].element) element = 0x01020304;
      });
  alignas(16) uint32_t out[4] = {};
  pid_t pid = getpid();
  asm volatile("pxor %%xmm7, %%xmm7\n syscall\n movdqa %%xmm7, %0\n"
               : "=m"(out)
               : "a"(SYS_kill), "D"(pid), "S"(SIGUSR1)
               : "rcx", "r11", "xmm7", "memory");
  for (uint32_t element : out) EXPECT_EQ(element, 0x01020304u);
}

TEST(SignalFrame, RoundingModeIsSavedAndRestored) {
  static volatile unsigned in_handler;
  ScopedHandler handler(
      SIGUSR1, +[](int) {
        unsigned csr = _mm_getcsr();
        in_handler = csr;
        _mm_setcsr(0x1f80);
      });
  unsigned toward_zero = 0x1f80 | 0x6000;
  _mm_setcsr(toward_zero);
  raise(SIGUSR1);
  unsigned after = _mm_getcsr();
  _mm_setcsr(0x1f80);
  EXPECT_EQ(after & 0x6000, 0x6000u);
  EXPECT_EQ(in_handler & 0x1f80, 0x1f80u) << "exceptions are masked in the handler";
}

TEST(SignalFrame, BadSegmentOrAddressInTheFrameKillsOnlyTheProcess) {
  for (int which = 0; which < 3; which++) {
    static int chosen;
    chosen = which;
    EXPECT_TRUE(WIFSIGNALED(RunChild([] {
      ScopedHandler handler(
          SIGUSR1, +[](int, siginfo_t*, void* context) {
            auto& gregs = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
            if (chosen == 0) gregs[REG_RIP] = static_cast<greg_t>(0x8000000000000000);
            if (chosen == 1) gregs[REG_RIP] = static_cast<greg_t>(0xffffffff80000000);
            if (chosen == 2) gregs[REG_RSP] = 16;
          });
      raise(SIGUSR1);
      return 0;
    }))) << which;
  }
}

TEST(SignalFrame, PrivilegedFlagsInTheFrameAreDropped) {
  ScopedHandler handler(
      SIGUSR1, +[](int, siginfo_t*, void* context) {
        // IOPL, NT and the interrupt flag are not the program's to set.
        static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_EFL] |= 0x7000;
        static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_EFL] &= ~0x200;
      });
  raise(SIGUSR1);
  uint64_t flags;
  asm volatile("pushf\n pop %0" : "=r"(flags));
  EXPECT_EQ(flags & 0x7000, 0u);
  EXPECT_EQ(flags & 0x200, 0x200u);
}

TEST(SignalFrame, TrapFlagIsClearInTheHandler) {
  static volatile uint64_t flags_in_handler;
  static volatile sig_atomic_t traps;
  traps = 0;
  ScopedHandler handler(
      SIGTRAP, +[](int) {
        uint64_t flags;
        asm volatile("pushf\n pop %0" : "=r"(flags));
        flags_in_handler = flags;
        traps = traps + 1;
      });
  asm volatile(
      "sub $128, %%rsp\n pushf\n orl $0x100, (%%rsp)\n popf\n nop\n"
      "pushf\n andl $~0x100, (%%rsp)\n popf\n add $128, %%rsp\n" ::
          : "memory", "cc");
  EXPECT_GT(traps, 0);
  EXPECT_EQ(flags_in_handler & 0x100, 0u);
}

TEST(SignalFrame, UnwritableStackKills) {
  EXPECT_KILLED(RunChild([] {
                  ScopedHandler handler(SIGUSR1, +[](int) { _exit(1); });
                  asm volatile("xor %%esp, %%esp\n syscall" ::"a"(SYS_kill), "D"(getpid()),
                               "S"(SIGUSR1)
                               : "rcx", "r11", "memory");
                  return 0;
                }),
                SIGSEGV);
}

TEST(SignalFrame, NestedHandlersUnwindInOrder) {
  static std::string* order;
  std::string text;
  order = &text;
  ScopedHandler first(
      SIGUSR1, +[](int) {
        *order += "a";
        raise(SIGUSR2);
        *order += "c";
      });
  ScopedHandler second(SIGUSR2, +[](int) { *order += "b"; });
  text.reserve(16);
  raise(SIGUSR1);
  EXPECT_EQ(text, "abc");
}

TEST(SignalFrame, InterruptedSystemCallIsRestartedInPlace) {
  // The instruction pointer in the frame of a restarted call points at the syscall instruction,
  // and the number is back in rax: a handler that looks sees a call about to be made.
  static volatile greg_t rax, rip;
  ScopedHandler handler(
      SIGUSR1,
      +[](int, siginfo_t*, void* context) {
        rax = static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_RAX];
        rip = static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_RIP];
      },
      SA_RESTART);
  int ends[2];
  ASSERT_OK(pipe(ends));
  Fd reader(ends[0]), writer(ends[1]);
  pthread_t self = pthread_self();
  std::thread other([&, self] {
    SleepMs(50);
    pthread_kill(self, SIGUSR1);
    SleepMs(50);
    EXPECT_EQ(write(writer, "x", 1), 1);
  });
  char c;
  EXPECT_EQ(read(reader, &c, 1), 1);
  other.join();
  EXPECT_EQ(rax, SYS_read);
  EXPECT_EQ(memcmp(reinterpret_cast<void*>(rip), "\x0f\x05", 2), 0);
  // And it stays one, however often it is made.
  Fd zero(open("/dev/zero", O_RDONLY));
  for (int i = 0; i < 500; i++) ASSERT_EQ(read(zero, &c, 1), 1);
  EXPECT_EQ(memcmp(reinterpret_cast<void*>(rip), "\x0f\x05", 2), 0);
}

}  // namespace
}  // namespace conformance
