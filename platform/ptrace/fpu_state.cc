#include "platform/ptrace/fpu_state.h"

#include <cpuid.h>
#include <immintrin.h>

#include <algorithm>
#include <cstring>

namespace platform::ptrace {

namespace {

constexpr size_t kFxsaveSize = 512;
constexpr size_t kHeaderSize = 64;
constexpr size_t kMxcsrOffset = 24;
constexpr size_t kSoftwareOffset = 464;
constexpr uint64_t kFpAndSse = 3;
// AMX needs a permission from the host (arch_prctl) that stubs do not ask for.
constexpr uint64_t kUnsupported = (1ULL << 17) | (1ULL << 18);

// Linux: struct _fpx_sw_bytes.
struct SoftwareBytes {
  uint32_t magic1 = 0x46505853;
  uint32_t extended_size;
  uint64_t xfeatures;
  uint32_t xstate_size;
  uint32_t padding[7] = {};
};
static_assert(sizeof(SoftwareBytes) == 48);

struct Header {
  uint64_t xfeatures;
  uint64_t xcomp_bv;
  uint64_t reserved[6];
};
static_assert(sizeof(Header) == kHeaderSize);

[[gnu::target("xsave")]] uint64_t ReadXcr0() { return _xgetbv(0); }

}  // namespace

FpuLayout::FpuLayout() {
  unsigned eax, ebx, ecx, edx;
  host_size_ = guest_size_ = kFxsaveSize + kHeaderSize;
  guest_features_ = kFpAndSse;
  if (__get_cpuid_count(0xd, 0, &eax, &ebx, &ecx, &edx) && ebx >= host_size_) {
    host_size_ = ebx;
    guest_features_ = ReadXcr0() & ~kUnsupported;
    for (unsigned i = 2; i < 63; i++) {
      if ((guest_features_ >> i & 1) == 0 || !__get_cpuid_count(0xd, i, &eax, &ebx, &ecx, &edx))
        continue;
      guest_size_ = std::max<size_t>(guest_size_, eax + ebx);
    }
  }
  alignas(16) uint8_t fxsave[kFxsaveSize] = {};
  _fxsave64(fxsave);
  memcpy(&mxcsr_mask_, fxsave + 28, sizeof mxcsr_mask_);
  if (mxcsr_mask_ == 0)
    mxcsr_mask_ = 0xffbf;  // Intel SDM 11.6.6: the mask of CPUs that report none
}

const FpuLayout& FpuLayout::Get() {
  static const FpuLayout layout;
  return layout;
}

void FpuLayout::FillSoftwareBytes(std::vector<uint8_t>& state) const {
  SoftwareBytes bytes = {.extended_size = static_cast<uint32_t>(guest_size_ + 4),
                         .xfeatures = guest_features_,
                         .xstate_size = static_cast<uint32_t>(guest_size_)};
  memcpy(state.data() + kSoftwareOffset, &bytes, sizeof bytes);
}

std::vector<uint8_t> FpuLayout::InitialState() const {
  std::vector<uint8_t> state(guest_size_);
  uint16_t control_word = 0x37f;
  uint32_t mxcsr = 0x1f80;
  memcpy(state.data(), &control_word, sizeof control_word);
  memcpy(state.data() + kMxcsrOffset, &mxcsr, sizeof mxcsr);
  memcpy(state.data() + kMxcsrOffset + 4, &mxcsr_mask_, sizeof mxcsr_mask_);
  FillSoftwareBytes(state);
  // Features that are not named are in their initial state.
  memcpy(state.data() + kFxsaveSize, &kFpAndSse, sizeof kFpAndSse);
  return state;
}

std::vector<uint8_t> FpuLayout::ToGuest(std::span<const uint8_t> host) const {
  std::vector<uint8_t> state(guest_size_);
  memcpy(state.data(), host.data(), std::min(guest_size_, host.size()));
  Header header;
  memcpy(&header, state.data() + kFxsaveSize, sizeof header);
  header.xfeatures &= guest_features_;
  header.xcomp_bv = 0;
  memcpy(state.data() + kFxsaveSize, &header, sizeof header);
  FillSoftwareBytes(state);
  return state;
}

std::vector<uint8_t> FpuLayout::ToHost(std::span<const uint8_t> guest) const {
  std::vector<uint8_t> state(host_size_);
  memcpy(state.data(), guest.data(), std::min(host_size_, guest.size()));
  return state;
}

Result<std::vector<uint8_t>> FpuLayout::Validate(std::span<const uint8_t> state) const {
  if (state.size() < kFxsaveSize) return Errno::kEINVAL;
  std::vector<uint8_t> out(guest_size_);
  Header header = {.xfeatures = kFpAndSse};
  size_t size = kFxsaveSize;
  if (state.size() >= kFxsaveSize + kHeaderSize) {
    memcpy(&header, state.data() + kFxsaveSize, sizeof header);
    if ((header.xfeatures & ~guest_features_) != 0 || header.xcomp_bv != 0) return Errno::kEINVAL;
    for (uint64_t word : header.reserved) {
      if (word != 0) return Errno::kEINVAL;
    }
    size = std::min(state.size(), guest_size_);
    if (size < guest_size_ && (header.xfeatures & ~kFpAndSse) != 0) return Errno::kEINVAL;
  }
  memcpy(out.data(), state.data(), size);
  memcpy(out.data() + kFxsaveSize, &header, sizeof header);
  uint32_t mxcsr;
  memcpy(&mxcsr, out.data() + kMxcsrOffset, sizeof mxcsr);
  if ((mxcsr & ~mxcsr_mask_) != 0) return Errno::kEINVAL;
  FillSoftwareBytes(out);
  return out;
}

}  // namespace platform::ptrace
