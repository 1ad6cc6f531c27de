#pragma once

// Call sites: system call instructions of an application that were replaced by jumps to trampolines
// in the stub, which saves them the SIGSYS or lets the stub answer or post the call
// (stub_entry_unsafe.S, StubCall).
//
// A site is a few instructions that end in `syscall`, as compilers and libraries write them. They
// become
//
//   ff 24 25 a0 a1 06 00 ...      jmp *0x6a1a0        the pointer lies in STUB_TABLE
//
// and bytes of 6, which is an invalid instruction: whoever enters in the middle, at the old system
// call instruction or at the return from it, raises SIGILL and is put right. (Where another byte of
// the pointer lies at that place, a pointer is chosen that has an invalid instruction there.) The trampoline of a
// site repeats the instructions in front of the call, finds the thread's area by its fs_base, and
// has a `syscall` of its own for threads that are not bound, and behind it the instructions that
// followed. It changes no register but rcx, r11 and the arithmetic flags, which no code expects to
// survive a system call.
//
// What the application sees of itself (signal frames, ptrace, seccomp_data) never shows an
// instruction pointer in a trampoline: Normalise says where the thread would be without.
//
// One object a stub, under the kernel lock.

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "absl/container/flat_hash_map.h"
#include "platform/platform.h"
#include "platform/systrap/frame.h"
#include "platform/systrap/stub_layout.h"

namespace platform::systrap {

class CallSites {
 public:
  // `local`: the stub's slot.
  explicit CallSites(char* local) : local_(local) {}

  // Counts a system call that returned to `ip`; true for the `hot`th, after which the site is worth
  // replacing. `*warm`: so many of all sites that those are which Calls said for another process.
  bool Count(uint64_t ip, uint32_t hot, bool* warm);

  // Behind which several calls returned, as far as they are counted still.
  std::vector<uint64_t> Calls() const;

  // Makes a trampoline for the call that returns to `ip`; `code` is what lies around it
  // (CodePatch). None where it is not a known sequence, or all trampolines are in use.
  std::optional<CodePatch> Replace(uint64_t ip, std::span<const uint8_t, CodePatch::kWindow> code);
  bool empty() const { return count_ == 0; }
  // What to write to take all jumps back. Threads may still be in the trampolines.
  std::vector<CodePatch> Originals() const;
  // After fork: the same code is there. A trampoline stays even when its site is unmapped, since
  // there may be copies of the code.
  void CopyFrom(const CallSites& other);
  void Clear();

  // The thread with this fs_base has that area. There must be no other. False when others are in
  // its two places, which may be so for a few of many.
  bool Bind(uint64_t fs_base, uint64_t area);
  void Unbind(uint64_t area);

  // The address behind the original system call instruction, for an instruction pointer behind a
  // trampoline's.
  std::optional<uint64_t> ReturnAddress(uint64_t ip) const;

  // Takes an interrupted thread out of trampolines and StubCall. `taken`: the Sentry has its posted
  // call, which must not be made again.
  // Returns whether `registers` were changed.
  bool Normalise(const StubArea& area, bool taken, Registers& registers) const;

  // What a SIGILL at this address means.
  enum class Trap { kNone, kCall, kReturn };
  // kCall: `registers` are those of the system call, rip behind it. kReturn: they are made those
  // behind the site.
  Trap OnInvalidInstruction(Registers& registers) const;

 private:
  struct Shape;
  struct Site {
    uint64_t address = 0;  // of the jump
    const Shape* shape = nullptr;
    std::array<uint8_t, 16> original;
    bool used() const { return shape != nullptr; }
    uint64_t return_address() const;
    uint64_t end() const;
  };
  struct Layout {
    int call, after, resume;  // offsets of the system call, of what follows, of the jump back
  };
  static const Shape kShapes[];

  static Layout LayoutOf(const Shape& shape);
  void WriteTrampoline(int index) const;
  void ClearThreads();
  int FreeIndex(const Shape& shape) const;
  const Site* SiteAt(uint64_t rip, int* offset) const;
  // Where a thread that was about to go on at `after` of a trampoline is, seen by the application.
  bool GoOn(uint64_t rip, Registers& registers) const;

  struct Counter {
    uint64_t ip = 0;
    uint32_t count = 0;
  };
  static constexpr int kSetBits = 5, kPlaceBits = 2, kCounters = 1 << (kSetBits + kPlaceBits);

  char* const local_;
  std::unique_ptr<std::array<Counter, kCounters>> counters_;
  uint64_t calls_ = 0, next_warm_ = 0;
  std::unique_ptr<std::array<Site, STUB_MAX_SITES>> sites_;
  absl::flat_hash_map<uint64_t, int> by_address_;
  int count_ = 0;
};

}  // namespace platform::systrap
