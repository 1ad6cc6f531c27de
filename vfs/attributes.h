#pragma once

#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>

#include <cstdint>

namespace vfs {

// What stat(2) and statx(2) report of an inode. Ids are kernel ids; times are nanoseconds since the epoch.
struct Attributes {
  uint64_t dev = 0;  // as makedev(3)
  uint64_t ino = 0;
  uint32_t mode = 0;  // type and permission bits
  uint32_t nlink = 1;
  uid_t uid = 0;
  gid_t gid = 0;
  uint64_t rdev = 0;
  uint64_t size = 0;
  uint64_t blocks = 0;  // of 512 bytes
  uint32_t blksize = 4096;
  int64_t atime = 0, mtime = 0, ctime = 0;
  int64_t btime = 0;  // 0: not known
};

// A change of attributes; only what `valid` names.
struct SetAttributes {
  enum Valid : uint32_t { kMode = 1, kUid = 2, kGid = 4, kSize = 8, kAtime = 16, kMtime = 32, kAtimeNow = 64, kMtimeNow = 128 };
  uint32_t valid = 0;
  uint32_t mode = 0;  // permission bits
  uid_t uid = 0;
  gid_t gid = 0;
  uint64_t size = 0;
  int64_t atime = 0, mtime = 0;
};

}  // namespace vfs
