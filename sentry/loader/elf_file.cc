#include "sentry/loader/elf_file.h"

#include <linux/limits.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstring>

#include "base/memory_file.h"

namespace loader {

using base::PageDown;
using base::PageUp;

Result<size_t> ReadFile(vfs::FileDescription& file, void* to, size_t size, uint64_t offset) {
  size_t done = 0;
  while (done < size) {
    size_t n = TRY(file.ReadAt(IoVec(static_cast<char*>(to) + done, size - done), offset + done, 0));
    if (n == 0) break;
    done += n;
  }
  return done;
}

Result<ElfFile> ElfFile::Parse(RefPtr<vfs::FileDescription> file, uint64_t max_address) {
  ElfFile elf;
  elf.file_ = std::move(file);
  Elf64_Ehdr& h = elf.header_;
  if (TRY(ReadFile(*elf.file_, &h, sizeof h, 0)) < sizeof h) return Errno::kENOEXEC;
  if (memcmp(h.e_ident, ELFMAG, SELFMAG) != 0) return Errno::kENOEXEC;
  if (h.e_ident[EI_CLASS] != ELFCLASS64 || h.e_ident[EI_DATA] != ELFDATA2LSB) return Errno::kENOEXEC;
  if (h.e_type != ET_EXEC && h.e_type != ET_DYN) return Errno::kENOEXEC;
  if (h.e_machine != EM_X86_64) return Errno::kENOEXEC;
  // Linux: load_elf_phdrs().
  if (h.e_phentsize != sizeof(Elf64_Phdr) || h.e_phnum < 1 || h.e_phnum > 65536 / sizeof(Elf64_Phdr)) return Errno::kENOEXEC;
  if (h.e_phoff > INT64_MAX) return Errno::kENOEXEC;

  std::vector<Elf64_Phdr> all(h.e_phnum);
  size_t bytes = all.size() * sizeof(Elf64_Phdr);
  if (TRY(ReadFile(*elf.file_, all.data(), bytes, h.e_phoff)) < bytes) return Errno::kENOEXEC;
  for (const Elf64_Phdr& segment : all) {
    switch (segment.p_type) {
      case PT_LOAD:
        elf.segments_.push_back(segment);
        break;
      case PT_INTERP:
        if (elf.interpreter_.empty()) TRY(elf.ReadInterpreter(segment));
        break;
      case PT_GNU_STACK:
        elf.executable_stack_ = (segment.p_flags & PF_X) != 0;
        break;
      case PT_PHDR:
        elf.phdr_vaddr_ = segment.p_vaddr;
        break;
      default:
        break;
    }
  }
  TRY(elf.CheckSegments(max_address));
  return elf;
}

Result<void> ElfFile::ReadInterpreter(const Elf64_Phdr& segment) {
  if (segment.p_filesz < 2 || segment.p_filesz > PATH_MAX || segment.p_offset > INT64_MAX) return Errno::kENOEXEC;
  std::string path(segment.p_filesz, '\0');
  if (TRY(ReadFile(*file_, path.data(), path.size(), segment.p_offset)) < path.size()) return Errno::kEIO;
  if (path.back() != '\0') return Errno::kENOEXEC;
  path.resize(strlen(path.c_str()));
  if (path.empty()) return Errno::kENOENT;
  interpreter_ = std::move(path);
  return {};
}

Result<void> ElfFile::CheckSegments(uint64_t max_address) {
  if (segments_.empty()) return Errno::kENOEXEC;
  low_ = UINT64_MAX;
  for (const Elf64_Phdr& s : segments_) {
    if (s.p_filesz > s.p_memsz) return Errno::kEINVAL;
    if (s.p_memsz > max_address || s.p_vaddr > max_address - s.p_memsz) return Errno::kENOMEM;
    if (s.p_filesz > 0) {
      if (s.p_vaddr % kPageSize != s.p_offset % kPageSize) return Errno::kEINVAL;
      if (s.p_offset > INT64_MAX || s.p_filesz > INT64_MAX - s.p_offset) return Errno::kEINVAL;
    }
    low_ = std::min(low_, PageDown(s.p_vaddr));
    high_ = std::max(high_, PageUp(s.p_vaddr + s.p_memsz));
    // Linux: maximum_alignment() ignores what is no power of two.
    if (s.p_align > alignment_ && (s.p_align & (s.p_align - 1)) == 0 && s.p_align <= (uint64_t{1} << 30)) {
      alignment_ = s.p_align;
    }
  }
  if (high_ > max_address || low_ >= high_) return Errno::kENOMEM;
  return {};
}

Result<void> ElfFile::MapSegments(mm::MemoryManager& memory, uint64_t bias) const {
  for (const Elf64_Phdr& s : segments_) {
    if (s.p_memsz == 0) continue;
    int prot = ((s.p_flags & PF_R) != 0 ? PROT_READ : 0) | ((s.p_flags & PF_W) != 0 ? PROT_WRITE : 0) |
               ((s.p_flags & PF_X) != 0 ? PROT_EXEC : 0);
    uint64_t start = PageDown(s.p_vaddr) + bias;
    uint64_t file_end = s.p_vaddr + s.p_filesz + bias;
    uint64_t end = PageUp(s.p_vaddr + s.p_memsz + bias);
    uint64_t anonymous = start;
    if (s.p_filesz > 0) {
      anonymous = PageUp(file_end);
      TRY(memory.Map({.address = start,
                      .length = anonymous - start,
                      .prot = prot,
                      .flags = MAP_PRIVATE | MAP_FIXED,
                      .file = file_,
                      .offset = PageDown(s.p_offset)}));
    }
    if (end > anonymous) {
      TRY(memory.Map({.address = anonymous,
                      .length = end - anonymous,
                      .prot = prot,
                      .flags = MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS}));
    }
    if (s.p_filesz > 0 && s.p_memsz > s.p_filesz && file_end < anonymous && (prot & PROT_WRITE) != 0) {
      // .bss begins within the last page of the file's part: all of the rest of the page reads as zeroes, also behind the end of
      // .bss, where the dynamic loader allocates from. Linux: padzero().
      char zeros[kPageSize] = {};
      TRY(memory.CopyOut(file_end, zeros, anonymous - file_end));
    }
  }
  return {};
}

uint64_t ElfFile::ProgramHeaderAddress() const {
  if (phdr_vaddr_ != 0) return phdr_vaddr_;
  for (const Elf64_Phdr& s : segments_) {
    if (s.p_offset <= header_.e_phoff && header_.e_phoff - s.p_offset < s.p_filesz) {
      return header_.e_phoff - s.p_offset + s.p_vaddr;
    }
  }
  return 0;
}

}  // namespace loader
