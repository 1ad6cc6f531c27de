#include "platform/ptrace/wait_unsafe.h"

#include <signal.h>
#include <sys/wait.h>
#include <ucontext.h>

#include "base/host.h"
#include "base/log.h"

// SAFETY: between the test of the flag and the system call a wake-up would be lost; the signal
// handler therefore moves a thread that it finds in [begin, end) to the abort label. Cheaper than a
// signalfd and a second system call each time.
asm(R"(
    .text
runsc_ptrace_wait:
    mov %rdx, %r8
    xor %r10d, %r10d
runsc_ptrace_wait_begin:
    cmpl $0, (%r8)
    jne runsc_ptrace_wait_abort
    mov $61, %eax
    mov %ecx, %edx
    syscall
runsc_ptrace_wait_end:
    ret
runsc_ptrace_wait_abort:
    mov $-4, %rax
    ret
)");
extern "C" long runsc_ptrace_wait(long pid, int* status, std::atomic<int>* wake, int options);
extern "C" const char runsc_ptrace_wait_begin[], runsc_ptrace_wait_end[], runsc_ptrace_wait_abort[];

namespace platform::ptrace {

namespace {

constexpr int kOptions = __WALL | __WNOTHREAD;

void OnWake(int, siginfo_t*, void* context) {
  auto& rip = static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_RIP];
  if (rip >= reinterpret_cast<greg_t>(runsc_ptrace_wait_begin) &&
      rip < reinterpret_cast<greg_t>(runsc_ptrace_wait_end)) {
    rip = reinterpret_cast<greg_t>(runsc_ptrace_wait_abort);
  }
}

}  // namespace

Result<pid_t> WaitForAny(std::atomic<int>& wake, int* status) {
  long pid = runsc_ptrace_wait(-1, status, &wake, kOptions);
  if (pid < 0) return static_cast<Errno>(-pid);
  return static_cast<pid_t>(pid);
}

Result<pid_t> WaitForAny(int* status) { return HOST_RETRY(waitpid(-1, status, kOptions)); }

int WakeSignal() { return SIGRTMIN + 1; }

void InstallWakeHandler() {
  struct sigaction action = {};
  action.sa_sigaction = OnWake;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;  // no SA_RESTART: a wait that it meets must return
  CHECK_OK(HOST(sigaction(WakeSignal(), &action, nullptr)));
}

}  // namespace platform::ptrace
