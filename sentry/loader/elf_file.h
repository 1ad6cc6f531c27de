#pragma once

// ElfFile: the parts of an ELF file that execve needs, read and checked. Every field is under the control of whoever wrote the
// file: nothing here is used for an address or a size before it was checked for overflow.

#include <elf.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "sentry/mm/memory_manager.h"
#include "vfs/file_description.h"

namespace loader {

// Reads up to `size` bytes; fewer only at the end of the file.
Result<size_t> ReadFile(vfs::FileDescription& file, void* to, size_t size, uint64_t offset);

class ElfFile {
 public:
  // ENOEXEC unless it is an x86-64 executable or shared object with sane program headers.
  static Result<ElfFile> Parse(RefPtr<vfs::FileDescription> file, uint64_t max_address);

  vfs::FileDescription& file() const { return *file_; }
  const Elf64_Ehdr& header() const { return header_; }
  bool relocatable() const { return header_.e_type == ET_DYN; }
  const std::string& interpreter() const { return interpreter_; }  // PT_INTERP, or empty
  bool executable_stack() const { return executable_stack_; }

  // What the loadable segments span, page aligned, before relocation.
  uint64_t low() const { return low_; }
  uint64_t high() const { return high_; }
  uint64_t alignment() const { return alignment_; }  // the largest p_align, at least a page

  // Maps the segments into `memory` with `bias` added; what is there is replaced.
  Result<void> MapSegments(mm::MemoryManager& memory, uint64_t bias) const;
  // Where the program headers are in memory, for AT_PHDR; 0 when they are in no segment.
  uint64_t ProgramHeaderAddress() const;

  const std::vector<Elf64_Phdr>& segments() const { return segments_; }  // PT_LOAD only

 private:
  Result<void> CheckSegments(uint64_t max_address);
  Result<void> ReadInterpreter(const Elf64_Phdr& segment);

  RefPtr<vfs::FileDescription> file_;
  Elf64_Ehdr header_ = {};
  std::vector<Elf64_Phdr> segments_;
  std::string interpreter_;
  bool executable_stack_ = false;
  uint64_t phdr_vaddr_ = 0;
  uint64_t low_ = 0, high_ = 0, alignment_ = 4096;
};

}  // namespace loader
