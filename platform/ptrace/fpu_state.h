#pragma once

// The XSAVE area in three forms: what ptrace exchanges (the host's whole standard format), what the
// application sees in signal frames (the same without the features it may not use, with Linux's
// software bytes), and the state after execve.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"

namespace platform::ptrace {

class FpuLayout {
 public:
  static const FpuLayout& Get();

  size_t host_size() const { return host_size_; }    // bytes of NT_X86_XSTATE
  size_t guest_size() const { return guest_size_; }  // bytes of an application's state
  uint64_t guest_features() const { return guest_features_; }

  std::vector<uint8_t> InitialState() const;
  // From what the host gave to the application's form.
  std::vector<uint8_t> ToGuest(std::span<const uint8_t> host) const;
  std::vector<uint8_t> ToHost(std::span<const uint8_t> guest) const;
  // Checks and completes a state that an application wrote: at least an FXSAVE area; longer ones
  // have a header that names only known features.
  Result<std::vector<uint8_t>> Validate(std::span<const uint8_t> state) const;

 private:
  FpuLayout();
  void FillSoftwareBytes(std::vector<uint8_t>& state) const;

  size_t host_size_;
  size_t guest_size_;
  uint64_t guest_features_;
  uint32_t mxcsr_mask_;
};

}  // namespace platform::ptrace
