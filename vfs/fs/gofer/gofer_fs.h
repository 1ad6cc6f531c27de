#pragma once

// The client of the gofer: a file system whose files are a container's files on the host. Names and attributes come from the gofer, the data of
// regular files goes through descriptors that it gave away, without it.
//
// Exclusive (the default): nobody else changes these files, so what was learned once is kept: attributes, and for directories that were listed
// whole, all their names. Shared (--file-access=shared): every use asks.

#include <string>

#include "base/fd.h"
#include "vfs/fs/gofer/connection.h"
#include "vfs/inode.h"

namespace goferfs {

struct Options {
  uint32_t export_index = 0;  // of the gofer's exports
  bool shared = false;
  bool read_only = false;     // refuse changes here already; the gofer refuses them for its read-only exports anyway
  std::string source = "none";  // for mountinfo
};

// One round trip. EIO, or what the gofer says.
Result<RefPtr<vfs::FileSystem>> Create(RefPtr<Connection> connection, const Options& options);

}  // namespace goferfs
