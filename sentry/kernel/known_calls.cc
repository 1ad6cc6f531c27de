#include "sentry/kernel/known_calls.h"

#include <algorithm>

namespace kernel {

namespace {
constexpr size_t kMostFiles = 256, kMostCalls = 128;
}  // namespace

Result<KnownCalls::Key> KnownCalls::KeyOf(const Credentials& creds, vfs::FileDescription& file) {
  return Key{creds.user_ns.get(), creds.ruid,      creds.euid, creds.suid, creds.rgid, creds.egid,
             creds.sgid,          creds.permitted, TRY(vfs::FileVersion::Of(file))};
}

void KnownCalls::Note(const Credentials& creds, vfs::FileDescription& file, uint64_t offset) {
  Result<Key> key = KeyOf(creds, file);
  if (!key.ok()) return;
  if (calls_.size() == kMostFiles && !calls_.contains(*key)) calls_.clear();
  Calls& calls = calls_[*key];
  calls.user_ns = creds.user_ns;
  auto at = std::lower_bound(calls.offsets.begin(), calls.offsets.end(), offset);
  if (calls.offsets.size() == kMostCalls || (at != calls.offsets.end() && *at == offset)) return;
  calls.offsets.insert(at, offset);
}

std::vector<uint64_t> KnownCalls::Of(const Credentials& creds, vfs::FileDescription& file) const {
  if (calls_.empty()) return {};
  Result<Key> key = KeyOf(creds, file);
  if (!key.ok()) return {};
  auto found = calls_.find(*key);
  return found == calls_.end() ? std::vector<uint64_t>() : found->second.offsets;
}

}  // namespace kernel
