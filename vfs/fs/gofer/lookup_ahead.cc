// A whole path in one round trip: walks along the components that the path walk is about to ask for, and opens the last.

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "vfs/fs/gofer/directory.h"
#include "vfs/fs/gofer/regular.h"
#include "vfs/fs/gofer/special.h"

namespace goferfs {

using gofer::Handle;
using gofer::Reader;

namespace {
constexpr size_t kMaxAhead = 32;
static_assert(kMaxAhead <= gofer::kMaxWalkNames);
}  // namespace

void DirectoryInode::LookupAhead(std::string_view rest, int access) {
  if (gofer_fs().shared()) return;
  std::string_view names[kMaxAhead];
  size_t count = 0;
  bool whole = true;
  while (!rest.empty()) {
    std::string_view name = rest.substr(0, rest.find('/'));
    rest.remove_prefix(name.size());
    if (name.empty()) {
      rest.remove_prefix(1);
      continue;
    }
    // What comes behind "." or ".." is the path walk's to say.
    if (count == kMaxAhead || !gofer::ValidName(name)) {
      whole = false;
      break;
    }
    names[count++] = name;
  }
  bool open = whole && (access == O_RDONLY || access == O_RDWR) && !(access == O_RDWR && gofer_fs().options().read_only);
  // One name, not to be opened, is what Lookup asks anyway.
  if (count == 0 || (count == 1 && !open)) return;
  // The walk is on the way that was fetched when it began.
  for (const GoferFileSystem::Ahead& known : gofer_fs().ahead()) {
    if (known.directory == this && known.name == names[0]) return;
  }
  if (contents_ == nullptr) connection().Settle();
  if (contents_ != nullptr) {
    Contents::Known* known = contents_->Find(names[0]);
    if (known == nullptr) return;
    if (count == 1) {
      // Lookup needs no call, and opening costs one then as it would here.
      if (InUse(*known) != nullptr) return;
      if (access == O_RDONLY && known->type == DT_REG) {
        Result<bool> opened = OpenFiles(names[0]);
        if (!opened.ok() || *opened) return;
      }
      if (known->attributes != 0) return;
    }
    (void)contents_->TakeAttributes(*known);
  }
  // What goes wrong here, goes wrong again in Lookup, which can say so.
  (void)WalkAhead({names, count}, open ? gofer::kWalkOpen | static_cast<uint32_t>(access) : 0);
}

Result<void> DirectoryInode::WalkAhead(std::span<const std::string_view> names, uint32_t open_flags) {
  auto& ahead = gofer_fs().ahead();
  Handle handle = TRY(EnsureHandle());
  Exchange exchange(connection());
  exchange.Begin(gofer::Opcode::kWalk, handle);
  exchange.Put(gofer::WalkRequest{static_cast<uint16_t>(names.size()), 0, open_flags});
  for (std::string_view name : names) exchange.PutName(name);
  Result<Reader> reply = exchange.Run();
  ahead.clear();
  if (!reply.ok()) {
    if (reply.error() == Errno::kENOENT) ahead.push_back({RefPtr<DirectoryInode>(this), std::string(names[0]), nullptr});
    return reply.error();
  }

  Reader in = *reply;
  auto walk = TRY(exchange.Take<gofer::WalkReply>(in));
  if (walk.count == 0 || walk.count > names.size()) return exchange.Broken();
  RefPtr<DirectoryInode> directory(this);
  RefPtr<GoferInode> last;
  for (size_t i = 0; i < walk.count; i++) {
    auto node = TRY(exchange.Take<gofer::WireNode>(in));
    if (node.handle == 0 || !directory) return exchange.Broken();
    last = TRY(gofer_fs().Instantiate(node.handle, node.attributes, directory.get(), names[i]));
    ahead.push_back({directory, std::string(names[i]), last});
    directory = S_ISDIR(last->type()) ? StaticRefCast<DirectoryInode>(last) : nullptr;
  }
  auto target = in.TakeBytes(walk.target_size);
  if (!target || target->find('\0') != std::string_view::npos) return exchange.Broken();
  if (S_ISLNK(last->type())) static_cast<SymlinkInode&>(*last).set_target(std::string(*target));
  if (Fd fd = exchange.TakeFd(); fd.valid() && walk.count == names.size() && S_ISREG(last->type()) && walk.open_error == 0) {
    static_cast<RegularInode&>(*last).AdoptFd(std::move(fd), (open_flags & O_ACCMODE) != O_RDONLY);
  }
  if (directory && walk.count < names.size() && walk.error == static_cast<int32_t>(Errno::kENOENT)) {
    ahead.push_back({directory, std::string(names[walk.count]), nullptr});
  }
  return {};
}

}  // namespace goferfs
