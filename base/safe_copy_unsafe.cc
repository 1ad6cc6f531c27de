// SAFETY: the copy loops are single `rep movsb/stosb` instructions with known addresses. The handler recognises a fault at
// one of them and resumes behind it; rcx then still holds what was not copied. Any other fault is a bug and stays fatal.

#include <signal.h>
#include <string.h>
#include <ucontext.h>

#include "base/io_vec.h"
#include "base/log.h"

extern "C" {
extern const char base_safe_copy_insn[], base_safe_copy_resume[];
extern const char base_safe_zero_insn[], base_safe_zero_resume[];
size_t base_safe_copy(void* to, const void* from, size_t size);  // returns the bytes left
size_t base_safe_zero(void* to, size_t size);
}

asm(R"(
.text
.globl base_safe_copy, base_safe_copy_insn, base_safe_copy_resume
.type base_safe_copy, @function
base_safe_copy:
  mov %rdx, %rcx
base_safe_copy_insn:
  rep movsb
base_safe_copy_resume:
  mov %rcx, %rax
  ret
.size base_safe_copy, .-base_safe_copy
.globl base_safe_zero, base_safe_zero_insn, base_safe_zero_resume
.type base_safe_zero, @function
base_safe_zero:
  mov %rsi, %rcx
  xor %eax, %eax
base_safe_zero_insn:
  rep stosb
base_safe_zero_resume:
  mov %rcx, %rax
  ret
.size base_safe_zero, .-base_safe_zero
)");

namespace base {

size_t SafeCopy(void* to, const void* from, size_t size) { return size - base_safe_copy(to, from, size); }
size_t SafeZero(void* to, size_t size) { return size - base_safe_zero(to, size); }

namespace {
void OnFault(int signal, siginfo_t* info, void* context) {
  auto& registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  const char* rip = reinterpret_cast<const char*>(registers[REG_RIP]);
  if (rip == base_safe_copy_insn) {
    registers[REG_RIP] = reinterpret_cast<greg_t>(base_safe_copy_resume);
  } else if (rip == base_safe_zero_insn) {
    registers[REG_RIP] = reinterpret_cast<greg_t>(base_safe_zero_resume);
  } else {
    ::signal(signal, SIG_DFL);
    // Not safe in a signal handler in general; the process is about to die and this line is all that it leaves.
    char what[96];
    snprintf(what, sizeof what, "signal %d at %p, address %p", signal, rip, info->si_addr);
    Fatal("fault", 0, what);
  }
}
}  // namespace

void InstallSafeCopyHandler() {
  struct sigaction action = {};
  action.sa_sigaction = OnFault;
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  for (int signal : {SIGSEGV, SIGBUS}) sigaction(signal, &action, nullptr);
}

}  // namespace base
