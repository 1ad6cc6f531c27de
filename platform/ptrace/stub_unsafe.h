#pragma once

// What runs in the stub processes that is not the application: a page of code and data that the
// tracer steers by setting registers, and the zygote that all stubs are forked from.
//
// Layout at the top of the user address space, above what an application can map:
//   kCodeAddress  shared read-only: the code below, the seccomp program, constants. The same page
//   in all stubs. kDataAddress  zygote: shared writable scratch for recvmsg; not inherited by
//   forks.
//                 stub: its own batch page, read-only (the tracer writes it through its own
//                 mapping).

#include <sys/types.h>

#include <cstddef>
#include <cstdint>

#include "base/fd.h"
#include "base/result.h"

namespace platform::ptrace {

inline constexpr uint64_t kPageSize = 4096;
inline constexpr uint64_t kTaskSize = 0x7ffffffff000;
inline constexpr uint64_t kStubBase = 0x7fffffff0000;  // the application's mappings end here
inline constexpr uint64_t kCodeAddress = kStubBase + kPageSize;
inline constexpr uint64_t kDataAddress = kStubBase + 3 * kPageSize;

// Descriptors of the file table that the zygote and all stubs share. Nothing else is in it but what
// is in transit.
inline constexpr int kMemoryFdInStub = 0;
inline constexpr int kSocketFdInStub = 1;
inline constexpr int kStubFdInStub = 2;

// One system call of a batch. The first of a batch is passed in registers, the others in the stub's
// batch page.
struct StubCall {
  uint64_t nr;
  uint64_t args[6];
};
static_assert(sizeof(StubCall) == 56);
inline constexpr size_t kMaxBatch = 1 + kPageSize / sizeof(StubCall);

// clone(2) flags that the filter lets pass: a further stub (from the zygote), a further thread of a
// stub.
uint64_t ForkFlags();
uint64_t ThreadFlags();

// The position of the code blob in this process, where a process just forked from it can run it
// too.
uint64_t CodeInSentry();
// Where rip is, from the start of the code, when it has run into its breakpoint.
uint64_t TrappedOffset();

// The contents of the code page. Its code begins at offset 0: a system call; on failure, or when
// r13 calls were made, a breakpoint; else the next call is loaded from [r12].
void FillCodePage(void* page);
uint64_t FilterProgramAddress();  // of the sock_fprog in kCodeAddress

// In the zygote's scratch page: a msghdr prepared to receive up to kMaxPassedFds descriptors.
inline constexpr int kMaxPassedFds = 64;
void PrepareReceive(void* scratch);
// The descriptor numbers that the zygote received.
int ReceivedFds(const void* scratch, int (&fds)[kMaxPassedFds]);
uint64_t ReceiveHeaderAddress();

// Forks the zygote: in a new pid namespace where the host allows it, without capabilities, with the
// three descriptors above only, waiting to be seized. `parent_end` is the Sentry's end of its
// socket.
Result<pid_t> ForkZygote(int memory_fd, int socket_fd, int stub_fd, int parent_end);

}  // namespace platform::ptrace
