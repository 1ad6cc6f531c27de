#include "sentry/mm/shared_anonymous.h"

#include <algorithm>
#include <cstring>

#include "base/memory_file.h"
#include "sentry/mm/memory_manager.h"

namespace mm {

namespace {

SharedAnonymousFactory factory = nullptr;

class SharedAnonymous : public vfs::Mappable {
 public:
  SharedAnonymous(uint64_t start, uint64_t length) : start_(start), length_(length) {}
  ~SharedAnonymous() override { base::MemoryFile::Get().DecRef(start_, length_); }

  Result<Pages> Translate(uint64_t offset, uint64_t length, bool write) override {
    if (offset >= length_) return Errno::kENXIO;
    return Pages{.in_memory_file = true,
                 .fd = base::MemoryFile::Get().fd(),
                 .offset = start_ + offset,
                 .length = std::min(length, length_ - offset)};
  }
  Result<size_t> Read(void* to, uint64_t offset, size_t length) override {
    size_t take = offset >= length_ ? 0 : std::min<uint64_t>(length, length_ - offset);
    memcpy(to, base::MemoryFile::Get().At(start_ + offset), take);
    memset(static_cast<char*>(to) + take, 0, length - take);
    return take;
  }
  Result<uint64_t> Size() override { return length_; }

 private:
  const uint64_t start_, length_;
};

}  // namespace

void SetSharedAnonymousFactory(SharedAnonymousFactory function) { factory = function; }

Result<RefPtr<vfs::Mappable>> MakeSharedAnonymous(uint64_t length) {
  if (factory != nullptr) return factory(length);
  uint64_t start = TRY(base::MemoryFile::Get().Allocate(length));
  return RefPtr<vfs::Mappable>(MakeRef<SharedAnonymous>(start, length));
}

}  // namespace mm
