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
#define STUB_TRAMPOLINES (STUB_BASE + 0x20000)  // one for each replaced call site, see call_sites.h
#define STUB_TRAMPOLINE_SHIFT 7
#define STUB_TRAMPOLINE_SIZE (1 << STUB_TRAMPOLINE_SHIFT)
#define STUB_MAX_SITES 256
#define STUB_STACK \
  (STUB_BASE + 0x30000)  // of the zygote and of a stub's set-up; not mapped in a finished stub
#define STUB_STACK_SIZE 0x2000
#define STUB_CPUID (STUB_BASE + 0x32000)  // read-only, the same for all stubs, see cpuid_table.h
#define STUB_CPUID_SIZE 0x1000
#define STUB_AREAS (STUB_BASE + 0x1000000)  // one area a thread: alternate signal stack and header
#define STUB_AREA_SHIFT 14
#define STUB_AREA_SIZE (1 << STUB_AREA_SHIFT)
#define STUB_MAX_THREADS 4096
#define STUB_AREAS_SIZE (STUB_MAX_THREADS * STUB_AREA_SIZE)
#define STUB_TASK_SIZE 0x7ffffffff000

// A page that a jump through an absolute 32-bit address reaches from anywhere: pointers to the
// trampolines, then which area belongs to which fs_base. Its address makes the third byte of such a
// jump 6, an invalid instruction; for sites that need the second byte to be 6 as well there are 32
// pointers. Application mappings begin above it.
#define STUB_TABLE 0x60000
#define STUB_TABLE_SIZE 0x1000
#define STUB_TABLE_DOUBLE_SIX 0x600
#define STUB_TABLE_THREADS 0x800
#define STUB_MIN_APP_ADDRESS 0x70000

// Within a slot: the command pages, the table, the trampolines, the areas.
#define STUB_SLOT_TABLE STUB_COMMANDS_SIZE
#define STUB_SLOT_TRAMPOLINES (STUB_SLOT_TABLE + STUB_TABLE_SIZE)
#define STUB_SLOT_AREAS (STUB_COMMANDS_SIZE + 0x10000)

// Within an area: the alternate signal stack, then fs_base and gs_base to load, then the calls that
// the thread makes through trampolines.
#define STUB_AREA_HEADER (STUB_AREA_SIZE - 2048)
#define STUB_CALL_SPINS 16      // looks at a posted call's state before parking; 0: do not post
#define STUB_CALL_YIELDS 24     // that a blocked call still makes before parking
#define STUB_CALL_RBX 32        // the application's, while they are made
// A posted call is one cache line, which goes to the Sentry's processor and back.
#define STUB_CALL_STATE 64      // STUB_CALL_POSTED etc.
#define STUB_CALL_NR 68         // 32 bits
#define STUB_CALL_RETURN 72     // where the trampoline goes on
#define STUB_CALL_ARGS 80
#define STUB_CALL_RESULT 120    // in place of the last argument
#define STUB_CALL_ANSWERS 256   // 32 bits a number: 1 + the result of a call that needs no Sentry, or 0
#define STUB_MAX_ANSWER 256

// States of a call. The thread posts it and parks; the Sentry does the rest.
#define STUB_CALL_FREE 0
#define STUB_CALL_POSTED 1   // by the thread, which now waits for DONE
#define STUB_CALL_BLOCKED 2  // until another thread does something
#define STUB_CALL_DONE 3
#define STUB_CALL_PARKED 4   // the thread gave up waiting and is about to make STUB_PARK

// A blocked call that nobody ends parks after so many times.
#define STUB_MAX_YIELDS 200

// Within the command pages.
#define STUB_NEXT_STACK 0  // stack_t of the thread to be started
#define STUB_CPUID_RANGE 32  // address and size of the code that has replaced cpuid instructions
#define STUB_COMMAND_LIST 64
#define STUB_COMMAND_SIZE 64
#define STUB_MAX_COMMANDS ((STUB_COMMANDS_SIZE - STUB_COMMAND_LIST) / STUB_COMMAND_SIZE)

// A system call number that Linux does not have: a stub's knock at the Sentry. The first argument
// is the reason, which is the signal number in a signal handler.
#define STUB_DOORBELL 0x7fff0001
// Another one: wait for the result of the posted call.
#define STUB_PARK 0x7fff0002
#define STUB_REASON_IDLE 100
#define STUB_REASON_SPAWNER 101
#define STUB_REASON_HELPER 102

// An instruction that stands for cpuid: its vector, and the fault that it raises. Entries of the table
// begin with how they are compared.
#define STUB_CPUID_VECTOR 0xa2
#define STUB_CPUID_TRAP 13                               // general protection
#define STUB_CPUID_ERROR ((STUB_CPUID_VECTOR << 3) | 2)  // an entry of the IDT
#define STUB_CPUID_ENTRY 32
#define STUB_CPUID_END 0
#define STUB_CPUID_ANY 1    // whatever ecx is
#define STUB_CPUID_EXACT 2

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
  // New, and killable: a call that the Sentry has received is not begun anew when somebody stops and
  // continues the process, or freezes it.
  uint64_t listener_flags;
};

// A slot of the control file: what one stub shares with the Sentry.
inline constexpr uint64_t kSlotSize = uint64_t{STUB_SLOT_AREAS} + STUB_AREAS_SIZE;
inline constexpr uint32_t kMaxSlots = 4096;
// Behind the slots: what all stubs share.
inline constexpr uint64_t kCpuidOffset = kMaxSlots * kSlotSize;
inline constexpr uint64_t kControlSize = kCpuidOffset + STUB_CPUID_SIZE;

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
extern char StubYieldSite[];
extern char StubSpawnerSite[];
extern char StubCloneSite[];
extern char StubSigaltstackSite[];
extern char StubCall[];  // what the trampolines jump to, and places within it
extern char StubCallAnswered[];
extern char StubCallFallback[];
extern char StubCallPosted[];
extern char StubCallDone[];
extern char StubCallBlocked[];    // from here on rbx is kept in the area, and is the header,
extern char StubCallUnblocked[];  // until here
extern char StubCallEnd[];
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
