#include "sentry/mm/file_copy.h"

#include <algorithm>
#include <memory>

#include "base/memory_file.h"

namespace mm {

Result<FileCopy> CopyFromFile(vfs::Mappable& mappable, uint64_t offset, uint64_t length) {
  base::MemoryFile& file = base::MemoryFile::Get();
  FileCopy copy{.offset = TRY(file.Reserve(length)), .length = 0};
  // By way of a buffer: reading into unmapped pages of the memory file would cost a host fault for each.
  constexpr uint64_t kChunk = 64 << 10;
  auto buffer = std::make_unique_for_overwrite<char[]>(std::min(length, kChunk));
  Errno error{};
  while (copy.length < length) {
    uint64_t want = std::min(length - copy.length, kChunk);
    Result<size_t> read = mappable.Read(buffer.get(), offset + copy.length, want);
    if (!read.ok()) {
      error = read.error();
      break;
    }
    uint64_t pages = base::PageUp(*read);
    if (pages > 0 && file.Fill(copy.offset + copy.length, IoVec(buffer.get(), pages)) < pages) error = Errno::kENOMEM;
    if (error != Errno{}) break;
    copy.length += pages;
    if (pages < want) break;
  }
  uint64_t kept = error == Errno{} ? copy.length : 0;
  if (kept < length) file.DecRef(copy.offset + kept, length - kept);
  if (error != Errno{}) return error;
  return copy;
}

}  // namespace mm
