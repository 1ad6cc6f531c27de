// Attributes, extended attributes, links' targets and syncing.

#include <fcntl.h>
#include <linux/limits.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>

#include "base/host.h"
#include "gofer/protocol/xattr.h"
#include "gofer/server.h"

namespace gofer {

namespace {

timespec ToTimespec(int64_t ns) {
  int64_t seconds = ns / 1'000'000'000;
  int64_t rest = ns % 1'000'000'000;
  if (rest < 0) {
    rest += 1'000'000'000;
    seconds--;
  }
  return {.tv_sec = seconds, .tv_nsec = rest};
}

}  // namespace

Result<void> Server::SetAttr(Node& node, Reader& in, Writer& out) {
  auto request = in.Take<SetAttrRequest>();
  if (!request || !Finished(in)) return Malformed();
  uint32_t valid = request->valid;
  using R = SetAttrRequest;
  if ((valid & ~R::kAll) != 0 || (request->mode & ~07777u) != 0) return Errno::kEINVAL;
  if ((valid & R::kAtime) != 0 && (valid & R::kAtimeNow) != 0) return Errno::kEINVAL;
  if ((valid & R::kMtime) != 0 && (valid & R::kMtimeNow) != 0) return Errno::kEINVAL;
  if (node.read_only) return Errno::kEROFS;
  int fd = node.path.get();
  FdName name(fd);
  if ((valid & R::kSize) != 0) {
    if (S_ISDIR(node.type)) return Errno::kEISDIR;
    if (!S_ISREG(node.type) || request->size > INT64_MAX) return Errno::kEINVAL;
    TRY(HOST(truncate(name.get(), static_cast<off_t>(request->size))));
  }
  if ((valid & (R::kUid | R::kGid)) != 0) {
    uid_t uid = (valid & R::kUid) != 0 ? request->uid : static_cast<uid_t>(-1);
    gid_t gid = (valid & R::kGid) != 0 ? request->gid : static_cast<gid_t>(-1);
    TRY(HOST(fchownat(fd, "", uid, gid, AT_EMPTY_PATH)));
  }
  // Behind the owner, because changing that drops set-id bits.
  if ((valid & R::kMode) != 0) TRY(HOST(fchmodat(AT_FDCWD, name.get(), request->mode, 0)));
  if ((valid & (R::kAtime | R::kMtime | R::kAtimeNow | R::kMtimeNow)) != 0) {
    timespec times[2] = {ToTimespec(request->atime), ToTimespec(request->mtime)};
    if ((valid & R::kAtime) == 0) times[0].tv_nsec = (valid & R::kAtimeNow) != 0 ? UTIME_NOW : UTIME_OMIT;
    if ((valid & R::kMtime) == 0) times[1].tv_nsec = (valid & R::kMtimeNow) != 0 ? UTIME_NOW : UTIME_OMIT;
    TRY(HOST(utimensat(AT_FDCWD, name.get(), times, 0)));
  }
  return Stat(node, out);
}

Result<void> Server::Stat(Node& node, Writer& out) {
  out.Put(TRY(StatPath(node.path.get())));
  return {};
}

Result<void> Server::ReadLink(Node& node, Writer& out) {
  if (!S_ISLNK(node.type)) return Errno::kEINVAL;
  char target[kMaxTarget + 1];
  size_t size = static_cast<size_t>(TRY(HOST(readlinkat(node.path.get(), "", target, sizeof target))));
  if (size == sizeof target) return Errno::kENAMETOOLONG;
  out.PutBytes(target, size);
  return {};
}

Result<void> Server::StatFs(Node& node, Writer& out) {
  struct statfs s;
  TRY(HOST(fstatfs(node.path.get(), &s)));
  out.Put(WireStatFs{.type = static_cast<uint64_t>(s.f_type),
                     .block_size = static_cast<uint64_t>(s.f_bsize),
                     .blocks = s.f_blocks,
                     .blocks_free = s.f_bfree,
                     .blocks_available = s.f_bavail,
                     .files = s.f_files,
                     .files_free = s.f_ffree,
                     .name_max = static_cast<uint64_t>(s.f_namelen),
                     .fragment_size = static_cast<uint64_t>(s.f_frsize)});
  return {};
}

Result<void> Server::GetXattr(Node& node, Reader& in, Writer& out) {
  auto request = in.Take<XattrRequest>();
  auto name = in.TakeName();
  if (!request || !name || !Finished(in)) return Malformed();
  if (!ValidXattrName(*name)) return Errno::kEINVAL;
  if (!VisibleXattr(*name)) return Errno::kEOPNOTSUPP;
  size_t room = std::min(out.room(), kMaxXattrValue);
  ssize_t size = TRY(HOST(getxattr(FdName(node.path.get()).get(), CName(*name).get(), out.end(), room)));
  out.Advance(static_cast<size_t>(size));
  return {};
}

Result<void> Server::SetXattr(Node& node, Reader& in) {
  auto request = in.Take<XattrRequest>();
  auto name = in.TakeName();
  auto value = request && name ? in.TakeBytes(request->value_size) : std::nullopt;
  if (!value || !Finished(in)) return Malformed();
  if (!ValidXattrName(*name) || value->size() > kMaxXattrValue) return Errno::kEINVAL;
  if (request->flags != 0 && request->flags != XATTR_CREATE && request->flags != XATTR_REPLACE) return Errno::kEINVAL;
  if (node.read_only) return Errno::kEROFS;
  if (!WritableXattr(*name)) return Errno::kEOPNOTSUPP;
  TRY(HOST(setxattr(FdName(node.path.get()).get(), CName(*name).get(), value->data(), value->size(),
                    static_cast<int>(request->flags))));
  return {};
}

Result<void> Server::ListXattr(Node& node, Writer& out) {
  char names[XATTR_LIST_MAX];
  ssize_t size = TRY(HOST(listxattr(FdName(node.path.get()).get(), names, sizeof names)));
  Reader in(names, static_cast<size_t>(size));
  for (std::string_view rest = in.Rest(); !rest.empty();) {
    std::string_view name = rest.substr(0, rest.find('\0'));
    rest.remove_prefix(std::min(name.size() + 1, rest.size()));
    if (!VisibleXattr(name)) continue;
    out.PutBytes(name.data(), name.size());
    out.PutBytes("", 1);
  }
  return {};
}

Result<void> Server::RemoveXattr(Node& node, Reader& in) {
  auto request = in.Take<XattrRequest>();
  auto name = in.TakeName();
  if (!request || !name || !Finished(in)) return Malformed();
  if (!ValidXattrName(*name)) return Errno::kEINVAL;
  if (node.read_only) return Errno::kEROFS;
  if (!WritableXattr(*name)) return Errno::kEOPNOTSUPP;
  TRY(HOST(removexattr(FdName(node.path.get()).get(), CName(*name).get())));
  return {};
}

Result<void> Server::Sync(Node& node, Reader& in) {
  auto request = in.Take<SyncRequest>();
  if (!request || !Finished(in)) return Malformed();
  if (request->whole_file_system > 1) return Errno::kEINVAL;
  if (!S_ISREG(node.type) && !S_ISDIR(node.type)) return Errno::kEINVAL;
  Fd file = TRY(Reopen(node.path.get(), O_RDONLY));
  if (request->whole_file_system != 0) {
    TRY(HOST(syncfs(file.get())));
  } else {
    TRY(HOST(fsync(file.get())));
  }
  return {};
}

}  // namespace gofer
