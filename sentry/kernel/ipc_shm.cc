#include "sentry/kernel/ipc_shm.h"

#include <set>

#include "base/memory_file.h"
#include "sentry/mm/shared_anonymous.h"

namespace kernel {

namespace {
// Tells a segment's mapping from others, in place of RTTI.
std::set<vfs::Mappable*>& Segments() {
  static auto* segments = new std::set<vfs::Mappable*>;
  return *segments;
}
}  // namespace

Result<RefPtr<ShmSegment>> ShmSegment::Create(IpcTable<ShmSegment>& table, uint64_t size) {
  if (size > uint64_t{1} << 46) return Errno::kENOMEM;  // no address space could map it
  RefPtr<vfs::Mappable> pages = TRY(mm::MakeSharedAnonymous(base::PageUp(size)));
  return RefPtr<ShmSegment>::Adopt(new ShmSegment(table, size, std::move(pages)));
}

ShmSegment::ShmSegment(IpcTable<ShmSegment>& table, uint64_t size, RefPtr<vfs::Mappable> pages)
    : table_(table), size_(size), pages_(std::move(pages)) {
  Segments().insert(this);
}

ShmSegment::~ShmSegment() {
  Segments().erase(this);
  if (permissions.id >= 0) table_.Forget(*this);
}

ShmSegment* ShmSegment::From(vfs::Mappable* mappable) {
  return Segments().contains(mappable) ? static_cast<ShmSegment*>(mappable) : nullptr;
}

uint64_t ShmSegment::attached(int held) const {
  int64_t others = refs() - held - mappers_ - (removed ? 0 : 1);
  return others > 0 ? static_cast<uint64_t>(others) : 0;
}

void ShmSegment::AddMapper(Mapper* mapper) {
  mappers_++;
  pages_->AddMapper(mapper);
}

void ShmSegment::RemoveMapper(Mapper* mapper) {
  mappers_--;
  pages_->RemoveMapper(mapper);
}

void ShmSegment::Destroy() {
  if (removed) return;
  removed = true;
  permissions.key = IPC_PRIVATE;
  permissions.mode |= kDestroyed;
  DecRef();
}

}  // namespace kernel
