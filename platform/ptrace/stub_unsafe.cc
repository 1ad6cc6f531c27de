#include "platform/ptrace/stub_unsafe.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/rseq.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>
#include <iterator>

#include "base/host.h"

// SAFETY: position-independent, uses no stack and no memory but [r12], which the tracer points at
// the batch page. The application can jump here too: its system calls are emulated wherever they
// are made.
asm(R"(
    .text
    .balign 16
runsc_ptrace_stub_code:
1:  syscall
runsc_ptrace_stub_return:
    cmp $-4096, %rax
    ja 2f
    sub $1, %r13
    jle 2f
    mov (%r12), %rax
    mov 8(%r12), %rdi
    mov 16(%r12), %rsi
    mov 24(%r12), %rdx
    mov 32(%r12), %r10
    mov 40(%r12), %r8
    mov 48(%r12), %r9
    add $56, %r12
    jmp 1b
2:  int3
runsc_ptrace_stub_trapped:
    jmp 2b
runsc_ptrace_stub_end:
)");
extern "C" const char runsc_ptrace_stub_code[], runsc_ptrace_stub_return[];
extern "C" const char runsc_ptrace_stub_trapped[], runsc_ptrace_stub_end[];

namespace platform::ptrace {

namespace {

constexpr size_t kFilterOffset = 512;
constexpr size_t kFilterProgramOffset = 2048;

// Anything that is not made by the stub's own system call instruction can only be the vsyscall page
// (everything else is emulated before the filter sees it): it is trapped, and the tracer makes a
// system call event of it. Of the stub's own calls those remain that steer mappings, and what makes
// threads, forks and passes descriptors.
constexpr uint64_t kReturnAddress = kCodeAddress + 2;
#define RUNSC_LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, field))
#define RUNSC_LOAD_LOW(field, i) \
  BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, field) + 8 * (i))
#define RUNSC_LOAD_HIGH(field, i) \
  BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, field) + 8 * (i) + 4)
#define RUNSC_IF_EQUAL(value, yes, no) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), (yes), (no))
#define RUNSC_RETURN(value) BPF_STMT(BPF_RET | BPF_K, (value))

constexpr uint32_t kThreadFlags =
    CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM;
constexpr uint32_t kForkFlags = CLONE_FILES | SIGCHLD;

// clang-format off
const sock_filter kFilter[] = {
    RUNSC_LOAD(arch),
    RUNSC_IF_EQUAL(AUDIT_ARCH_X86_64, 1, 0),
    RUNSC_RETURN(SECCOMP_RET_TRAP),
    RUNSC_LOAD_LOW(instruction_pointer, 0),
    RUNSC_IF_EQUAL(static_cast<uint32_t>(kReturnAddress), 1, 0),
    RUNSC_RETURN(SECCOMP_RET_TRAP),
    RUNSC_LOAD_HIGH(instruction_pointer, 0),
    RUNSC_IF_EQUAL(static_cast<uint32_t>(kReturnAddress >> 32), 1, 0),
    RUNSC_RETURN(SECCOMP_RET_TRAP),
    RUNSC_LOAD(nr),
    // mmap: flags must be MAP_SHARED with nothing but MAP_FIXED and MAP_POPULATE.
    RUNSC_IF_EQUAL(SYS_mmap, 0, 3),
    RUNSC_LOAD_LOW(args, 3),
    BPF_STMT(BPF_ALU | BPF_AND | BPF_K, static_cast<uint32_t>(~(MAP_FIXED | MAP_POPULATE))),
    RUNSC_IF_EQUAL(MAP_SHARED, 9, 10),
    RUNSC_IF_EQUAL(SYS_clone, 0, 3),
    RUNSC_LOAD_LOW(args, 0),
    RUNSC_IF_EQUAL(kThreadFlags, 6, 0),
    RUNSC_IF_EQUAL(kForkFlags, 5, 6),
    RUNSC_IF_EQUAL(SYS_munmap, 4, 0),
    RUNSC_IF_EQUAL(SYS_mprotect, 3, 0),
    RUNSC_IF_EQUAL(SYS_recvmsg, 2, 0),
    RUNSC_IF_EQUAL(SYS_close, 1, 0),
    RUNSC_RETURN(SECCOMP_RET_KILL_PROCESS),
    RUNSC_RETURN(SECCOMP_RET_ALLOW),
    RUNSC_RETURN(SECCOMP_RET_KILL_PROCESS),
};
// clang-format on
static_assert(kFilterOffset + sizeof kFilter <= kFilterProgramOffset);

// The zygote's scratch page.
struct Scratch {
  msghdr header;
  iovec vector;
  char byte;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMaxPassedFds)];
};
static_assert(sizeof(Scratch) <= kPageSize);

