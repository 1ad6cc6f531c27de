#include "base/memory_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/host.h"
#include "base/log.h"

namespace base {

namespace {
MemoryFile* memory_file = nullptr;
}

MemoryFile& MemoryFile::Get() { return *memory_file; }

Result<void> MemoryFile::Create(uint64_t capacity) {
  auto* file = new MemoryFile;
  file->fd_ = Fd(TRY(HOST(memfd_create("runsc-memory", MFD_CLOEXEC))));
  TRY(HOST(ftruncate(file->fd_.get(), static_cast<off_t>(capacity))));
  void* window = mmap(nullptr, capacity, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, file->fd_.get(), 0);
  if (window == MAP_FAILED) return Errno::kENOMEM;
  void* refs = mmap(nullptr, capacity / kPageSize * sizeof(uint32_t), PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (refs == MAP_FAILED) return Errno::kENOMEM;
  file->base_ = static_cast<char*>(window);
  file->refs_ = static_cast<uint32_t*>(refs);
  file->capacity_ = capacity;
  memory_file = file;
  return {};
}

Result<uint64_t> MemoryFile::Allocate(uint64_t length) {
  CHECK(length > 0 && length % kPageSize == 0);
  uint64_t offset;
  auto fit = by_length_.lower_bound(length);
  if (fit != by_length_.end()) {
    offset = fit->second;
    uint64_t rest = fit->first - length;
    by_length_.erase(fit);
    free_.erase(offset);
    if (rest > 0) {
      free_.emplace(offset + length, rest);
      by_length_.emplace(rest, offset + length);
    }
  } else {
    if (length > capacity_ - bump_) return Errno::kENOMEM;
    offset = bump_;
    bump_ += length;
  }
  for (uint64_t page = offset / kPageSize; page < (offset + length) / kPageSize; page++) refs_[page] = 1;
  allocated_ += length;
  return offset;
}

void MemoryFile::IncRef(uint64_t offset, uint64_t length) {
  for (uint64_t page = offset / kPageSize; page < (offset + length) / kPageSize; page++) {
    CHECK(refs_[page] > 0);
    refs_[page]++;
  }
}

void MemoryFile::DecRef(uint64_t offset, uint64_t length) {
  uint64_t end = (offset + length) / kPageSize;
  for (uint64_t page = offset / kPageSize; page < end;) {
    CHECK(refs_[page] > 0);
    if (--refs_[page] > 0) {
      page++;
      continue;
    }
    uint64_t first = page++;
    while (page < end && refs_[page] == 1) refs_[page++] = 0;
    Free(first * kPageSize, (page - first) * kPageSize);
  }
}

void MemoryFile::Free(uint64_t offset, uint64_t length) {
  Decommit(offset, length);
  allocated_ -= length;
  auto next = free_.lower_bound(offset);
  auto drop = [this](std::map<uint64_t, uint64_t>::iterator it) {
    auto [first, last] = by_length_.equal_range(it->second);
    for (; first != last; ++first) {
      if (first->second == it->first) {
        by_length_.erase(first);
        break;
      }
    }
    return free_.erase(it);
  };
  if (next != free_.end() && next->first == offset + length) {
    length += next->second;
    next = drop(next);
  }
  if (next != free_.begin()) {
    auto previous = std::prev(next);
    if (previous->first + previous->second == offset) {
      offset = previous->first;
      length += previous->second;
      drop(previous);
    }
  }
  free_.emplace(offset, length);
  by_length_.emplace(length, offset);
}

void MemoryFile::Decommit(uint64_t offset, uint64_t length) {
  CHECK_OK(HOST(fallocate(fd_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset),
                          static_cast<off_t>(length))));
}

uint64_t MemoryFile::committed_bytes() const {
  struct stat st;
  if (fstat(fd_.get(), &st) != 0) return 0;
  return static_cast<uint64_t>(st.st_blocks) * 512;
}

}  // namespace base
