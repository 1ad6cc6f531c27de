// Code that the platform replaces (platform::AddressSpace::ReplaceCall).

#include <algorithm>
#include <array>
#include <cstring>

#include "sentry/mm/memory_manager.h"

namespace mm {

using base::PageDown;

void MemoryManager::ReplaceCall(uint64_t ip) {
  using platform::CodePatch;
  const Vma* vma = vmas_.Find(ip - 1);
  // A private mapping of a file that the application executes and does not write.
  if (vma == nullptr || vma->shared() || !vma->mappable || (vma->prot & (PROT_EXEC | PROT_WRITE)) != PROT_EXEC) return;
  uint8_t code[CodePatch::kWindow] = {};
  if (CopyInPartial(code, ip - CodePatch::kBefore, sizeof code) < CodePatch::kBefore) return;
  if (std::optional<CodePatch> patch = space_->ReplaceCall(ip, code)) (void)Patch(*patch, /*flush=*/ConcurrentlyUsed());
}

void MemoryManager::RestoreCalls() {
  // Its threads may be running.
  for (const platform::CodePatch& patch : space_->OriginalCalls()) (void)Patch(patch, /*flush=*/true);
}

void MemoryManager::RestoreCalls(uint64_t address) {
  for (const platform::CodePatch& patch : space_->OriginalCalls()) {
    if (patch.address <= address && address - patch.address < static_cast<uint64_t>(patch.length)) {
      (void)Patch(patch, /*flush=*/ConcurrentlyUsed());
    }
  }
}

void MemoryManager::ReplaceCpuid(std::span<const uint64_t> addresses) {
  static constexpr char kCpuid[] = {0x0f, '\xa2'};
  constexpr uint64_t kMostCode = 64 << 10;
  if (addresses.empty()) return;
  const uint64_t first = addresses.front(), end = addresses.back() + sizeof kCpuid;
  const uint64_t start = PageDown(first);
  std::vector<char> content(base::PageUp(end) - start);
  if (content.size() > kMostCode) return;
  if (CopyInPartial(content.data(), start, content.size(), /*force=*/true) < content.size()) return;
  for (uint64_t address : addresses) {
    if (memcmp(&content[address - start], kCpuid, sizeof kCpuid) != 0) return;
  }
  std::optional<std::array<uint8_t, sizeof kCpuid>> replacement = space_->ReplaceCpuid(first, end - first);
  if (!replacement) return;
  for (uint64_t address : addresses) memcpy(&content[address - start], replacement->data(), sizeof kCpuid);
  (void)ReplacePages(start, content, /*flush=*/false);
}

Result<void> MemoryManager::Patch(const platform::CodePatch& patch, bool flush) {
  const uint64_t page = PageDown(patch.address);
  char content[kPageSize];
  if (CopyInPartial(content, page, kPageSize, /*force=*/true) < kPageSize) return Errno::kEFAULT;
  memcpy(content + (patch.address - page), patch.bytes.data(), patch.length);
  return ReplacePages(page, content, flush);
}

// By pages that take the place of the old ones at once, so that no thread executes half of a change.
Result<void> MemoryManager::ReplacePages(uint64_t start, std::span<const char> content, bool flush) {
  const uint64_t end = start + content.size();
  const Vma* vma = vmas_.Find(start);
  auto piece = pmas_.Find(start);
  if (vma == nullptr || vma->end < end || vma->shared() || piece == pmas_.end() || piece->second.end < end) return Errno::kEFAULT;
  Pma fresh{.end = end,
            .offset = TRY(base::MemoryFile::Get().AllocateCopy(content.data(), content.size())),
            .prot = static_cast<uint8_t>(vma->prot),
            .write_ok = true};
  ForgetCache();
  Released released;
  piece = pmas_.Isolate(piece, start, end);
  if (piece->second.in_memory_file()) released.AddPages(piece->second.offset, content.size());
  pmas_.Erase(piece);
  (void)MapPiece(start, fresh, /*precommit=*/true);
  pmas_.Insert(start, std::move(fresh));
  Settle(&released, flush);
  return {};
}

}  // namespace mm
