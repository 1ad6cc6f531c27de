#pragma once

// What descriptions of directories have in common, whatever the file system.

#include "vfs/file_description.h"

namespace vfs {

// For ReadDir: tells "." (at offset 0) and ".." (at 1) as far as the offset has not passed them, and moves the offset on to 2. False
// when `emit` wants no more.
Result<bool> EmitDots(FileDescription& directory, absl::FunctionRef<bool(const DirectoryEntry&)> emit);

// lseek(2) on a directory whose offsets are positions to go on from: SEEK_SET and SEEK_CUR.
Result<int64_t> SeekDirectory(FileDescription& directory, int64_t offset, int whence);

}  // namespace vfs
