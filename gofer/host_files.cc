#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/host.h"
#include "gofer/server.h"

namespace gofer {

namespace {

int64_t Nanoseconds(const statx_timestamp& t) { return t.tv_sec * 1'000'000'000 + t.tv_nsec; }

WireAttributes FromStatx(const struct statx& s) {
  WireAttributes a{};
  a.dev = makedev(s.stx_dev_major, s.stx_dev_minor);
  a.ino = s.stx_ino;
  a.rdev = makedev(s.stx_rdev_major, s.stx_rdev_minor);
  a.size = s.stx_size;
  a.blocks = s.stx_blocks;
  a.atime = Nanoseconds(s.stx_atime);
  a.mtime = Nanoseconds(s.stx_mtime);
  a.ctime = Nanoseconds(s.stx_ctime);
  a.btime = (s.stx_mask & STATX_BTIME) != 0 ? Nanoseconds(s.stx_btime) : 0;
  a.mode = s.stx_mode;
  a.nlink = s.stx_nlink;
  a.uid = s.stx_uid;
  a.gid = s.stx_gid;
  a.blksize = s.stx_blksize;
  return a;
}

}  // namespace

FdName::FdName(int fd) {
  at_ = bytes_ + sizeof bytes_ - 1;
  *at_ = '\0';
  do {
    *--at_ = static_cast<char>('0' + fd % 10);
    fd /= 10;
  } while (fd > 0);
}

Result<Fd> OpenPathAt(int parent, std::string_view name) {
  return Fd(TRY(HOST(openat(parent, CName(name).get(), O_PATH | O_NOFOLLOW | O_CLOEXEC))));
}

Result<Fd> Reopen(int path, int flags) {
  return Fd(TRY(HOST(openat(AT_FDCWD, FdName(path).get(), flags | O_CLOEXEC | O_NOCTTY))));
}

Result<Fd> OpenDirectoryAt(int parent, const char* name) {
  return Fd(TRY(HOST(openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC))));
}

Result<Fd> OpenFileAt(int parent, std::string_view name) {
  return Fd(TRY(HOST(openat(parent, CName(name).get(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC))));
}

Result<void> CheckRegular(uint32_t type) {
  if (S_ISDIR(type)) return Errno::kEISDIR;
  if (S_ISLNK(type)) return Errno::kELOOP;
  if (!S_ISREG(type)) return Errno::kENXIO;
  return {};
}

Result<Fd> OpenRegular(int path, uint32_t type, uint32_t access) {
  TRY(CheckRegular(type));
  return Reopen(path, static_cast<int>(access));
}

Result<WireAttributes> StatPath(int path) {
  struct statx s;
  TRY(HOST(statx(path, "", AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_BASIC_STATS | STATX_BTIME, &s)));
  return FromStatx(s);
}

Result<WireAttributes> StatChild(int parent, const char* name) {
  struct statx s;
  TRY(HOST(statx(parent, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_BASIC_STATS | STATX_BTIME, &s)));
  return FromStatx(s);
}

}  // namespace gofer
