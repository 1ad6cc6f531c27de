#pragma once

// What the Sentry needs of a mechanism that runs application code: address spaces and contexts. The rest of the Sentry
// cannot tell the platforms apart. Nothing here knows a Linux task, a VMA or a file description.
//
// Threads: everything is called under the kernel lock, on a fiber where it says so. Implementations drop the lock around
// host calls that may block.

#include <sys/user.h>

#include <array>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/ref.h"
#include "base/result.h"

namespace platform {

// The general registers, as ptrace(2) and the core dump format have them (fs_base and gs_base included).
using Registers = user_regs_struct;

// System calls whose handler needs or changes the whole register state. The kernel fills it from its table.
using SyscallSet = std::bitset<1024>;

// Why application code stopped.
struct Event {
  enum class Kind {
    kSyscall,      // nr, args and ip are set; the result is given to the next Run by Context::SetResult
    kFault,        // a synchronous exception: signo, si_code, address, error_code; registers are complete
    kInterrupted,  // Context::Interrupt; registers are complete
    kExited,       // the host process behind it is gone (killed from outside): the task must be ended as by SIGKILL
  };
  Kind kind = Kind::kInterrupted;
  // kSyscall. Of nr only the low 32 bits are significant to Linux; `compat` says that it came by int 0x80 or an x32 number
  // reached the filter as another architecture.
  uint64_t nr = 0;
  uint64_t args[6] = {};
  uint64_t ip = 0;  // behind the system call instruction
  bool hot = false;   // made so often that AddressSpace::ReplaceCall would pay; said once for a site
  bool warm = false;  // so many were made that it would pay for what AddressSpace::Calls says of other ones; now and then
  bool compat = false;
  // kFault
  int signo = 0;      // SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP
  int si_code = 0;    // as the host gave it
  uint64_t address = 0;     // si_addr; cr2 for a page fault
  uint64_t error_code = 0;  // x86 page fault bits: 1 present, 2 write, 4 user, 16 instruction fetch
  // ptrace cannot always tell a write from a read: error_code then says write, and whoever finds the memory not writable
  // but readable must take the access for a read.
  bool access_unknown = false;
  uint64_t trap_number = 0; // x86 vector (14 page fault, 13 general protection, ...)
  bool page_fault() const { return trap_number == 14; }
  bool write() const { return (error_code & 2) != 0; }
  bool execute() const { return (error_code & 16) != 0; }
};

// Code to be written at an address.
struct CodePatch {
  // What a platform wants to see of the code around a call: bytes in front of where it returns to and behind.
  static constexpr int kBefore = 9, kWindow = kBefore + 6;
  uint64_t address = 0;
  int length = 0;
  std::array<uint8_t, 16> bytes;
};

// One application address space: host mappings only. Changes may be queued; they are in force at the latest when a
// context next runs in it, or after Flush.
class AddressSpace : public RefCounted {
 public:
  // Maps [address, address+length) shared from `fd` (borrowed; need only live until the call returns) at `offset`.
  // `prot` as in mmap(2). Replaces what was there. `precommit`: populate the host page tables now.
  virtual Result<void> Map(uint64_t address, uint64_t length, int fd, uint64_t offset, int prot, bool precommit) = 0;
  virtual Result<void> Unmap(uint64_t address, uint64_t length) = 0;
  virtual Result<void> Protect(uint64_t address, uint64_t length, int prot) = 0;
  // Puts queued changes in force now, for all contexts that run in it. On a fiber (may park). Must be called before a page
  // that was unmapped or write-protected is reused or shared, when another context may be running in this address space.
  virtual Result<void> Flush() = 0;

  // System call instructions may be replaced by something that costs less. `code`: the bytes around the call that returns to
  // `ip`. The caller writes what this returns, if anything, so that threads see all of it or nothing.
  virtual std::optional<CodePatch> ReplaceCall(uint64_t ip, std::span<const uint8_t, CodePatch::kWindow> code) {
    return std::nullopt;
  }
  // Where several system calls have returned to, of those that are counted still for Event::hot.
  virtual std::vector<uint64_t> Calls() { return {}; }
  // What to write to have no replaced calls any more.
  virtual std::vector<CodePatch> OriginalCalls() { return {}; }
  // cpuid instructions may be replaced too, within one range of code: what is returned acts as cpuid at any address of it.
  virtual std::optional<std::array<uint8_t, 2>> ReplaceCpuid(uint64_t start, uint64_t length) { return std::nullopt; }
  // The same code is mapped in this fresh address space as in `parent`, with what was replaced: after fork.
  virtual void InheritCode(AddressSpace& parent) {}
};

// The register and FPU state of one application thread and the means to run it.
class Context {
 public:
  virtual ~Context() = default;

