#pragma once

// Where the code of an ELF file has cpuid instructions. In a virtual machine each is an exit to the hypervisor, and the dynamic
// linker makes 70 before a program begins; the platform has something faster (platform::AddressSpace::ReplaceCpuid).
//
// The bytes 0f a2 may as well be part of another instruction. They count where decoding from the beginning of their function,
// as .eh_frame_hdr has it, arrives at them (Linux Standard Base, Exception Frames). A file that lies harms itself only.

#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "vfs/file_description.h"

namespace loader {

// Addresses as the file has them, ascending. `file`: all of it.
std::vector<uint64_t> FindCpuid(std::span<const uint8_t> file);

// The same of an open file, remembered for as long as it is unchanged; empty where it would take too long. On a fiber.
std::vector<uint64_t> CpuidSitesOf(vfs::FileDescription& file);

}  // namespace loader
