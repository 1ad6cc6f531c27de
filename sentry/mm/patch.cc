// Code that the platform replaces (platform::AddressSpace::ReplaceCall).

#include <algorithm>
#include <array>
#include <cstring>

#include "sentry/mm/memory_manager.h"

namespace mm {

using base::PageDown;

namespace {

constexpr uint64_t kCallLength = 2;  // of `syscall`
constexpr size_t kMostSeen = 1024;  // then no more are replaced

// A private mapping of a file that the application executes and does not write.
bool MayReplace(const Vma& vma) {
  return !vma.shared() && vma.mappable && (vma.prot & (PROT_EXEC | PROT_WRITE)) == PROT_EXEC;
}

}  // namespace

std::optional<platform::CodePatch> MemoryManager::PatchOfCall(uint64_t ip) {
  using platform::CodePatch;
  if (seen_calls_.size() == kMostSeen || seen_calls_.contains(ip - kCallLength)) return std::nullopt;
  uint8_t code[CodePatch::kWindow] = {};
  if (CopyInPartial(code, ip - CodePatch::kBefore, sizeof code) < CodePatch::kBefore) return std::nullopt;
  return space_->ReplaceCall(ip, code);
}

void MemoryManager::ReplaceCall(uint64_t ip) {
  const Vma* vma = vmas_.Find(ip - 1);
  if (vma == nullptr || !MayReplace(*vma)) return;
  if (std::optional<platform::CodePatch> patch = PatchOfCall(ip)) (void)Patch(*patch, /*flush=*/ConcurrentlyUsed());
}

std::vector<FilePlace> MemoryManager::Calls() const {
  std::vector<FilePlace> places;
  for (uint64_t ip : space_->Calls()) {
    const Vma* vma = vmas_.Find(ip - 1);
    if (vma != nullptr && vma->file && MayReplace(*vma)) places.push_back({vma->file, vma->OffsetOf(ip - 1) + 1});
  }
  return places;
}

std::vector<RefPtr<vfs::FileDescription>> MemoryManager::ExecutableFiles() const {
  std::vector<RefPtr<vfs::FileDescription>> files;
  for (const auto& [start, vma] : vmas_.map()) {
    if (MayReplace(*vma) && vma->file && (files.empty() || files.back() != vma->file)) files.push_back(vma->file);
  }
  return files;
}

void MemoryManager::ReplaceCalls(const vfs::FileDescription& file, std::span<const uint64_t> offsets) {
  std::vector<uint64_t> calls;
  for (const auto& [start, vma] : vmas_.map()) {
    if (vma->file.get() != &file || !MayReplace(*vma)) continue;
    auto first = std::upper_bound(offsets.begin(), offsets.end(), vma->offset);
    for (; first != offsets.end() && *first - vma->offset <= vma->length(); ++first) calls.push_back(vma->start + (*first - vma->offset));
  }
  // Reading the code may park, and everything may be different after it.
  std::vector<std::pair<uint64_t, platform::CodePatch>> patches;
  auto still_there = [&](uint64_t ip) {
    const Vma* vma = vmas_.Find(ip - 1);
    return vma != nullptr && vma->file.get() == &file && MayReplace(*vma);
  };
  for (uint64_t ip : calls) {
    if (!still_there(ip)) continue;
    if (std::optional<platform::CodePatch> patch = PatchOfCall(ip)) patches.emplace_back(ip, *patch);
  }
  // The pages were read just now. One at a time, with all of its calls.
  uint64_t page = 0;
  char content[kPageSize];
  bool any = false;
  auto finish = [&] {
    if (std::exchange(any, false)) (void)ReplacePages(page, content, /*flush=*/false);
  };
  for (const auto& [ip, patch] : patches) {
    if (!still_there(ip) || seen_calls_.contains(ip - kCallLength)) continue;
    if (!any || page != PageDown(patch.address)) {
      finish();
      page = PageDown(patch.address);
      any = CopyInPartial(content, page, kPageSize, /*force=*/true) == kPageSize;
    }
    if (any) memcpy(content + (patch.address - page), patch.bytes.data(), patch.length);
  }
  finish();
  if (ConcurrentlyUsed() && !patches.empty()) (void)space_->Flush();
}

void MemoryManager::RestoreCalls() {
  // Its threads may be running.
  for (const platform::CodePatch& patch : space_->OriginalCalls()) (void)Patch(patch, /*flush=*/true);
}

void MemoryManager::RestoreCalls(uint64_t address) {
  if (seen_calls_.size() < kMostSeen) seen_calls_.insert(address);
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
