#include "vfs/fs/tmpfs/shared_anonymous.h"

#include <string.h>

#include <algorithm>

#include "base/memory_file.h"

namespace tmpfs {

using base::MemoryFile;

namespace {

class SharedAnonymous final : public vfs::Mappable {
 public:
  SharedAnonymous(uint64_t start, uint64_t size) : start_(start), size_(size) {}
  ~SharedAnonymous() override { MemoryFile::Get().DecRef(start_, size_); }

  Result<Pages> Translate(uint64_t offset, uint64_t length, bool write) override {
    if (offset >= size_) return Errno::kENXIO;
    return Pages{.in_memory_file = true,
                 .fd = MemoryFile::Get().fd(),
                 .offset = start_ + offset,
                 .length = std::min(length, size_ - offset)};
  }
  Result<size_t> Read(void* to, uint64_t offset, size_t length) override {
    size_t held = offset < size_ ? std::min<uint64_t>(length, size_ - offset) : 0;
    memcpy(to, MemoryFile::Get().At(start_ + offset), held);
    memset(static_cast<char*>(to) + held, 0, length - held);
    return held;
  }
  Result<uint64_t> Size() override { return size_; }

 private:
  const uint64_t start_, size_;
};

}  // namespace

Result<RefPtr<vfs::Mappable>> CreateSharedAnonymous(uint64_t size) {
  uint64_t length = base::PageUp(size);
  if (length == 0 || length < size) return Errno::kENOMEM;
  uint64_t start = TRY(MemoryFile::Get().Allocate(length));
  return RefPtr<vfs::Mappable>(MakeRef<SharedAnonymous>(start, length));
}

}  // namespace tmpfs
