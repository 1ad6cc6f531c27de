// Attributes of several files of a directory in one round trip, which its listing left out because most who list a directory do not want them.

#include <sys/stat.h>

#include "vfs/fs/gofer/directory.h"

namespace goferfs {

using gofer::Reader;
using gofer::WireAttributes;

std::optional<WireAttributes> DirectoryInode::StatFiles(std::string_view name) {
  RefPtr<Listing> listing = contents_->listing();
  size_t at = contents_->IndexOf(*contents_->Find(name));
  bool goes_on = at >= next_to_stat_;
  for (size_t i = next_to_stat_; goes_on && i < at; i++) goes_on = contents_->at(i).told();
  const size_t wanted = gofer_fs().NextStatRun(goes_on);
  absl::InlinedVector<std::string_view, 16> names{name};
  size_t room = gofer::kMaxMessage / 2;
  for (at++; at < listing->entries.size() && names.size() < wanted && room > gofer::kMaxName; at++) {
    if (contents_->at(at).told()) continue;
    names.push_back(listing->name(at));
    room -= names.back().size() + 1;
  }
  next_to_stat_ = at;
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
  exchange.Put(gofer::StatFilesRequest{static_cast<uint16_t>(names.size()), static_cast<uint16_t>(way.names.size())});
  for (const std::string& each : way.names) exchange.PutName(each);
  for (std::string_view each : names) exchange.PutName(each);
  Reader in = TRY(exchange.Run());
  auto first = TRY(exchange.Take<gofer::StatedFile>(in));
  for (std::string_view name : names.subspan(1)) {
    auto file = TRY(exchange.Take<gofer::StatedFile>(in));
    if (changes != gofer_fs().changes()) continue;
    Contents::Known* known = contents_->Find(name);
    if (file.error == 0 && known != nullptr && !known->told()) contents_->Tell(*known, file.attributes, gofer_fs().MayKeep(file.attributes));
  }
  if (first.error != 0) return std::optional<WireAttributes>();
  return std::optional<WireAttributes>(first.attributes);
}

}  // namespace goferfs
