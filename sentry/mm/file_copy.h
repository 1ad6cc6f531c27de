#pragma once

// FileCopy: the content of a file range, copied into pages of the memory file: what a private mapping has once it is written.

#include <cstdint>

#include "base/result.h"
#include "vfs/mappable.h"

namespace mm {

struct FileCopy {
  uint64_t offset = 0;  // in the memory file; the pages are the caller's
  uint64_t length = 0;  // 0: the file ends before the range
};

// As much of [offset, offset + length) as the file has, up to whole pages. May park.
Result<FileCopy> CopyFromFile(vfs::Mappable& mappable, uint64_t offset, uint64_t length);

}  // namespace mm