// Runs in the zygote, which shares nothing with the Sentry's other threads any more: raw calls
// only, no allocation.
[[noreturn]] void ZygoteMain(int memory_fd, int socket_fd, int stub_fd) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  prctl(PR_SET_NAME, "runsc-stub");
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  // The kernel would go on writing the area that libc has registered, which is about to be
  // unmapped.
  if (__rseq_size > 0) {
    char* area = static_cast<char*>(__builtin_thread_pointer()) + __rseq_offset;
    syscall(SYS_rseq, area, 32, 1 /* RSEQ_FLAG_UNREGISTER */, RSEQ_SIG);
  }
  for (int signo = 1; signo < NSIG; signo++) signal(signo, SIG_DFL);
  signal(SIGCHLD, SIG_IGN);  // stubs are reaped by the tracer and must not stay as zombies here
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  rlimit no_core = {0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  setsid();

  int high[3] = {memory_fd, socket_fd, stub_fd};
  for (int& fd : high) {
    if (fd >= 0) fd = fcntl(fd, F_DUPFD, 16);
  }
  for (int i = 0; i < 3; i++) {
    if (high[i] >= 0) {
      dup2(high[i], i);
    } else {
      close(i);
    }
  }
  syscall(SYS_close_range, 3, ~0U, 0);

  __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct no_capabilities[2] = {};
  syscall(SYS_capset, &header, no_capabilities);
  prctl(PR_SET_DUMPABLE, 1);

  // A parent that died before PR_SET_PDEATHSIG shows as the end of the stream.
  char byte;
  if (recv(kSocketFdInStub, &byte, 1, 0) != 1) _exit(0);
  send(kSocketFdInStub, &byte, 1, MSG_NOSIGNAL);
  for (;;) pause();
}

}  // namespace

uint64_t ForkFlags() { return kForkFlags; }
uint64_t ThreadFlags() { return kThreadFlags; }
uint64_t TrappedOffset() { return runsc_ptrace_stub_trapped - runsc_ptrace_stub_code; }
uint64_t CodeInSentry() { return reinterpret_cast<uint64_t>(runsc_ptrace_stub_code); }

void FillCodePage(void* page) {
  char* bytes = static_cast<char*>(page);
  memset(bytes, 0xcc, kPageSize);
  memcpy(bytes, runsc_ptrace_stub_code, runsc_ptrace_stub_end - runsc_ptrace_stub_code);
  memcpy(bytes + kFilterOffset, kFilter, sizeof kFilter);
  sock_fprog program = {.len = std::size(kFilter),
                        .filter = reinterpret_cast<sock_filter*>(kCodeAddress + kFilterOffset)};
  memcpy(bytes + kFilterProgramOffset, &program, sizeof program);
}

uint64_t FilterProgramAddress() { return kCodeAddress + kFilterProgramOffset; }

uint64_t ReceiveHeaderAddress() { return kDataAddress + offsetof(Scratch, header); }

void PrepareReceive(void* scratch) {
  auto* area = static_cast<Scratch*>(scratch);
  memset(area, 0, sizeof *area);
  area->vector = {.iov_base = reinterpret_cast<void*>(kDataAddress + offsetof(Scratch, byte)),
                  .iov_len = 1};
  area->header.msg_iov = reinterpret_cast<iovec*>(kDataAddress + offsetof(Scratch, vector));
  area->header.msg_iovlen = 1;
  area->header.msg_control = reinterpret_cast<void*>(kDataAddress + offsetof(Scratch, control));
  area->header.msg_controllen = sizeof area->control;
}

int ReceivedFds(const void* scratch, int (&fds)[kMaxPassedFds]) {
  auto* area = static_cast<const Scratch*>(scratch);
  if (area->header.msg_controllen < CMSG_LEN(0)) return 0;
  cmsghdr header;
  memcpy(&header, area->control, sizeof header);
  if (header.cmsg_level != SOL_SOCKET || header.cmsg_type != SCM_RIGHTS) return 0;
  size_t bytes = header.cmsg_len - CMSG_LEN(0);
  if (bytes > sizeof fds) return 0;
  memcpy(fds, area->control + CMSG_LEN(0), bytes);
  return static_cast<int>(bytes / sizeof(int));
}

Result<pid_t> ForkZygote(int memory_fd, int socket_fd, int stub_fd, int parent_end) {
  // Without the right to a pid namespace, one in a user namespace of its own; without that
  // PTRACE_O_EXITKILL alone has to end the stubs.
  for (int flags : {CLONE_NEWPID, CLONE_NEWPID | CLONE_NEWUSER, 0}) {
    long pid = syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);
    if (pid == 0) ZygoteMain(memory_fd, socket_fd, stub_fd);
    if (pid < 0 && flags != 0) continue;
    pid_t zygote = static_cast<pid_t>(TRY(HOST(pid)));
    char byte = 0;
    // It may be stopped by its tracer only after it has done all of the above.
    TRY(HOST(send(parent_end, &byte, 1, MSG_NOSIGNAL)));
    TRY(HOST_RETRY(recv(parent_end, &byte, 1, 0)));
    return zygote;
  }
  return Errno::kEPERM;
}

}  // namespace platform::ptrace
