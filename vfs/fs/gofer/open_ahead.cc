// Several files of a directory in one round trip, for those who read one after the other: grep -r, tar, an interpreter that loads its modules.

#include <dirent.h>
#include <sys/stat.h>

#include <algorithm>

#include "vfs/fs/gofer/directory.h"
#include "vfs/fs/gofer/regular.h"

namespace goferfs {

using gofer::Reader;

Result<bool> DirectoryInode::OpenFiles(std::string_view name) {
  RefPtr<Listing> listing = contents_ != nullptr ? contents_->listing() : nullptr;
  absl::InlinedVector<std::string_view, 8> names{name};
  // Nobody is to lose the descriptors in use for those that may never be.
  const size_t most = std::min(gofer::kMaxOpenFiles, connection().host_files().limit() / 8);
  if (Contents::Known* first = listing ? contents_->Find(name) : nullptr) {
    auto closed = [&](size_t i) {
      const Contents::Known& known = contents_->at(i);
      if (known.type != DT_REG) return false;
      GoferInode* inode = InUse(known);
      if (inode == nullptr) return known.attributes != 0 || !known.told();
      return S_ISREG(inode->type()) && !static_cast<RegularInode*>(inode)->opened();
    };
    size_t at = contents_->IndexOf(*first);
    bool goes_on = at >= next_to_open_;
    for (size_t i = next_to_open_; goes_on && i < at; i++) goes_on = !closed(i);
    if (!goes_on) gofer_fs().RestartOpenRun();
    const size_t wanted = std::min(gofer_fs().NextOpenRun(), most);
    for (at++; at < listing->entries.size() && names.size() < wanted; at++) {
      if (closed(at)) names.push_back(listing->name(at));
    }
    next_to_open_ = at;
  }
  // The walk to a single one is one call too where we have a handle, and brings one for the file.
  if (names.size() == 1 && has_handle()) return false;

  Way way = TRY(FindWay());
  Exchange exchange(connection());
  exchange.Begin(gofer::Opcode::kOpenFiles, way.handle);
  exchange.Put(gofer::FilesRequest{static_cast<uint16_t>(names.size()), static_cast<uint16_t>(way.names.size())});
  for (const std::string& each : way.names) exchange.PutName(each);
  for (std::string_view each : names) exchange.PutName(each);
  exchange.Expect(names.size());
  Reader in = TRY(exchange.Run());
  for (std::string_view each : names) {
    auto file = TRY(exchange.Take<gofer::FileReply>(in));
    if (file.error != 0) continue;
    Fd fd = exchange.TakeFd();
    if (!fd.valid()) break;  // our table is full
    if (!S_ISREG(file.attributes.mode)) return exchange.Broken();
    RefPtr<GoferInode> inode = TRY(gofer_fs().Instantiate(0, file.attributes, this, each));
    static_cast<RegularInode&>(*inode).AdoptFd(std::move(fd), false);
    gofer_fs().KeepOpened(std::move(inode));
  }
  return true;
}

}  // namespace goferfs
