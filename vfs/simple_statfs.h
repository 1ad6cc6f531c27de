#pragma once

// statfs(2) of a file system that has no blocks to tell of (Linux: simple_statfs).

#include <sys/vfs.h>

namespace vfs {

inline struct statfs SimpleStatFs(long type) {
  struct statfs fs = {};
  fs.f_type = type;
  fs.f_bsize = fs.f_frsize = 4096;
  fs.f_namelen = 255;
  return fs;
}

}  // namespace vfs
