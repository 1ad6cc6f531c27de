#pragma once

// Mappable: a source of pages for mmap(2) of a file: either pages in the memory file (tmpfs, memfd, shared memory) or a
// host file that stubs map directly from its descriptor.

#include <cstdint>
#include <string>

#include "base/ref.h"
#include "base/result.h"

namespace vfs {

class Mappable : public RefCounted {
 public:
  struct Pages {
    bool in_memory_file = false;
    int fd = -1;          // host descriptor to map from (borrowed; lives as long as the Mappable); the memory file's where in_memory_file
    uint64_t offset = 0;  // in fd
    uint64_t length = 0;  // how much is contiguous, at most what was asked
  };

  // The pages behind file range [offset, offset+length), page aligned; `write`: they will be written through a shared mapping.
  // Pages in the memory file are allocated on demand, and the mapping takes a reference to them (MemoryFile::IncRef) for as long as it maps
  // them. Beyond the end of the file: EFAULT-like SIGBUS, reported as kENXIO. May park.
  virtual Result<Pages> Translate(uint64_t offset, uint64_t length, bool write) = 0;

  // Reads for private copies of pages and Sentry access to host-file mappings: fills `to`, zeroes behind the end of file.
  virtual Result<size_t> Read(void* to, uint64_t offset, size_t length) = 0;

  virtual Result<uint64_t> Size() = 0;

  // Shared writable mappings: what msync(2) does, and bookkeeping of the number of writable mappings (memfd seals,
  // ETXTBSY). AddWritable fails with EPERM where a seal forbids it.
  virtual Result<void> Sync(uint64_t offset, uint64_t length) { return {}; }
  virtual Result<void> AddWritable() { return {}; }
  virtual void RemoveWritable() {}

  // Identity for shared futexes: the same for all mappings of one file.
  virtual uint64_t FutexKey() { return reinterpret_cast<uint64_t>(this); }

  // How much is translated ahead of use. File systems whose Translate charges the pages to somebody say less.
  virtual uint64_t populate_ahead() const { return UINT64_MAX; }

  // The view of a host file that sentry/mm keeps for all who map it.
  RefPtr<RefCounted> window;

  // Told to drop or shrink mapped pages when the file is truncated: set by sentry/mm.
  struct Mapper {
    virtual ~Mapper() = default;
    virtual void InvalidateMappings(uint64_t offset, uint64_t length) = 0;
  };
  virtual void AddMapper(Mapper*) {}
  virtual void RemoveMapper(Mapper*) {}
};

}  // namespace vfs
