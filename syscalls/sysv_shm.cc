// shmget(2), shmop(2), shmctl(2).

#include <sys/shm.h>

#include "base/event_loop.h"
#include "sentry/kernel/sysv_ipc.h"
#include "syscalls/handlers.h"

namespace syscalls {

using kernel::ShmSegment;
using kernel::SysvIpc;

namespace {

constexpr uint64_t kMaxSize = UINT64_MAX - (1 << 24);  // SHMMAX
constexpr int kMaxSegments = 4096;                     // SHMMNI

int64_t Now() { return base::RealtimeNow() / 1'000'000'000; }
SysvIpc& Ipc(Task& task) { return SysvIpc::Of(*task.namespaces.ipc); }
const base::UserNamespace& Owner(Task& task) { return *task.namespaces.ipc->user_ns; }

shmid_ds StatusOf(Task& task, const ShmSegment& segment) {
  shmid_ds out = {};
  out.shm_perm = segment.permissions.ForUser(*task.creds());
  out.shm_segsz = segment.size();
  out.shm_atime = segment.attach_time;
  out.shm_dtime = segment.detach_time;
  out.shm_ctime = segment.change_time;
  out.shm_cpid = segment.creator_pid;
  out.shm_lpid = segment.last_pid;
  out.shm_nattch = segment.attached(1);
  return out;
}

}  // namespace

Result<uint64_t> SysShmget(Task& task, key_t key, size_t size, FlagsArg flags) {
  auto& table = Ipc(task).shm;
  auto make = [&]() -> Result<RefPtr<ShmSegment>> {
    if (size == 0 || size > kMaxSize) return Errno::kEINVAL;
    if (table.objects().size() >= static_cast<size_t>(kMaxSegments)) return Errno::kENOSPC;
    RefPtr<ShmSegment> segment = TRY(ShmSegment::Create(table, size));
    segment->creator_pid = task.tgid();
    segment->change_time = Now();
    return segment;
  };
  auto fits = [&](ShmSegment& segment) -> Result<void> {
    return size > segment.size() ? Result<void>(Errno::kEINVAL) : Result<void>();
  };
  return static_cast<uint64_t>(TRY(kernel::IpcGet(table, *task.creds(), Owner(task), key, flags, make, fits)));
}

Result<uint64_t> SysShmat(Task& task, int id, UserAddress address, FlagsArg flags) {
  int how = flags;
  if (address % kPageSize != 0) {
    if ((how & SHM_RND) == 0) return Errno::kEINVAL;
    address -= address % kPageSize;
    if (address == 0 && (how & SHM_REMAP) != 0) return Errno::kEINVAL;
  } else if (address == 0 && (how & SHM_REMAP) != 0) {
    return Errno::kEINVAL;
  }
  RefPtr<ShmSegment> segment = TRY(Ipc(task).shm.Find(id));
  bool writable = (how & SHM_RDONLY) == 0;
  bool executable = (how & SHM_EXEC) != 0;
  TRY(segment->permissions.Check(*task.creds(), 0444u | (writable ? 0222u : 0u) | (executable ? 0111u : 0u), Owner(task)));
  mm::MapRequest request;
  request.address = address;
  request.length = segment->size();
  request.prot = PROT_READ | (writable ? PROT_WRITE : 0) | (executable ? PROT_EXEC : 0);
  request.max_prot = request.prot | PROT_EXEC;
  request.flags = MAP_SHARED;
  if (address != 0) request.flags |= (how & SHM_REMAP) != 0 ? MAP_FIXED : MAP_FIXED_NOREPLACE;
  request.mappable = segment;
  request.name = fmt::format("/SYSV{:08x} (deleted)", static_cast<uint32_t>(segment->permissions.key));
  RefPtr<mm::MemoryManager> memory = task.memory();
  Result<uint64_t> at = memory->Map(request);
  if (!at.ok()) return at.error() == Errno::kEEXIST ? Errno::kEINVAL : at.error();
  segment->attach_time = Now();
  segment->last_pid = task.tgid();
  return at;
}

Result<uint64_t> SysShmdt(Task& task, UserAddress address) {
  if (address % kPageSize != 0) return Errno::kEINVAL;
  RefPtr<mm::MemoryManager> memory = task.memory();
  // The areas of one attachment: those of the segment that lie as they did when it was attached, wherever parts are gone.
  std::vector<std::pair<uint64_t, uint64_t>> areas;
  RefPtr<ShmSegment> segment;
  memory->ForEachVma([&](const mm::VmaInfo& vma) {
    if (vma.start < address || (segment && vma.start - address >= base::PageUp(segment->size()))) return true;
    ShmSegment* found = ShmSegment::From(vma.mappable);
    if (found == nullptr || vma.start - address != vma.offset || (segment && segment.get() != found)) return true;
    segment = RefPtr<ShmSegment>(found);
    areas.emplace_back(vma.start, vma.end);
    return true;
  });
  if (!segment) return Errno::kEINVAL;
  segment->detach_time = Now();
  segment->last_pid = task.tgid();
  for (auto [start, end] : areas) TRY(memory->Unmap(start, end - start));
  return 0;
}

Result<uint64_t> SysShmctl(Task& task, int id, int command, UserAddress buffer) {
  auto& table = Ipc(task).shm;
  switch (command) {
    case IPC_INFO: {
      shminfo info = {};
      info.shmmax = kMaxSize;
      info.shmmin = 1;
      info.shmmni = info.shmseg = kMaxSegments;
      info.shmall = kMaxSize;
      TRY(task.mm().Write<shminfo>(buffer, info));
      return static_cast<uint64_t>(table.highest_index());
    }
    case SHM_INFO: {
      shm_info info = {};
      for (auto& [index, segment] : table.objects()) {
        info.used_ids++;
        info.shm_tot += base::PageUp(segment->size()) / kPageSize;
      }
      info.shm_rss = info.shm_tot;
      TRY(task.mm().Write<shm_info>(buffer, info));
      return static_cast<uint64_t>(table.highest_index());
    }
    case SHM_STAT:
    case SHM_STAT_ANY:
    case IPC_STAT: {
      RefPtr<ShmSegment> segment = TRY(command == IPC_STAT ? table.Find(id) : table.AtIndex(id));
      if (command != SHM_STAT_ANY) TRY(segment->permissions.Check(*task.creds(), 0444, Owner(task)));
      int full_id = segment->permissions.id;
      TRY(task.mm().Write<shmid_ds>(buffer, StatusOf(task, *segment)));
      return command == IPC_STAT ? 0 : static_cast<uint64_t>(full_id);
    }
    case IPC_SET: {
      auto wanted = TRY(task.mm().Read<shmid_ds>(buffer));
      RefPtr<ShmSegment> segment = TRY(table.Find(id));
      TRY(segment->permissions.CheckOwner(*task.creds(), Owner(task)));
      TRY(segment->permissions.Set(wanted.shm_perm, *task.creds()));
      segment->change_time = Now();
      return 0;
    }
    case IPC_RMID: {
      RefPtr<ShmSegment> segment = TRY(table.Find(id));
      TRY(segment->permissions.CheckOwner(*task.creds(), Owner(task)));
      segment->Destroy();
      return 0;
    }
    case SHM_LOCK:
    case SHM_UNLOCK: {
      RefPtr<ShmSegment> segment = TRY(table.Find(id));
      const Credentials& creds = *task.creds();
      if (!creds.HasIn(CAP_IPC_LOCK, Owner(task))) {
        if (creds.euid != segment->permissions.uid && creds.euid != segment->permissions.cuid) return Errno::kEPERM;
        if (command == SHM_LOCK && task.thread_group().Limit(RLIMIT_MEMLOCK) == 0) return Errno::kEPERM;
      }
      // Nothing is ever swapped out; only the mark is kept.
      if (command == SHM_LOCK) segment->permissions.mode |= ShmSegment::kLocked;
      else segment->permissions.mode &= ~ShmSegment::kLocked;
      return 0;
    }
    default:
      return Errno::kEINVAL;
  }
}

}  // namespace syscalls
