#pragma once

// Allow-lists of host system calls as data: a number, the reason it is needed, and what its
// arguments must be. Several rules of one number are alternatives. What no rule allows kills the
// process.

#include <cstdint>
#include <span>
#include <vector>

#include "sentry/boot/status.h"

namespace boot {

struct ArgCheck {
  enum Op : uint8_t {
    kNone,
    kEqual,    // argument == value
    kMasked,   // (argument & mask) == value
    kSelfPid,  // argument == getpid()
  };
  unsigned index = 0;
  Op op = kNone;
  uint64_t value = 0;
  uint64_t mask = 0;
};

inline constexpr ArgCheck Arg(unsigned index, uint64_t value) {
  return {index, ArgCheck::kEqual, value, 0};
}
// No bit of `bits` may be set.
inline constexpr ArgCheck ArgWithout(unsigned index, uint64_t bits) {
  return {index, ArgCheck::kMasked, 0, bits};
}
// All bits of `bits` must be set.
inline constexpr ArgCheck ArgWith(unsigned index, uint64_t bits) {
  return {index, ArgCheck::kMasked, bits, bits};
}
inline constexpr ArgCheck ArgSelf(unsigned index) { return {index, ArgCheck::kSelfPid, 0, 0}; }

struct SyscallRule {
  int nr;
  const char* why;
  ArgCheck args[3] = {};
};

// A call that fails with an error instead of killing: for what libraries try and can do without.
struct SyscallRefusal {
  int nr;
  int error;  // errno value
  const char* why;
};

enum class FilterAction {
  kKill,  // the process
  kLog,   // the host logs it and lets it pass; for debugging only
};

// Builds the filter and installs it in the calling process, which has no_new_privs set and one
// thread.
Status InstallFilter(std::span<const SyscallRule> rules, std::span<const SyscallRefusal> refusals,
                     std::span<const int> unconditional, FilterAction otherwise);

}  // namespace boot
