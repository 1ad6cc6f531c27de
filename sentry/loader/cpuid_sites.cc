#include "sentry/loader/cpuid_sites.h"

#include <elf.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <optional>

#include "sentry/loader/elf_file.h"
#include "sentry/loader/x86_length.h"
#include "vfs/file_version.h"

namespace loader {

namespace {

constexpr uint64_t kMaxFileSize = 1 << 20;
constexpr size_t kMaxFiles = 16;
// Encodings of pointers: what binutils and lld write.
constexpr uint8_t kUdata4 = 0x03, kDatarelSdata4 = 0x3b;

class Image {
 public:
  explicit Image(std::span<const uint8_t> file) : file_(file) {
    std::optional<Elf64_Ehdr> header = At<Elf64_Ehdr>(0);
    if (!header || header->e_phentsize != sizeof(Elf64_Phdr)) return;
    for (int i = 0; i < header->e_phnum; i++) {
      std::optional<Elf64_Phdr> segment = At<Elf64_Phdr>(header->e_phoff + i * sizeof(Elf64_Phdr));
      if (!segment) return;
      if (segment->p_type == PT_LOAD) segments_.push_back(*segment);
      if (segment->p_type == PT_GNU_EH_FRAME) ReadFunctionTable(segment->p_vaddr);
    }
  }

  std::vector<uint64_t> FindCpuid() const {
    std::vector<uint64_t> sites;
    for (const Elf64_Phdr& segment : segments_) {
      if ((segment.p_flags & PF_X) != 0) FindIn(segment, &sites);
    }
    return sites;
  }

 private:
  struct Function {
    uint64_t start, description;  // address of its FDE
  };
  struct TableEntry {
    int32_t start, description;  // relative to the table
  };
  struct TableHeader {
    uint8_t version, frame_encoding, count_encoding, table_encoding;
    int32_t frame;
    uint32_t count;
  };
  struct FrameDescription {
    uint32_t length, cie;
    int32_t start;  // relative to itself
    uint32_t size;
  };

  template <class T>
  std::optional<T> At(uint64_t offset) const {
    if (offset > file_.size() || file_.size() - offset < sizeof(T)) return std::nullopt;
    T value;
    memcpy(&value, file_.data() + offset, sizeof value);
    return value;
  }
  template <class T>
  std::optional<T> AtAddress(uint64_t address) const {
    for (const Elf64_Phdr& s : segments_) {
      if (address >= s.p_vaddr && address - s.p_vaddr < s.p_filesz) return At<T>(s.p_offset + (address - s.p_vaddr));
    }
    return std::nullopt;
  }

  // Segments that are loaded come first in all files that linkers write.
  void ReadFunctionTable(uint64_t address) {
    std::optional<TableHeader> header = AtAddress<TableHeader>(address);
    if (!header || header->version != 1 || header->count_encoding != kUdata4 || header->table_encoding != kDatarelSdata4) return;
    for (uint32_t i = 0; i < header->count; i++) {
      std::optional<TableEntry> entry = AtAddress<TableEntry>(address + sizeof(TableHeader) + i * sizeof(TableEntry));
      if (!entry) break;
      functions_.push_back({address + entry->start, address + entry->description});
    }
    std::sort(functions_.begin(), functions_.end(), [](const Function& a, const Function& b) { return a.start < b.start; });
  }

  // The function at or in front of `address`; where it ends, or 0.
  const Function* FunctionAt(uint64_t address, uint64_t* end) const {
    auto next = std::upper_bound(functions_.begin(), functions_.end(), address,
                                 [](uint64_t a, const Function& function) { return a < function.start; });
    if (next == functions_.begin()) return nullptr;
    const Function& function = *std::prev(next);
    std::optional<FrameDescription> fde = AtAddress<FrameDescription>(function.description);
    if (!fde || function.description + offsetof(FrameDescription, start) + fde->start != function.start) return nullptr;
    *end = function.start + fde->size;
    return address < *end ? &function : nullptr;
  }

  void FindIn(const Elf64_Phdr& segment, std::vector<uint64_t>* sites) const {
    if (segment.p_offset > file_.size() || file_.size() - segment.p_offset < segment.p_filesz) return;
    std::span<const uint8_t> code = file_.subspan(segment.p_offset, segment.p_filesz);
    const Function* function = nullptr;
    size_t position = 0;  // an instruction of the function
    // The second byte is the rarer one.
    for (size_t at = 1; at < code.size(); at++) {
      const void* second = memchr(&code[at], 0xa2, code.size() - at);
      if (second == nullptr) break;
      at = static_cast<const uint8_t*>(second) - code.data();
      if (code[at - 1] != 0x0f) continue;
      const size_t found = at - 1;
      uint64_t end = 0;
      const Function* around = FunctionAt(segment.p_vaddr + found, &end);
      if (around == nullptr || around->start < segment.p_vaddr) continue;
      if (around != function) position = around->start - segment.p_vaddr;
      function = around;
      while (position < found) {
        size_t length = InstructionLength(code.subspan(position));
        if (length == 0) break;
        position += length;
      }
      if (position == found) sites->push_back(segment.p_vaddr + found);
    }
  }

  const std::span<const uint8_t> file_;
  std::vector<Elf64_Phdr> segments_;
  std::vector<Function> functions_;
};

}  // namespace

std::vector<uint64_t> FindCpuid(std::span<const uint8_t> file) { return Image(file).FindCpuid(); }

std::vector<uint64_t> CpuidSitesOf(vfs::FileDescription& file) {
  static std::map<vfs::FileVersion, std::vector<uint64_t>> known;
  Result<vfs::FileVersion> version = vfs::FileVersion::Of(file);
  if (!version.ok() || version->size > kMaxFileSize) return {};
  if (auto found = known.find(*version); found != known.end()) return found->second;
  std::vector<uint8_t> content(version->size);
  Result<size_t> size = ReadFile(file, content.data(), content.size(), 0);
  if (!size.ok()) return {};
  content.resize(*size);
  std::vector<uint64_t> sites = FindCpuid(content);
  if (known.size() == kMaxFiles) known.clear();
  known.emplace(*version, sites);
  return sites;
}

}  // namespace loader