  // Runs application code in `space` until an event. Parks the current fiber. On entry the registers are loaded if they
  // were changed through mutable_registers(), else the pending system call returns what SetResult gave. The event is valid
  // until the next Run.
  virtual const Event& Run(AddressSpace& space) = 0;

  // Makes a running or next Run return kInterrupted soon (or with another event that was on its way). From any fiber or
  // host thread that holds the kernel lock.
  virtual void Interrupt() = 0;

  // What the current system call returns (negative errno as Linux does); before the next Run. Only meaningful after
  // kSyscall; handlers that rewrite all registers need not call it.
  virtual void SetResult(int64_t value) = 0;

  // After a kSyscall event only its fields may be known to the platform, the registers being still in the host kernel.
  // EnsureRegisters fetches them (may park the fiber). rip is behind the system call instruction, orig_rax its number and
  // rax the value that SetResult gave (or -ENOSYS). Cheap when they are already here, as after any other event and after the system
  // calls of Platform::Options::full_state.
  virtual Result<void> EnsureRegisters() = 0;
  virtual bool has_registers() const = 0;
  // Valid once has_registers().
  virtual const Registers& registers() const = 0;
  virtual Registers& mutable_registers() = 0;

  // The FPU state in the XSAVE layout that Linux puts into signal frames (fxsave area with the software bytes, header,
  // extended area), at most Platform::xsave_size() bytes. Needs has_registers().
  virtual std::span<const uint8_t> fpu_state() const = 0;
  // Takes a state that the application may have written: implementations validate it. EINVAL when it is malformed.
  virtual Result<void> SetFpuState(std::span<const uint8_t> state) = 0;
  virtual void ResetFpuState() = 0;  // the state after execve
  // Child of clone: copies registers and FPU state of `parent` (which has_registers()).
  virtual void CopyStateFrom(const Context& parent) = 0;

  // The current system call gives this (not negative) until ForgetAnswers, whatever its arguments: the platform may answer it
  // by itself. Never for a task whose system calls somebody watches.
  virtual void SetAnswer(uint64_t nr, uint32_t value) {}
  virtual void ForgetAnswers() {}

  // Leaves the address space it last ran in (execve, exit): its host thread becomes free for others. The registers stay.
  virtual void Release() = 0;
};

class Platform {
 public:
  struct Options {
    SyscallSet full_state;    // system calls after which the registers must be complete
    int memory_fd = -1;       // the memory file, which most mappings are of (borrowed for the platform's life)
    int hot_calls = 0;        // calls after which a system call instruction should be replaced; 0: never
    bool may_spin = false;    // threads of the Sentry may use a processor that is idle to be quick
  };

  virtual ~Platform() = default;

  virtual const char* name() const = 0;        // "systrap", "ptrace"
  virtual std::string mechanism() const = 0;   // for the debug log: what of the host it uses
  // Application mappings lie in [min_user_address, max_user_address).
  virtual uint64_t min_user_address() const = 0;
  virtual uint64_t max_user_address() const = 0;
  virtual size_t xsave_size() const = 0;

  // A fresh, empty address space. On a fiber (may park). ENOMEM, EAGAIN when the host refuses a process.
  virtual Result<RefPtr<AddressSpace>> CreateAddressSpace() = 0;
  virtual Result<std::unique_ptr<Context>> CreateContext() = 0;

  // Kills every host process of the platform. Nothing runs afterwards.
  virtual void Shutdown() = 0;

  // Host system calls that this platform makes in the Sentry after start-up, for the Sentry's filter (numbers).
  virtual std::vector<int> host_syscalls() const = 0;
};

// Each platform has `Result<std::unique_ptr<Platform>> Create(const Platform::Options&)` in its own header, called in the
// Sentry process while it still has the rights that set-up needs (fork, ptrace of children), before its filter and threads.

}  // namespace platform
