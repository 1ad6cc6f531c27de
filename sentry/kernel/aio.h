#pragma once

// The contexts of io_setup(2): what was submitted and not yet fetched.

#include <linux/aio_abi.h>

#include <list>
#include <map>

#include "base/fiber.h"
#include "base/wait_queue.h"
#include "sentry/mm/memory_manager.h"
#include "vfs/file_description.h"

namespace kernel {

class AioContext final : public RefCounted {
 public:
  AioContext(uint64_t address, size_t capacity) : id(address), capacity(capacity) {}

  void Complete(const iocb& block, uint64_t address, int64_t result, vfs::FileDescription* signal);
  // Fibers that wait for files give up.
  void Shutdown();

  const uint64_t id;
  const size_t capacity;
  size_t in_flight = 0;  // submitted, not fetched
  std::list<io_event> events;
  WaitQueue completed;
  bool dead = false;
  std::list<base::Fiber*> waiting;  // for a file to be ready
};

// Those of an address space: in MemoryManager::aio.
class AioTable final : public RefCounted {
 public:
  ~AioTable() override;
  static AioTable& Of(mm::MemoryManager& memory);
  RefPtr<AioContext> Find(uint64_t id) const;
  std::map<uint64_t, RefPtr<AioContext>> contexts;
};

// Does what `block` asks: at once where the file is ready, else on a fiber of its own. Errors are those that io_submit(2)
// reports itself; what the operation ends in goes to the completion. EAGAIN: the context is full.
Result<void> AioSubmit(mm::MemoryManager& memory, AioContext& context, const iocb& block, uint64_t address,
                       RefPtr<vfs::FileDescription> file, RefPtr<vfs::FileDescription> signal,
                       std::vector<std::pair<UserAddress, size_t>> ranges);

}  // namespace kernel
