#include "sentry/kernel/aio.h"

namespace kernel {

void AioContext::Complete(const iocb& block, uint64_t address, int64_t result, vfs::FileDescription* signal) {
  events.push_back({.data = block.aio_data, .obj = address, .res = result, .res2 = 0});
  completed.Notify(EPOLLIN);
  if (signal != nullptr) {
    uint64_t one = 1;
    (void)signal->Write(IoVec(&one, sizeof one)).ok();  // a counter at its limit stays there
  }
}

void AioContext::Shutdown() {
  dead = true;
  for (base::Fiber* fiber : waiting) fiber->Unpark();
  completed.Notify(EPOLLIN);
}

AioTable::~AioTable() {
  for (auto& [id, context] : contexts) context->Shutdown();
}

AioTable& AioTable::Of(mm::MemoryManager& memory) {
  if (!memory.aio) memory.aio = MakeRef<AioTable>();
  return static_cast<AioTable&>(*memory.aio);
}

RefPtr<AioContext> AioTable::Find(uint64_t id) const {
  auto it = contexts.find(id);
  return it == contexts.end() ? nullptr : it->second;
}

namespace {

constexpr int64_t kNotReady = -static_cast<int64_t>(Errno::kEAGAIN);

struct Request {
  RefPtr<mm::MemoryManager> memory;
  RefPtr<AioContext> context;
  iocb block;
  uint64_t address;
  RefPtr<vfs::FileDescription> file, signal;
  std::vector<std::pair<UserAddress, size_t>> ranges;

  bool writes() const { return block.aio_lio_opcode == IOCB_CMD_PWRITE || block.aio_lio_opcode == IOCB_CMD_PWRITEV; }
  EventMask events() const {
    if (block.aio_lio_opcode == IOCB_CMD_POLL) return static_cast<EventMask>(block.aio_buf) & 0xffff;
    return writes() ? EPOLLOUT : EPOLLIN;
  }
  Result<size_t> Try();
};

// One try; EAGAIN when the file is not ready.
Result<size_t> Request::Try() {
  switch (block.aio_lio_opcode) {
    case IOCB_CMD_FSYNC:
    case IOCB_CMD_FDSYNC:
      TRY(file->Sync(block.aio_lio_opcode == IOCB_CMD_FDSYNC));
      return 0;
    case IOCB_CMD_POLL: {
      EventMask ready = file->Readiness() & (events() | EPOLLERR | EPOLLHUP);
      if (ready == 0) return Errno::kEAGAIN;
      return size_t{ready};
    }
  }
  size_t total = 0;
  for (const auto& range : ranges) total += range.second;
  mm::Pinned buffer;
  if (total > 0) buffer = TRY(memory->PinVector(ranges, !writes()));
  auto offset = static_cast<uint64_t>(block.aio_offset);
  bool stream = file->stream() || file->wait_queue() != nullptr;
  if (writes()) return stream ? file->Write(buffer.io()) : file->WriteAt(buffer.io(), offset, block.aio_rw_flags);
  return stream ? file->Read(buffer.io()) : file->ReadAt(buffer.io(), offset, block.aio_rw_flags);
}

// A try's result as a completion has it.
int64_t Attempt(Request& request) {
  Result<size_t> result = request.Try();
  return result.ok() ? static_cast<int64_t>(*result) : -static_cast<int64_t>(result.error());
}

void Finish(Request& request, int64_t value) {
  if (request.context->dead) return;
  request.context->Complete(request.block, request.address, value, request.signal.get());
}

// On a fiber of its own: until the file is ready, or the context goes.
void RunWaiting(Request& request) {
  AioContext& context = *request.context;
  base::Fiber* self = base::Fiber::Current();
  base::FiberWaiter waiter;
  WaitQueue* queue = request.file->wait_queue();
  if (queue != nullptr) queue->Add(waiter, request.events() | EPOLLERR | EPOLLHUP);
  context.waiting.push_back(self);
  int64_t value = kNotReady;
  while (!context.dead) {
    value = Attempt(request);
    if (value != kNotReady || queue == nullptr) break;
    base::Fiber::Park();
  }
  context.waiting.remove(self);
  Finish(request, value);
}

}  // namespace

Result<void> AioSubmit(mm::MemoryManager& memory, AioContext& context, const iocb& block, uint64_t address,
                       RefPtr<vfs::FileDescription> file, RefPtr<vfs::FileDescription> signal,
                       std::vector<std::pair<UserAddress, size_t>> ranges) {
  if (context.in_flight >= context.capacity) return Errno::kEAGAIN;
  Request request{RefPtr<mm::MemoryManager>(&memory), RefPtr<AioContext>(&context), block, address, std::move(file), std::move(signal),
                  std::move(ranges)};
  context.in_flight++;
  int64_t value = Attempt(request);
  bool waits = value == kNotReady && request.file->wait_queue() != nullptr &&
               (block.aio_lio_opcode == IOCB_CMD_POLL || (!request.file->nonblocking() && request.file->AsTerminal() == nullptr));
  // A terminal wants to know whose session reads, which a fiber without a task cannot say.
  if (!waits) {
    Finish(request, value);
    return {};
  }
  base::Fiber::Start([request = std::move(request)]() mutable {
    RunWaiting(request);
    request = {};
  });
  return {};
}

}  // namespace kernel
