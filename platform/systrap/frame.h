#pragma once

// Signal frames in a thread's area: the registers and the FPU state of an application thread
// outside of application code. The area is within the application's reach, so everything read from
// it is copied once and then checked.

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/result.h"
#include "platform/platform.h"

namespace platform::systrap {

// The kernel's struct ucontext on x86-64, which rt_sigreturn takes.
struct StubUcontext {
  uint64_t flags;
  uint64_t link;
  uint64_t stack_base;
  uint32_t stack_flags;
  uint32_t unused;
  uint64_t stack_size;
  uint64_t r8, r9, r10, r11, r12, r13, r14, r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip,
      eflags;
  uint16_t cs, gs, fs, ss;
  uint64_t error_code, trap_number, old_mask, cr2;
  uint64_t fpstate;
  uint64_t reserved[8];
  uint64_t signal_mask;
};
static_assert(sizeof(StubUcontext) == 304);

// A thread's area: as the Sentry sees it and as the stub does.
struct StubArea {
  char* local = nullptr;
  uint64_t remote = 0;
};

// What of the host's FPU the frames carry.
class FpuLayout {
 public:
  static const FpuLayout& Get();

  size_t size() const { return size_; }            // of the XSAVE area
  size_t frame_size() const { return size_ + 4; }  // with the closing magic number
  void Reset(uint8_t* state) const;                // the initial state, with Linux's software bytes
  // Makes a state of frame_size() bytes loadable whatever its writer wanted.
  void Sanitize(uint8_t* state) const;
  // EINVAL when the host would refuse it.
  Result<void> Check(std::span<const uint8_t> state) const;
  // A checked state of any size into one of frame_size() bytes.
  void Load(std::span<const uint8_t> from, uint8_t* state) const;

 private:
  FpuLayout();
  uint64_t FeaturesWithin(size_t size) const;
  void WriteSoftwareBytes(uint8_t* state) const;
  uint64_t features_;
  size_t size_;
};

inline constexpr size_t kMaxFpuSize = 12288;

// Where Sentry-made frames lie, as an offset in the area.
uint32_t StandardFrameOffset();
// Whether a ucontext that a stub claims lies wholly in the area; its offset.
Result<uint32_t> CheckFrame(const StubArea& area, uint64_t ucontext);

StubUcontext ReadUcontext(const StubArea& area, uint32_t offset);
// Copies the FPU state that `ucontext` points to; the initial state when it is malformed. `state`
// has frame_size() bytes.
void ReadFpu(const StubArea& area, const StubUcontext& ucontext, uint8_t* state);
// The register part of Registers; fs_base and gs_base are not in the frame.
void LoadRegisters(const StubUcontext& ucontext, Registers& registers);

// si_code and si_addr of the siginfo that a handler was given; zeroes when it is not in the area.
void ReadSignalInfo(const StubArea& area, uint64_t siginfo, int& code, uint64_t& address);

// Rewrites the registers of a frame in place.
void WriteRegisters(const StubArea& area, uint32_t offset, const Registers& registers);
void WriteRax(const StubArea& area, uint32_t offset, uint64_t rax);
// The FPU state of a frame becomes the initial one, in place. False when it is malformed.
bool ResetFpu(const StubArea& area, uint32_t offset);
// A whole frame at the standard offset.
void WriteFrame(const StubArea& area, const Registers& registers, const uint8_t* fpu_state);
// What a reply with STUB_REPLY_LOAD_BASES loads.
void WriteBases(const StubArea& area, const Registers& registers);

}  // namespace platform::systrap
