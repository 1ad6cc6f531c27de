#include "sentry/kernel/known_calls.h"

#include <algorithm>

namespace kernel {

namespace {
constexpr size_t kMostFiles = 256, kMostCalls = 128;
}  // namespace

std::vector<uint64_t> KnownCalls::Learn(const Credentials& creds, vfs::FileDescription& file, std::span<const uint64_t> shown) {
  if (calls_.empty() && shown.empty()) return {};
  Result<vfs::FileVersion> version = vfs::FileVersion::Of(file);
  if (!version.ok()) return {};
  const Key key{creds.user_ns.get(), creds.ruid,      creds.euid, creds.suid, creds.rgid, creds.egid,
                creds.sgid,          creds.permitted, *version};
  auto found = calls_.find(key);
  if (found == calls_.end()) {
    if (shown.empty()) return {};
    if (calls_.size() == kMostFiles) calls_.clear();
    found = calls_.emplace(key, Calls{creds.user_ns, {}}).first;
  }
  std::vector<uint64_t>& offsets = found->second.offsets;
  for (uint64_t offset : shown) {
    auto at = std::lower_bound(offsets.begin(), offsets.end(), offset);
    if (offsets.size() < kMostCalls && (at == offsets.end() || *at != offset)) offsets.insert(at, offset);
  }
  return offsets;
}

}  // namespace kernel
