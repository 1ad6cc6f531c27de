#pragma once

// Which content of which file: for what was found out about one, and holds as long as this is the same.

#include <compare>
#include <cstdint>

#include "vfs/file_description.h"

namespace vfs {

struct FileVersion {
  // May park.
  static Result<FileVersion> Of(FileDescription& file) {
    Attributes attributes = TRY(file.Stat());
    return FileVersion{attributes.dev, attributes.ino, attributes.size, attributes.mtime, attributes.ctime};
  }
  friend auto operator<=>(const FileVersion&, const FileVersion&) = default;

  uint64_t dev = 0, ino = 0, size = 0;
  int64_t mtime = 0, ctime = 0;
};

}  // namespace vfs
