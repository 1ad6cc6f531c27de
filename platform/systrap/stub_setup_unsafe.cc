// The zygote's loop and the set-up of a stub process: freestanding code in the stub's code pages,
// running on a private stack before any application code exists. It must stay position independent:
// no constants in memory, no library.

#include <linux/sched.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "platform/systrap/stub_layout.h"

#define STUB_TEXT __attribute__((section("stub_text")))
#define STUB_INLINE __attribute__((always_inline)) static inline

namespace {

using platform::systrap::StubConfig;
using platform::systrap::ZygoteReply;
using platform::systrap::ZygoteRequest;

STUB_INLINE long Call(long nr, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0,
                      long f = 0) {
  register long r10 asm("r10") = d;
  register long r8 asm("r8") = e;
  register long r9 asm("r9") = f;
  long result;
  asm volatile("syscall"
               : "=a"(result)
               : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
               : "rcx", "r11", "memory");
  return result;
}

STUB_INLINE bool MapControl(uint64_t address, uint64_t size, int prot, uint64_t offset) {
  return Call(SYS_mmap, address, size, prot, MAP_SHARED | MAP_FIXED, STUB_CONTROL_FD, offset) ==
         static_cast<long>(address);
}

STUB_INLINE void SendReply(uint32_t slot, int error, int helper_listener, int app_listener) {
  ZygoteReply reply;
  reply.slot = slot;
  reply.error = error;
  iovec io;
  io.iov_base = &reply;
  io.iov_len = sizeof reply;
  struct {
    size_t len;
    int level;
    int type;
    int fds[2];
  } control;
  control.len = sizeof(size_t) + 4 * sizeof(int);
  control.level = SOL_SOCKET;
  control.type = SCM_RIGHTS;
  control.fds[0] = helper_listener;
  control.fds[1] = app_listener;
  msghdr message;
  message.msg_name = nullptr;
  message.msg_namelen = 0;
  message.msg_iov = &io;
  message.msg_iovlen = 1;
  message.msg_control = error == 0 ? &control : nullptr;
  message.msg_controllen = error == 0 ? sizeof control : 0;
  message.msg_flags = 0;
  Call(SYS_sendmsg, STUB_SOCKET_FD, reinterpret_cast<long>(&message), MSG_NOSIGNAL);
}

// In the new stub process, which becomes its helper thread.
[[noreturn]] STUB_INLINE void SetUpStub(uint32_t slot, long parent) {
  using platform::systrap::kSlotSize;
  auto* config = reinterpret_cast<StubConfig*>(STUB_CONFIG);
  auto* listener = reinterpret_cast<volatile int*>(STUB_STACK);
  Call(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL);
  if (Call(SYS_getppid) != parent) Call(SYS_exit_group, 1);
  const uint64_t offset = slot * kSlotSize;
  int error = 0;
  int helper_listener = -1;
  // Refused by a host with a larger vm.mmap_min_addr, where nothing points to it either.
  MapControl(STUB_TABLE, STUB_TABLE_SIZE, PROT_READ, offset + STUB_SLOT_TABLE);
  if (!MapControl(STUB_COMMANDS, STUB_COMMANDS_SIZE, PROT_READ, offset) ||
      !MapControl(STUB_TRAMPOLINES, STUB_MAX_SITES * STUB_TRAMPOLINE_SIZE, PROT_READ | PROT_EXEC,
                  offset + STUB_SLOT_TRAMPOLINES) ||
      !MapControl(STUB_CPUID, STUB_CPUID_SIZE, PROT_READ, platform::systrap::kCpuidOffset) ||
      !MapControl(STUB_AREAS, STUB_AREAS_SIZE, PROT_READ | PROT_WRITE, offset + STUB_SLOT_AREAS)) {
    error = 12;  // ENOMEM
  }
  if (error == 0) {
    *listener = -1000;
    long tid;
    asm volatile(
        "syscall\n\t"
        "test %%rax, %%rax\n\t"
        "jz StubSpawnerStart\n\t"
        : "=a"(tid)
        : "a"(SYS_clone), "D"(STUB_CLONE_THREAD), "S"(0), "d"(0)
        : "rcx", "r11", "r10", "r8", "memory");
    if (tid < 0) {
      error = -tid;
    } else {
      // After its filter is in force the spawner can no longer wake anybody.
      while (*listener == -1000) Call(SYS_sched_yield);
      if (*listener < 0) error = -*listener;
    }
  }
  if (error == 0) {
    helper_listener = Call(SYS_seccomp, SECCOMP_SET_MODE_FILTER, config->listener_flags,
                           reinterpret_cast<long>(&config->helper_doorbell));
    if (helper_listener < 0) error = -helper_listener;
  }
  SendReply(slot, error, helper_listener, *listener);
  if (error != 0) Call(SYS_exit_group, 1);
  // Only the memory file stays open.
  Call(SYS_close_range, 0, STUB_MEMORY_FD - 1, 0);
  Call(SYS_close_range, STUB_MEMORY_FD + 1, 0xffffffff, 0);
  StubHelperStart();
}

}  // namespace

extern "C" STUB_TEXT void StubZygoteMain() {
  Call(SYS_munmap, 0, STUB_BASE);
  Call(SYS_munmap, STUB_COMMANDS, STUB_STACK - STUB_COMMANDS);
  Call(SYS_munmap, STUB_STACK + STUB_STACK_SIZE, STUB_TASK_SIZE - STUB_STACK - STUB_STACK_SIZE);
  const long self = Call(SYS_getpid);
  for (;;) {
    ZygoteRequest request;
    long n = Call(SYS_recvfrom, STUB_SOCKET_FD, reinterpret_cast<long>(&request), sizeof request, 0,
                  0, 0);
    if (n != sizeof request) Call(SYS_exit_group, 0);  // the Sentry is gone
    long pid = Call(SYS_clone, SIGCHLD);
    if (pid == 0) SetUpStub(request.slot, self);
    if (pid < 0) SendReply(request.slot, -pid, -1, -1);
  }
}
