#include <asm/sigcontext.h>
#include <cpuid.h>

#include <algorithm>
#include <cstring>

#include "base/log.h"
#include "platform/systrap/frame.h"
#include "platform/systrap/stub_layout.h"

namespace platform::systrap {

namespace {

constexpr uint64_t kUcFpXstate = 1, kUcSigcontextSs = 2, kUcStrictRestoreSs = 4;
constexpr uint16_t kUserCode = 0x33, kUserCode32 = 0x23, kUserData = 0x2b;

// The legacy area's fields and the XSAVE header, by offset.
constexpr size_t kFcw = 0, kMxcsr = 24, kMxcsrMask = 28, kSoftware = 464, kHeader = 512,
                 kHeaderEnd = 576;
constexpr uint64_t kTileData = uint64_t{1} << 18;  // needs a permission that no stub asks for

template <class T>
T Peek(const uint8_t* p) {
  T value;
  memcpy(&value, p, sizeof value);
  return value;
}
template <class T>
void Poke(uint8_t* p, T value) {
  memcpy(p, &value, sizeof value);
}

uint32_t HostMxcsrMask() {
  static const uint32_t mask = [] {
    alignas(16) uint8_t area[512];
    asm volatile("fxsave %0" : "=m"(area));
    return Peek<uint32_t>(area + kMxcsrMask);
  }();
  return mask != 0 ? mask : 0xffbf;
}

uint64_t Bounded(uint64_t base) { return base < STUB_TASK_SIZE ? base : 0; }

void StoreRegisters(const Registers& registers, StubUcontext& to) {
  to.r8 = registers.r8;
  to.r9 = registers.r9;
  to.r10 = registers.r10;
  to.r11 = registers.r11;
  to.r12 = registers.r12;
  to.r13 = registers.r13;
  to.r14 = registers.r14;
  to.r15 = registers.r15;
  to.rdi = registers.rdi;
  to.rsi = registers.rsi;
  to.rbp = registers.rbp;
  to.rbx = registers.rbx;
  to.rdx = registers.rdx;
  to.rax = registers.rax;
  to.rcx = registers.rcx;
  to.rsp = registers.rsp;
  to.rip = registers.rip;
  to.eflags = registers.eflags;  // the host takes only the flags that applications may set
  to.cs = registers.cs == kUserCode32 ? kUserCode32 : kUserCode;
  to.gs = 0;
  to.fs = 0;
  to.ss = kUserData;
}

void FillUcontext(const StubArea& area, uint32_t offset, uint64_t fpstate,
                  const Registers& registers) {
  StubUcontext ucontext = {};
  ucontext.flags = kUcFpXstate | kUcSigcontextSs | kUcStrictRestoreSs;
  ucontext.stack_base = area.remote;
  ucontext.stack_size = STUB_AREA_HEADER;
  ucontext.fpstate = fpstate;
  StoreRegisters(registers, ucontext);
  memcpy(area.local + offset, &ucontext, sizeof ucontext);
}

uint32_t StandardFpuOffset() {
  static const uint32_t offset = (STUB_AREA_HEADER - FpuLayout::Get().frame_size()) & ~63u;
  return offset;
}

}  // namespace

const FpuLayout& FpuLayout::Get() {
  static const FpuLayout layout;
  return layout;
}

FpuLayout::FpuLayout() {
  uint32_t low, high;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  features_ = ((uint64_t{high} << 32) | low) & ~kTileData;
  size_ = kHeaderEnd;
  for (int i = 2; i < 63; i++) {
    if ((features_ >> i & 1) == 0) continue;
    uint32_t size, offset, flags, unused;
    __cpuid_count(0xd, i, size, offset, flags, unused);
    size_ = std::max<size_t>(size_, offset + size);
  }
  CHECK(frame_size() <= kMaxFpuSize);
}

void FpuLayout::WriteSoftwareBytes(uint8_t* state) const {
  _fpx_sw_bytes bytes = {};
  bytes.magic1 = FP_XSTATE_MAGIC1;
  bytes.extended_size = frame_size();
  bytes.xfeatures = features_;
  bytes.xstate_size = size_;
  memcpy(state + kSoftware, &bytes, sizeof bytes);
  Poke<uint32_t>(state + size_, FP_XSTATE_MAGIC2);
}

void FpuLayout::Reset(uint8_t* state) const {
  memset(state, 0, size_);
  Poke<uint16_t>(state + kFcw, 0x37f);
  Poke<uint32_t>(state + kMxcsr, 0x1f80);
  Poke<uint32_t>(state + kMxcsrMask, HostMxcsrMask());
  WriteSoftwareBytes(state);
}

void FpuLayout::Sanitize(uint8_t* state) const {
  Poke<uint32_t>(state + kMxcsr, Peek<uint32_t>(state + kMxcsr) & HostMxcsrMask());
  Poke<uint64_t>(state + kHeader, Peek<uint64_t>(state + kHeader) & features_);
  memset(state + kHeader + 8, 0, kHeaderEnd - kHeader - 8);
  WriteSoftwareBytes(state);
}

Result<void> FpuLayout::Check(std::span<const uint8_t> state) const {
  if (state.size() < 512) return Errno::kEINVAL;
  if ((Peek<uint32_t>(state.data() + kMxcsr) & ~HostMxcsrMask()) != 0) return Errno::kEINVAL;
  if (state.size() < kHeaderEnd) return {};
  if ((Peek<uint64_t>(state.data() + kHeader) & ~features_) != 0) return Errno::kEINVAL;
  for (size_t i = kHeader + 8; i < kHeaderEnd; i++) {
    if (state[i] != 0) return Errno::kEINVAL;
  }
  return {};
}

void FpuLayout::Load(std::span<const uint8_t> from, uint8_t* state) const {
  if (from.size() < size_) Reset(state);
  _fpx_sw_bytes bytes;
  memcpy(&bytes, from.data() + kSoftware, sizeof bytes);
  if (bytes.magic1 == FP_XSTATE_MAGIC1 && from.size() >= kHeaderEnd) {
    memcpy(state, from.data(), std::min(from.size(), size_));
    // What the shorter writer did not know is initial.
    if (from.size() < size_)
      Poke<uint64_t>(state + kHeader,
                     Peek<uint64_t>(state + kHeader) & FeaturesWithin(from.size()));
  } else {
    memcpy(state, from.data(), kSoftware);
    Poke<uint64_t>(state + kHeader, 3);  // x87 and SSE
  }
  Sanitize(state);
}

uint64_t FpuLayout::FeaturesWithin(size_t size) const {
  uint64_t features = features_ & 3;
  for (int i = 2; i < 63; i++) {
    if ((features_ >> i & 1) == 0) continue;
    uint32_t length, offset, flags, unused;
    __cpuid_count(0xd, i, length, offset, flags, unused);
    if (offset + length <= size) features |= uint64_t{1} << i;
  }
  return features;
}

uint32_t StandardFrameOffset() {
  static const uint32_t offset = (StandardFpuOffset() - sizeof(StubUcontext)) & ~15u;
  return offset;
}

Result<uint32_t> CheckFrame(const StubArea& area, uint64_t ucontext) {
  const uint64_t offset = ucontext - area.remote;
  if (offset % 8 != 0 || offset < 8 || offset > STUB_AREA_HEADER - sizeof(StubUcontext))
    return Errno::kEFAULT;
  return static_cast<uint32_t>(offset);
}

StubUcontext ReadUcontext(const StubArea& area, uint32_t offset) {
  StubUcontext ucontext;
  memcpy(&ucontext, area.local + offset, sizeof ucontext);
  // SAFETY: another thread of the application may write to the area; the compiler must not read it
  // again.
  asm volatile("" : "+m"(ucontext)::"memory");
  return ucontext;
}

namespace {

// Where the FPU state of a frame lies; null when that is not in the area.
char* FpuOf(const StubArea& area, const StubUcontext& ucontext) {
  const uint64_t offset = ucontext.fpstate - area.remote;
  const bool fits = offset <= STUB_AREA_HEADER - FpuLayout::Get().frame_size();
  return ucontext.fpstate % 64 == 0 && fits ? area.local + offset : nullptr;
}

}  // namespace

bool ResetFpu(const StubArea& area, uint32_t offset) {
  const StubUcontext ucontext = ReadUcontext(area, offset);
  char* at = FpuOf(area, ucontext);
  if (at == nullptr) return false;
  // No component is in use; MXCSR is loaded all the same.
  auto* state = reinterpret_cast<uint8_t*>(at);
  Poke<uint16_t>(state + kFcw, 0x37f);
  Poke<uint32_t>(state + kMxcsr, 0x1f80);
  Poke<uint64_t>(state + kHeader, 0);
  return true;
}

void ReadFpu(const StubArea& area, const StubUcontext& ucontext, uint8_t* state) {
  const FpuLayout& layout = FpuLayout::Get();
  const char* from = FpuOf(area, ucontext);
  if (from == nullptr) return layout.Reset(state);
  memcpy(state, from, layout.frame_size());
  _fpx_sw_bytes bytes;
  memcpy(&bytes, state + kSoftware, sizeof bytes);
  if (bytes.magic1 != FP_XSTATE_MAGIC1 || bytes.xstate_size != layout.size())
    return layout.Reset(state);
  layout.Sanitize(state);
}

void LoadRegisters(const StubUcontext& ucontext, Registers& registers) {
  registers.r8 = ucontext.r8;
  registers.r9 = ucontext.r9;
  registers.r10 = ucontext.r10;
  registers.r11 = ucontext.r11;
  registers.r12 = ucontext.r12;
  registers.r13 = ucontext.r13;
  registers.r14 = ucontext.r14;
  registers.r15 = ucontext.r15;
  registers.rdi = ucontext.rdi;
  registers.rsi = ucontext.rsi;
  registers.rbp = ucontext.rbp;
  registers.rbx = ucontext.rbx;
  registers.rdx = ucontext.rdx;
  registers.rax = ucontext.rax;
  registers.rcx = ucontext.rcx;
  registers.rsp = ucontext.rsp;
  registers.rip = ucontext.rip;
  registers.eflags = ucontext.eflags;
  registers.cs = ucontext.cs == kUserCode32 ? kUserCode32 : kUserCode;
  registers.ss = kUserData;
  registers.ds = registers.es = registers.fs = registers.gs = 0;
}

void ReadSignalInfo(const StubArea& area, uint64_t siginfo, int& code, uint64_t& address) {
  const uint64_t offset = siginfo - area.remote;
  if (offset % 8 != 0 || offset > STUB_AREA_HEADER - 128) return;
  memcpy(&code, area.local + offset + 8, sizeof code);
  memcpy(&address, area.local + offset + 16, sizeof address);
}

void WriteRegisters(const StubArea& area, uint32_t offset, const Registers& registers) {
  StubUcontext ucontext = ReadUcontext(area, offset);
  FillUcontext(area, offset, ucontext.fpstate, registers);
}

void WriteRax(const StubArea& area, uint32_t offset, uint64_t rax) {
  memcpy(area.local + offset + offsetof(StubUcontext, rax), &rax, sizeof rax);
}

void WriteFrame(const StubArea& area, const Registers& registers, const uint8_t* fpu_state) {
  const FpuLayout& layout = FpuLayout::Get();
  memcpy(area.local + StandardFpuOffset(), fpu_state, layout.frame_size());
  FillUcontext(area, StandardFrameOffset(), area.remote + StandardFpuOffset(), registers);
}

void WriteBases(const StubArea& area, const Registers& registers) {
  const uint64_t bases[2] = {Bounded(registers.fs_base), Bounded(registers.gs_base)};
  memcpy(area.local + STUB_AREA_HEADER, bases, sizeof bases);
}

}  // namespace platform::systrap
