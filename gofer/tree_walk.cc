#include "gofer/tree_walk.h"

#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/host.h"
#include "gofer/entry_writer.h"
#include "gofer/server.h"

namespace gofer {

namespace {

template <class Visit>
Result<void> ForEach(const char* entries, long size, Visit visit) {
  for (long at = 0; at < size;) {
    auto* entry = reinterpret_cast<const LinuxDirent*>(entries + at);
    at += entry->d_reclen;
    std::string_view name(entry->d_name);
    if (ValidName(name)) TRY(visit(*entry, name));
  }
  return {};
}

// Tells of all entries of a directory, and collects its subdirectories.
Result<void> PutListing(int directory, const WireAttributes& attributes, Attributes wanted, Writer& out,
                        std::vector<std::string>& subdirectories) {
  WireListing listing{.dev = attributes.dev, .ino = attributes.ino, .count = 0};
  if (out.room() < sizeof listing) return Errno::kEFBIG;
  size_t header_at = out.Reserve<WireListing>();
  EntryWriter writer(directory, attributes.dev, wanted, out);
  alignas(LinuxDirent) char buffer[16 * 1024];
  while (long size = TRY(HOST(syscall(SYS_getdents64, directory, buffer, sizeof buffer)))) {
    // Before anybody is asked for attributes.
    size_t needed = 0;
    TRY(ForEach(buffer, size, [&](const LinuxDirent& entry, std::string_view name) -> Result<void> {
      needed += writer.LeastSize(entry, name);
      return {};
    }));
    if (needed > out.room()) return Errno::kEFBIG;
    TRY(ForEach(buffer, size, [&](const LinuxDirent& entry, std::string_view name) -> Result<void> {
      if (S_ISDIR(TRY(writer.Put(entry, name)))) subdirectories.emplace_back(name);
      listing.count++;
      return {};
    }));
  }
  out.Fill(header_at, listing);
  return {};
}

}  // namespace

TreeWalk::TreeWalk(Fd directory, std::vector<std::string> names) {
  levels_.push_back({.directory = std::move(directory), .names = std::move(names)});
}

Result<void> TreeWalk::ListNext(Writer& out, Attributes wanted) {
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
    return PutListing(below.directory.get(), attributes, wanted, out, below.names);
  };
  Result<void> listed = list();
  if (!listed.ok()) out.Truncate(start);
  if (listed.error() == Errno::kEFBIG) return listed;
  level.next++;
  if (listed.ok() && !below.names.empty() && levels_.size() < kMaxTreeDepth) levels_.push_back(std::move(below));
  return listed;
}

void TreeWalk::Fill(Writer& out, size_t size, Attributes attributes) {
  while (out.size() < size && !levels_.empty()) {
    if (ListNext(out, attributes).error() != Errno::kEFBIG) continue;
    if (out.size() > sizeof(ReplyHeader)) break;
    levels_.back().next++;
  }
}

}  // namespace gofer
