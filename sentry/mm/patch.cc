// Code that the platform replaces (platform::AddressSpace::ReplaceCall).

#include <algorithm>
#include <array>
#include <cstring>

#include "sentry/mm/memory_manager.h"

namespace mm {

using base::PageDown;

namespace {
constexpr uint64_t kCallLength = 2;  // of `syscall`
constexpr size_t kMostSeen = 1024;   // then no more are replaced
}  // namespace

// What to write to replace the call that returned to `ip`. May park before it reads the code, not after.
std::optional<platform::CodePatch> MemoryManager::PatchOfCall(uint64_t ip) {
  using platform::CodePatch;
  if (ReplaceableAt(ip - 1) == nullptr) return std::nullopt;
  uint8_t code[CodePatch::kWindow] = {};
  if (CopyInPartial(code, ip - CodePatch::kBefore, sizeof code) < CodePatch::kBefore) return std::nullopt;
  if (seen_calls_.size() == kMostSeen || seen_calls_.contains(ip - kCallLength)) return std::nullopt;
  return space_->ReplaceCall(ip, code);
}

// A private mapping of a file that the application executes and does not write.
const Vma* MemoryManager::ReplaceableAt(uint64_t address) const {
  const Vma* vma = vmas_.Find(address);
  if (vma == nullptr || vma->shared() || !vma->mappable) return nullptr;
  return (vma->prot & (PROT_EXEC | PROT_WRITE)) == PROT_EXEC ? vma : nullptr;
}

void MemoryManager::ReplaceCall(uint64_t ip) {
  if (std::optional<platform::CodePatch> patch = PatchOfCall(ip)) WritePatches({*patch}, /*flush=*/ConcurrentlyUsed());
}

std::vector<FileCalls> MemoryManager::Calls() const {
  std::vector<uint64_t> ips = space_->Calls();
  std::sort(ips.begin(), ips.end());
  std::vector<FileCalls> calls;
  for (const auto& [start, vma] : vmas_.map()) {
    if (!vma->file || ReplaceableAt(vma->start) == nullptr) continue;
    if (calls.empty() || calls.back().file != vma->file) calls.push_back({vma->file, {}});
    auto ip = std::upper_bound(ips.begin(), ips.end(), vma->start);
    for (; ip != ips.end() && *ip <= vma->end; ++ip) calls.back().offsets.push_back(vma->offset + (*ip - vma->start));
  }
  return calls;
}

void MemoryManager::ReplaceCalls(const vfs::FileDescription& file, std::span<const uint64_t> offsets) {
  std::vector<uint64_t> ips;
  for (const auto& [start, vma] : vmas_.map()) {
    if (vma->file.get() != &file) continue;
    auto first = std::upper_bound(offsets.begin(), offsets.end(), vma->offset);
    for (; first != offsets.end() && *first - vma->offset <= vma->length(); ++first) ips.push_back(vma->start + (*first - vma->offset));
  }
  // Reading the code of one may park, and everything may be different after it.
  std::vector<std::pair<uint64_t, platform::CodePatch>> found;
  for (uint64_t ip : ips) {
    if (std::optional<platform::CodePatch> patch = PatchOfCall(ip)) found.emplace_back(ip, *patch);
  }
  std::vector<platform::CodePatch> patches;
  for (const auto& [ip, patch] : found) {
    const Vma* vma = ReplaceableAt(ip - 1);
    if (vma != nullptr && vma->file.get() == &file && !seen_calls_.contains(ip - kCallLength)) patches.push_back(patch);
  }
  WritePatches(std::move(patches), /*flush=*/ConcurrentlyUsed());
}

void MemoryManager::RestoreCalls() {
  // Its threads may be running.
  WritePatches(space_->OriginalCalls(), /*flush=*/true);
}

void MemoryManager::RestoreCalls(uint64_t address) {
  if (seen_calls_.size() < kMostSeen) seen_calls_.insert(address);
  std::vector<platform::CodePatch> patches = space_->OriginalCalls();
  std::erase_if(patches, [address](const platform::CodePatch& patch) {
    return patch.address > address || address - patch.address >= static_cast<uint64_t>(patch.length);
  });
  WritePatches(std::move(patches), /*flush=*/ConcurrentlyUsed());
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
  Released released;
  (void)ReplacePages(start, content, &released);
  Settle(&released, /*flush=*/false);
}

// Each page once, with all of its patches, and pages that share a patch together. Parks only where a page is not there, and at the end.
void MemoryManager::WritePatches(std::vector<platform::CodePatch> patches, bool flush) {
  if (patches.empty()) return;
  std::sort(patches.begin(), patches.end(), [](const auto& a, const auto& b) { return a.address < b.address; });
  Released released;
  for (auto patch = patches.begin(); patch != patches.end();) {
    const uint64_t start = PageDown(patch->address);
    uint64_t end = start + kPageSize;
    auto behind = patch;
    for (; behind != patches.end() && behind->address < end; ++behind) end = std::max(end, base::PageUp(behind->address + behind->length));
    std::vector<char> content(end - start);
    const bool whole = CopyInPartial(content.data(), start, content.size(), /*force=*/true) == content.size();
    for (auto each = patch; whole && each != behind; ++each) memcpy(&content[each->address - start], each->bytes.data(), each->length);
    const bool written = whole && ReplacePages(start, content, &released).ok();
    for (; patch != behind; ++patch) {
      const uint64_t second = PageDown(patch->address + patch->length - 1);
      if (written && second != PageDown(patch->address)) split_patches_.insert_or_assign(second, *patch);
    }
  }
  Settle(&released, flush);
}

// [start, end) is about to go, or to be somewhere else: a patch that lies on one of its pages and one beside it is undone.
void MemoryManager::UndoSplitPatches(uint64_t start, uint64_t end, Released* released) {
  absl::erase_if(split_patches_, [&](const auto& split) {
    const auto& [second, patch] = split;
    if (second < start || second > end) return false;
    if (second == start || second == end) {
      UndoPatch(second - kPageSize, patch, released);
      UndoPatch(second, patch, released);
    }
    return true;
  });
}

// As far as it lies on this page and is there still.
void MemoryManager::UndoPatch(uint64_t page, const platform::CodePatch& patch, Released* released) {
  auto piece = pmas_.Find(page);
  if (piece == pmas_.end() || !piece->second.in_memory_file()) return;
  char content[kPageSize];
  memcpy(content, base::MemoryFile::Get().At(piece->second.offset + (page - piece->first)), kPageSize);
  const uint64_t first = std::max(patch.address, page), last = std::min(patch.address + patch.length, page + kPageSize);
  const size_t at = first - patch.address;
  if (memcmp(content + (first - page), &patch.bytes[at], last - first) != 0) return;
  for (const platform::CodePatch& original : space_->OriginalCalls()) {
    if (original.address == patch.address) memcpy(content + (first - page), &original.bytes[at], last - first);
  }
  (void)ReplacePages(page, content, released);
}

// By pages that take the place of the old ones at once, so that no thread executes half of a change.
Result<void> MemoryManager::ReplacePages(uint64_t start, std::span<const char> content, Released* released) {
  const uint64_t end = start + content.size();
  const Vma* vma = vmas_.Find(start);
  if (vma == nullptr || vma->end < end || vma->shared()) return Errno::kEFAULT;
  for (uint64_t at = start; at < end;) {
    auto piece = pmas_.Find(at);
    if (piece == pmas_.end()) return Errno::kEFAULT;
    at = piece->second.end;
  }
  Pma fresh{.end = end,
            .offset = TRY(base::MemoryFile::Get().AllocateCopy(content.data(), content.size())),
            .prot = static_cast<uint8_t>(vma->prot),
            .write_ok = true};
  ForgetCache();
  for (uint64_t at = start; at < end;) {
    auto piece = pmas_.Isolate(pmas_.Find(at), start, end);
    const uint64_t next = piece->second.end;
    if (piece->second.in_memory_file()) released->AddPages(piece->second.offset, next - at);
    pmas_.Erase(piece);
    at = next;
  }
  (void)MapPiece(start, fresh, /*precommit=*/true);
  pmas_.Insert(start, std::move(fresh));
  return {};
}

}  // namespace mm
