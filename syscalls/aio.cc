// io_setup(2), io_submit(2), io_getevents(2), io_cancel(2), io_destroy(2).

#include "sentry/kernel/aio.h"

#include "sentry/kernel/kernel.h"
#include "syscalls/handlers.h"
#include "syscalls/io_util.h"
#include "syscalls/time_util.h"
#include "vfs/fs/anon/eventfd.h"
#include "vfs/operations.h"

namespace syscalls {

using kernel::AioContext;
using kernel::AioTable;

namespace {

constexpr uint32_t kMostEvents = 65536;     // /proc/sys/fs/aio-max-nr
constexpr uint32_t kAbsurdEvents = 1 << 28;
constexpr size_t kMostContexts = 4096;

Result<RefPtr<AioContext>> Find(Task& task, uint64_t id) {
  RefPtr<AioContext> context = AioTable::Of(task.mm()).Find(id);
  if (!context) return Errno::kEINVAL;
  return context;
}

Result<void> SubmitOne(Task& task, AioContext& context, UserAddress address) {
  iocb block = TRY(task.mm().Read<iocb>(address));
  if (block.aio_reserved2 != 0) return Errno::kEINVAL;
  if (static_cast<int64_t>(block.aio_nbytes) < 0) return Errno::kEINVAL;
  RefPtr<vfs::FileDescription> file = TRY(task.GetIoFile(static_cast<int>(block.aio_fildes)));
  RefPtr<vfs::FileDescription> signal;
  if ((block.aio_flags & IOCB_FLAG_RESFD) != 0) {
    signal = TRY(task.GetFile(static_cast<int>(block.aio_resfd)));
    if (vfs::FileAs<anonfs::EventFile>(signal.get()) == nullptr) return Errno::kEINVAL;
  }
  UserRanges ranges;
  switch (block.aio_lio_opcode) {
    case IOCB_CMD_PREAD:
    case IOCB_CMD_PWRITE:
      ranges.emplace_back(block.aio_buf, std::min<size_t>(block.aio_nbytes, kMaxTransfer));
      break;
    case IOCB_CMD_PREADV:
    case IOCB_CMD_PWRITEV:
      ranges = TRY(ReadIovecs(task, block.aio_buf, block.aio_nbytes));
      break;
    case IOCB_CMD_FSYNC:
    case IOCB_CMD_FDSYNC:
      if (block.aio_buf != 0 || block.aio_offset != 0 || block.aio_nbytes != 0 || block.aio_rw_flags != 0) return Errno::kEINVAL;
      break;
    case IOCB_CMD_POLL:
      if (block.aio_offset != 0 || block.aio_nbytes != 0 || block.aio_rw_flags != 0 || block.aio_buf > 0xffff) return Errno::kEINVAL;
      break;
    default:
      return Errno::kEINVAL;
  }
  bool reads = block.aio_lio_opcode == IOCB_CMD_PREAD || block.aio_lio_opcode == IOCB_CMD_PREADV;
  bool writes = block.aio_lio_opcode == IOCB_CMD_PWRITE || block.aio_lio_opcode == IOCB_CMD_PWRITEV;
  if ((reads && !file->readable()) || (writes && !file->writable())) return Errno::kEBADF;
  if (reads || writes) {
    constexpr int kKnown = RWF_HIPRI | RWF_DSYNC | RWF_SYNC | RWF_NOWAIT | RWF_APPEND;
    if ((block.aio_rw_flags & ~kKnown) != 0) return Errno::kEOPNOTSUPP;
    if (block.aio_offset < 0) return Errno::kEINVAL;
  }
  if (writes) TRY(vfs::PrepareWrite(*file, *task.creds()));
  return kernel::AioSubmit(task.mm(), context, block, address, std::move(file), std::move(signal), std::move(ranges));
}

// Fetches at least `least` events, unless the deadline comes or a signal does, which *interrupted tells.
Result<uint64_t> Fetch(Task& task, AioContext& context, int64_t least, int64_t most, UserAddress to, int64_t deadline, bool* interrupted) {
  RefPtr<AioContext> hold(&context);
  int64_t count = 0;
  base::FiberWaiter waiter;
  context.completed.Add(waiter, EPOLLIN);
  for (;;) {
    while (count < most && !context.events.empty()) {
      io_event event = context.events.front();
      context.events.pop_front();
      context.in_flight--;
      TRY(task.mm().Write<io_event>(to + static_cast<uint64_t>(count) * sizeof(io_event), event));
      count++;
    }
    if (count >= least || count >= most) return static_cast<uint64_t>(count);
    if (context.dead) return count > 0 ? Result<uint64_t>(static_cast<uint64_t>(count)) : Errno::kEINVAL;
    base::WakeReason reason = base::Fiber::Block(deadline);
    if (reason == base::WakeReason::kWoken || !context.events.empty()) continue;
    *interrupted = reason == base::WakeReason::kInterrupted;
    return static_cast<uint64_t>(count);
  }
}

Result<int64_t> ReadDeadline(Task& task, InArg<timespec> timeout) {
  if (timeout.null()) return base::kNoDeadline;
  return RelativeDeadline(TRY(timeout.Read(task)));
}

Result<void> CheckCounts(int64_t least, int64_t most) {
  return least < 0 || most < 0 || least > most ? Result<void>(Errno::kEINVAL) : Result<void>();
}

}  // namespace

Result<uint64_t> SysIoSetup(Task& task, uint32_t events, InOutArg<uint64_t> context) {
  if (TRY(context.Read(task)) != 0 || events == 0 || events > kAbsurdEvents) return Errno::kEINVAL;
  if (events > kMostEvents) return Errno::kEAGAIN;
  RefPtr<mm::MemoryManager> memory = task.memory();
  if (AioTable::Of(*memory).contexts.size() >= kMostContexts) return Errno::kEAGAIN;
  // libaio looks for a ring of events at this address. It finds zeros, no ring, and makes the system call.
  uint64_t address = TRY(memory->Map({.length = kPageSize, .prot = PROT_READ, .flags = MAP_PRIVATE | MAP_ANONYMOUS, .name = "/[aio] (deleted)"}));
  Result<void> written = context.Write(task, address);
  if (!written.ok()) {
    (void)memory->Unmap(address, kPageSize).ok();
    return written.error();
  }
  AioTable::Of(*memory).contexts[address] = MakeRef<AioContext>(address, events);
  return 0;
}

Result<uint64_t> SysIoDestroy(Task& task, uint64_t id) {
  RefPtr<mm::MemoryManager> memory = task.memory();
  RefPtr<AioContext> context = TRY(Find(task, id));
  AioTable::Of(*memory).contexts.erase(id);
  context->Shutdown();
  (void)memory->Unmap(id, kPageSize).ok();
  return 0;
}

Result<uint64_t> SysIoSubmit(Task& task, uint64_t id, int64_t count, UserAddress blocks) {
  if (count < 0) return Errno::kEINVAL;
  RefPtr<AioContext> context = TRY(Find(task, id));
  count = std::min<int64_t>(count, static_cast<int64_t>(context->capacity));
  for (int64_t i = 0; i < count; i++) {
    Result<uint64_t> block = task.mm().Read<uint64_t>(blocks + static_cast<uint64_t>(i) * 8);
    Result<void> result = block.ok() ? SubmitOne(task, *context, *block) : Result<void>(block.error());
    if (!result.ok()) return i > 0 ? Result<uint64_t>(static_cast<uint64_t>(i)) : result.error();
  }
  return static_cast<uint64_t>(count);
}

Result<uint64_t> SysIoCancel(Task& task, uint64_t id, UserAddress block, UserAddress) {
  (void)TRY(task.mm().Read<iocb>(block));
  (void)TRY(Find(task, id));
  return Errno::kEINVAL;  // nothing that is under way can be taken back
}

Result<uint64_t> SysIoGetevents(Task& task, uint64_t id, int64_t least, int64_t most, UserAddress events, InArg<timespec> timeout) {
  int64_t deadline = TRY(ReadDeadline(task, timeout));
  RefPtr<AioContext> context = TRY(Find(task, id));
  TRY(CheckCounts(least, most));
  bool interrupted = false;
  uint64_t count = TRY(Fetch(task, *context, least, most, events, deadline, &interrupted));
  return count == 0 && interrupted ? Result<uint64_t>(Errno::kEINTR) : count;
}

Result<uint64_t> SysIoPgetevents(Task& task, uint64_t id, int64_t least, int64_t most, UserAddress events, InArg<timespec> timeout,
                                 UserAddress mask) {
  struct Mask {
    uint64_t set, size;
  };
  int64_t deadline = TRY(ReadDeadline(task, timeout));
  RefPtr<AioContext> context = TRY(Find(task, id));
  TRY(CheckCounts(least, most));
  if (mask != 0) {
    Mask wanted = TRY(task.mm().Read<Mask>(mask));
    if (wanted.set != 0) {
      if (wanted.size != sizeof(SignalSet)) return Errno::kEINVAL;
      task.SetTemporaryMask(TRY(task.mm().Read<SignalSet>(wanted.set)));
    }
  }
  bool interrupted = false;
  uint64_t count = TRY(Fetch(task, *context, least, most, events, deadline, &interrupted));
  return count == 0 && interrupted ? Result<uint64_t>(Errno::kERESTARTNOHAND) : count;
}

}  // namespace syscalls
