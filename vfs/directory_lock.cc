#include "vfs/directory_lock.h"

#include "base/log.h"

namespace vfs {

void DirectoryLock::Wait(bool exclusive) {
  CHECK(base::Fiber::Current() != nullptr);
  Waiting self{.fiber = base::Fiber::Current(), .exclusive = exclusive};
  Waiting** end = &first_;
  while (*end != nullptr) end = &(*end)->next;
  *end = &self;
  while (!self.granted) base::Fiber::Park();
}

// Hands the free lock over, to one writer or to all readers up to the next writer: who comes later cannot overtake.
void DirectoryLock::WakeNext() {
  while (first_ != nullptr) {
    Waiting* next = first_;
    if (next->exclusive && holders_ != 0) return;
    first_ = next->next;
    holders_ = next->exclusive ? -1 : holders_ + 1;
    next->granted = true;
    next->fiber->Unpark();
    if (next->exclusive) return;
  }
}

}  // namespace vfs
