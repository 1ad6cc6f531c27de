#pragma once

// How long x86-64 instructions are: Intel SDM volume 2, chapter 2 and the opcode maps of appendix A.

#include <cstddef>
#include <cstdint>
#include <span>

namespace loader {

// Bytes of the instruction that `code` begins with; 0 when it is none that compilers emit, or does not end in `code`.
size_t InstructionLength(std::span<const uint8_t> code);

}  // namespace loader
