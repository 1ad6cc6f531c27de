#pragma once

// ptrace reports the address of a page fault but not the error code with it, so the kind of access
// is read off the instruction that faulted.

#include <sys/user.h>

#include <cstdint>
#include <span>

namespace platform::ptrace {

enum class Access { kRead, kWrite, kUnknown };

// `code` is what can be read at registers.rip, up to 16 bytes; `address` is where the access
// faulted. The instruction is known not to have faulted while it was fetched.
Access DecodeAccess(std::span<const uint8_t> code, const user_regs_struct& registers,
                    uint64_t address);

}  // namespace platform::ptrace
