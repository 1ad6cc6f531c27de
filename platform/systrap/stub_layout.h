#pragma once

// What stub code, its set-up and the Sentry agree on: addresses, descriptors, numbers. Also read by
// the assembler, so the first part is only preprocessor.

// The stub's own region; application mappings end below it. The code lies at the same address in
// every stub because the filters compare instruction pointers.
#define STUB_BASE 0x7fffe0000000
#define STUB_CODE STUB_BASE
#define STUB_CODE_SIZE 0x8000
#define STUB_CONFIG (STUB_BASE + STUB_CODE_SIZE)  // filter programs, read-only
#define STUB_CONFIG_SIZE 0x8000
#define STUB_COMMANDS (STUB_BASE + 0x10000)  // read-only for the stub, written by the Sentry
#define STUB_COMMANDS_SIZE 0x10000
#define STUB_STACK \
  (STUB_BASE + 0x30000)  // of the zygote and of a stub's set-up; not mapped in a finished stub
#define STUB_STACK_SIZE 0x2000
#define STUB_AREAS (STUB_BASE + 0x1000000)  // one area a thread: alternate signal stack and header
#define STUB_AREA_SHIFT 14
#define STUB_AREA_SIZE (1 << STUB_AREA_SHIFT)
#define STUB_MAX_THREADS 4096
#define STUB_AREAS_SIZE (STUB_MAX_THREADS * STUB_AREA_SIZE)
#define STUB_TASK_SIZE 0x7ffffffff000

// Within an area: the alternate signal stack, then fs_base and gs_base to load.
#define STUB_AREA_HEADER (STUB_AREA_SIZE - 256)

// Within the command pages.
#define STUB_NEXT_STACK 0  // stack_t of the thread to be started
#define STUB_COMMAND_LIST 64
#define STUB_COMMAND_SIZE 64
#define STUB_MAX_COMMANDS ((STUB_COMMANDS_SIZE - STUB_COMMAND_LIST) / STUB_COMMAND_SIZE)

// A system call number that Linux does not have: a stub's knock at the Sentry. The first argument
// is the reason, which is the signal number in a signal handler.
#define STUB_DOORBELL 0x7fff0001
#define STUB_REASON_IDLE 100
#define STUB_REASON_SPAWNER 101
#define STUB_REASON_HELPER 102

// CLONE_VM|CLONE_FS|CLONE_FILES|CLONE_SIGHAND|CLONE_THREAD|CLONE_SYSVSEM
#define STUB_CLONE_THREAD 0x50f00

// In the reply to a thread's doorbell: load fs_base and gs_base first. The rest is the offset of
// the ucontext to return to, within the thread's area.
#define STUB_REPLY_LOAD_BASES 1

// Descriptors of zygote and stubs.
#define STUB_MEMORY_FD 3
#define STUB_CONTROL_FD 4
#define STUB_SOCKET_FD 5
#define STUB_FIRST_CACHED_FD 16

#ifndef __ASSEMBLER__

#include <linux/filter.h>

#include <cstddef>
#include <cstdint>

namespace platform::systrap {

// The system calls that the helper thread makes, in the command pages.
struct StubCommand {
  uint64_t nr;
  uint64_t args[6];
  uint64_t unused;
};
static_assert(sizeof(StubCommand) == STUB_COMMAND_SIZE);

// At STUB_CONFIG.
struct StubConfig {
  sock_fprog helper_doorbell;  // notifies of the doorbell, allows everything else; carries the
                               // helper's listener
  sock_fprog helper;           // the helper's final filter
  sock_fprog app;              // of all other threads
  uint64_t app_flags;
};

// A slot of the control file: what one stub shares with the Sentry.
inline constexpr uint64_t kSlotSize = uint64_t{STUB_COMMANDS_SIZE} + STUB_AREAS_SIZE;

struct ZygoteRequest {
  uint32_t slot;
};

// With the helper's and the application threads' listeners as SCM_RIGHTS when error is 0.
struct ZygoteReply {
  uint32_t slot;
  int32_t error;  // errno
};

}  // namespace platform::systrap

// In stub_entry_unsafe.S and stub_setup_unsafe.cc; addresses in the Sentry's copy, see
// StubAddress().
extern "C" {
extern char __start_stub_text[];
extern char __stop_stub_text[];
void StubHandler();
void StubDie();
void StubSpawnerStart();
[[noreturn]] void StubHelperStart();
extern char StubDoorbellSite[];  // behind the system call instructions
extern char StubSigreturnSite[];
extern char StubSpawnerSite[];
extern char StubCloneSite[];
extern char StubSigaltstackSite[];
[[noreturn]] void StubZygoteMain();
// Maps the stub region and goes to `entry` (an address in it). Not part of the stub.
[[noreturn]] void StubBootstrap(int code_fd, uint64_t entry);
}

namespace platform::systrap {

// Where a symbol of the stub code lies in the stubs.
template <class T>
uint64_t StubAddress(T* symbol) {
  return STUB_CODE + (reinterpret_cast<char*>(symbol) - __start_stub_text);
}

}  // namespace platform::systrap

#endif  // __ASSEMBLER__
