// Attributes of several files of a directory in one round trip, which its listing left out because most who list a directory do not want them.

#include <sys/stat.h>

#include "vfs/fs/gofer/directory.h"

namespace goferfs {

using gofer::Reader;
using gofer::WireAttributes;

std::optional<WireAttributes> DirectoryInode::StatFiles(std::string_view name) {
  constexpr size_t kFirst = 16;
  stat_run_ = stat_run_ == 0 ? kFirst : gofer::kMaxStatFiles;
  RefPtr<Listing> listing = contents_->listing();
  const size_t size = contents_->size();
  absl::InlinedVector<std::string_view, kFirst> names{name};
  size_t room = gofer::kMaxMessage / 2;
  // Those behind it, then those before it.
  size_t at = contents_->IndexOf(*contents_->Find(name));
  for (size_t i = 1; i < size && names.size() < stat_run_ && room > gofer::kMaxName; i++) {
    at = at + 1 < size ? at + 1 : 0;
    if (contents_->at(at).told()) continue;
    names.push_back(listing->name(at));
    room -= names.back().size() + 1;
  }
  // The walk to a single one brings a handle too.
  if (names.size() == 1 && has_handle()) return std::nullopt;
  if (names.size() > 1) gofer_fs().listed().NoteAttributesUsed();
  Result<std::optional<WireAttributes>> first = StatFilesCall(names);
  return first.ok() ? *first : std::nullopt;
}

Result<std::optional<WireAttributes>> DirectoryInode::StatFilesCall(std::span<const std::string_view> names) {
  Way way = TRY(FindWay());
  uint64_t changes = gofer_fs().changes();
  Exchange exchange(connection());
  exchange.Begin(gofer::Opcode::kStatFiles, way.handle);
  exchange.Put(gofer::FilesRequest{static_cast<uint16_t>(names.size()), static_cast<uint16_t>(way.names.size())});
  for (const std::string& each : way.names) exchange.PutName(each);
  for (std::string_view each : names) exchange.PutName(each);
  Reader in = TRY(exchange.Run());
  auto first = TRY(exchange.Take<gofer::FileReply>(in));
  for (std::string_view name : names.subspan(1)) {
    auto file = TRY(exchange.Take<gofer::FileReply>(in));
    if (changes != gofer_fs().changes()) continue;
    Contents::Known* known = contents_->Find(name);
    if (file.error == 0 && known != nullptr && !known->told()) contents_->Tell(*known, file.attributes, gofer_fs().MayKeep(file.attributes));
  }
  if (first.error != 0) return std::optional<WireAttributes>();
  return std::optional<WireAttributes>(first.attributes);
}

}  // namespace goferfs
