#pragma once

// InitialStack: what a new program finds above its stack pointer: argc, argv, envp, auxv and the strings they point to.
// Linux: fs/exec.c copy_strings(), fs/binfmt_elf.c create_elf_tables().

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "sentry/mm/memory_manager.h"

namespace loader {

struct StackContents {
  std::vector<std::string> argv, envp;
  std::string filename;                                // AT_EXECFN
  std::vector<std::pair<uint64_t, uint64_t>> auxv;     // without those that point into the stack, and AT_NULL
  uint8_t random[16] = {};                             // AT_RANDOM
  uint64_t jitter = 0;                                 // bytes to leave free at the top, for randomisation
};

// E2BIG when arguments and environment exceed what `stack_limit` (RLIMIT_STACK) allows.
Result<void> CheckArgumentSize(const std::vector<std::string>& argv, const std::vector<std::string>& envp,
                               const std::string& filename, uint64_t stack_limit);

// Maps the stack below `top`, fills it, notes the places of arguments and environment in `memory`. Returns the initial
// stack pointer.
Result<uint64_t> BuildStack(mm::MemoryManager& memory, uint64_t top, int prot, uint64_t stack_limit,
                            const StackContents& contents);

}  // namespace loader
