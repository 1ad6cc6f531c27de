// Code that the platform replaces (platform::AddressSpace::ReplaceCall).

#include <algorithm>
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

// By a page of its own that takes the place of the old one at once, so that no thread executes half of it.
Result<void> MemoryManager::Patch(const platform::CodePatch& patch, bool flush) {
  const uint64_t page = PageDown(patch.address);
  char content[kPageSize];
  if (CopyInPartial(content, page, kPageSize, /*force=*/true) < kPageSize) return Errno::kEFAULT;
  memcpy(content + (patch.address - page), patch.bytes.data(), patch.length);
  const Vma* vma = vmas_.Find(patch.address);
  auto piece = pmas_.Find(page);
  if (vma == nullptr || vma->shared() || piece == pmas_.end() || piece->second.end < page + kPageSize) return Errno::kEFAULT;
  Pma fresh{.end = page + kPageSize,
            .offset = TRY(base::MemoryFile::Get().AllocateCopy(content, kPageSize)),
            .prot = static_cast<uint8_t>(vma->prot),
            .write_ok = true};
  ForgetCache();
  Released released;
  piece = pmas_.Isolate(piece, page, page + kPageSize);
  if (piece->second.in_memory_file()) released.AddPages(piece->second.offset, kPageSize);
  pmas_.Erase(piece);
  (void)MapPiece(page, fresh, /*precommit=*/true);
  pmas_.Insert(page, std::move(fresh));
  Settle(&released, flush);
  return {};
}

}  // namespace mm
