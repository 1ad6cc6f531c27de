#include "gofer/tree_walk.h"

#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/host.h"
#include "gofer/server.h"

namespace gofer {

namespace {

template <class Visit>
void ForEach(const char* entries, long size, Visit visit) {
  for (long at = 0; at < size;) {
    auto* entry = reinterpret_cast<const LinuxDirent*>(entries + at);
    at += entry->d_reclen;
    std::string_view name(entry->d_name);
    if (ValidName(name)) visit(*entry, name);
  }
}

// Tells of all entries of a directory, and collects its subdirectories.
Result<void> PutListing(int directory, const WireAttributes& attributes, Writer& out, std::vector<std::string>& subdirectories) {
  WireListing listing{.dev = attributes.dev, .ino = attributes.ino, .count = 0};
  if (out.room() < sizeof listing) return Errno::kEFBIG;
  size_t header_at = out.Reserve<WireListing>();
  alignas(LinuxDirent) char buffer[16 * 1024];
  while (long size = TRY(HOST(syscall(SYS_getdents64, directory, buffer, sizeof buffer)))) {
    // Before anybody is asked for attributes.
    size_t needed = 0;
    ForEach(buffer, size, [&](const LinuxDirent&, std::string_view name) { needed += sizeof(WireDirent) + name.size(); });
    if (needed > out.room()) return Errno::kEFBIG;
    ForEach(buffer, size, [&](const LinuxDirent& entry, std::string_view name) {
      if (S_ISDIR(PutEntry(directory, entry, true, out))) subdirectories.emplace_back(name);
      listing.count++;
    });
  }
  out.Fill(header_at, listing);
  return {};
}

}  // namespace

TreeWalk::TreeWalk(Fd directory, std::vector<std::string> names) {
  levels_.push_back({.directory = std::move(directory), .names = std::move(names)});
}

Result<void> TreeWalk::ListNext(Writer& out) {
  while (!levels_.empty() && levels_.back().next == levels_.back().names.size()) levels_.pop_back();
  if (levels_.empty()) return Errno::kENOENT;
  Level& level = levels_.back();
  const std::string& name = level.names[level.next];
  const size_t start = out.size();
  Level below;
  auto list = [&]() -> Result<void> {
    below.directory = TRY(OpenDirectoryAt(level.directory.get(), name.c_str()));
    WireAttributes attributes = TRY(StatPath(below.directory.get()));
    below.dev = attributes.dev;
    if (level.dev != 0 && below.dev != level.dev) return Errno::kEXDEV;
    return PutListing(below.directory.get(), attributes, out, below.names);
  };
  Result<void> listed = list();
  if (!listed.ok()) out.Truncate(start);
  if (listed.error() == Errno::kEFBIG) return listed;
  level.next++;
  if (listed.ok() && !below.names.empty() && levels_.size() < kMaxTreeDepth) levels_.push_back(std::move(below));
  return listed;
}

void TreeWalk::Fill(Writer& out, size_t size) {
  while (out.size() < size && !levels_.empty()) {
    if (ListNext(out).error() != Errno::kEFBIG) continue;
    if (out.size() > sizeof(ReplyHeader)) break;
    levels_.back().next++;
  }
}

}  // namespace gofer
