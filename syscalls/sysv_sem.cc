// semget(2), semop(2), semctl(2).

#include <sys/sem.h>

#include "base/event_loop.h"
#include "sentry/kernel/sysv_ipc.h"
#include "syscalls/handlers.h"
#include "syscalls/time_util.h"

namespace syscalls {

using kernel::SemaphoreSet;
using kernel::SysvIpc;

namespace {

constexpr int kMaxPerSet = 32000, kMaxOperations = 500;  // SEMMSL, SEMOPM
constexpr uint64_t kMaxTotal = 1024000000;               // SEMMNS
// Linux would take SEMMNS for what it is; this bounds what an application makes the Sentry hold.
constexpr uint64_t kMaxHeld = 8 << 20;

int64_t Now() { return base::RealtimeNow() / kSecond; }
SysvIpc& Ipc(Task& task) { return SysvIpc::Of(*task.namespaces.ipc); }
const base::UserNamespace& Owner(Task& task) { return *task.namespaces.ipc->user_ns; }

uint64_t TotalSemaphores(Task& task) {
  uint64_t total = 0;
  for (auto& [index, set] : Ipc(task).sem.objects()) total += set->semaphores.size();
  return total;
}

Result<uint64_t> Operate(Task& task, int id, UserAddress operations, size_t count, int64_t deadline) {
  if (count == 0 || id < 0) return Errno::kEINVAL;
  if (count > static_cast<size_t>(kMaxOperations)) return Errno::kE2BIG;
  std::vector<sembuf> ops(count);
  TRY(task.mm().CopyIn(ops.data(), operations, count * sizeof(sembuf)));
  RefPtr<SemaphoreSet> set = TRY(Ipc(task).sem.Find(id));
  bool alters = false;
  for (const sembuf& op : ops) {
    if (op.sem_num >= set->semaphores.size()) return Errno::kEFBIG;
    if (op.sem_op != 0) alters = true;
  }
  TRY(set->permissions.Check(*task.creds(), alters ? 0222 : 0444, Owner(task)));
  TRY(kernel::SemOperate(task, *set, ops, deadline));
  return 0;
}

seminfo Limits(Task& task, bool usage) {
  seminfo info = {};
  info.semmni = kernel::IpcTable<SemaphoreSet>::kMaxObjects;
  info.semmns = static_cast<int>(kMaxTotal);
  info.semmsl = kMaxPerSet;
  info.semopm = kMaxOperations;
  info.semvmx = SemaphoreSet::kMaxValue;
  info.semmnu = info.semmap = info.semmns;
  info.semume = info.semopm;
  info.semusz = usage ? static_cast<int>(Ipc(task).sem.objects().size()) : 20;
  info.semaem = usage ? static_cast<int>(TotalSemaphores(task)) : SemaphoreSet::kMaxValue;
  return info;
}

Result<uint64_t> ControlOne(Task& task, SemaphoreSet& set, int number, int command, uint64_t argument) {
  if (number < 0 || static_cast<size_t>(number) >= set.semaphores.size()) return Errno::kEINVAL;
  SemaphoreSet::Semaphore& semaphore = set.semaphores[static_cast<size_t>(number)];
  TRY(set.permissions.Check(*task.creds(), command == SETVAL ? 0222 : 0444, Owner(task)));
  switch (command) {
    case GETVAL: return static_cast<uint64_t>(semaphore.value);
    case GETPID: return static_cast<uint64_t>(semaphore.last_pid);
    case GETNCNT: return static_cast<uint64_t>(set.Waiting(static_cast<unsigned>(number), false));
    case GETZCNT: return static_cast<uint64_t>(set.Waiting(static_cast<unsigned>(number), true));
  }
  int value = static_cast<int>(argument);
  if (value < 0 || value > SemaphoreSet::kMaxValue) return Errno::kERANGE;
  set.SetValue(static_cast<size_t>(number), value, task.tgid());
  set.change_time = Now();
  set.changes.Notify(EPOLLIN);
  return 0;
}

Result<uint64_t> GetAll(Task& task, SemaphoreSet& set, UserAddress array) {
  TRY(set.permissions.Check(*task.creds(), 0444, Owner(task)));
  std::vector<uint16_t> values;
  for (const auto& semaphore : set.semaphores) values.push_back(static_cast<uint16_t>(semaphore.value));
  TRY(task.mm().CopyOut(array, values.data(), values.size() * 2));
  return 0;
}

Result<uint64_t> SetAll(Task& task, SemaphoreSet& set, UserAddress array) {
  TRY(set.permissions.Check(*task.creds(), 0222, Owner(task)));
  std::vector<uint16_t> values(set.semaphores.size());
  TRY(task.mm().CopyIn(values.data(), array, values.size() * 2));
  for (uint16_t value : values) {
    if (value > SemaphoreSet::kMaxValue) return Errno::kERANGE;
  }
  if (set.removed) return Errno::kEIDRM;
  for (size_t i = 0; i < values.size(); i++) set.SetValue(i, values[i], task.tgid());
  set.change_time = Now();
  set.changes.Notify(EPOLLIN);
  return 0;
}

Result<uint64_t> GetStatus(Task& task, int id, int command, UserAddress buffer) {
  auto& table = Ipc(task).sem;
  RefPtr<SemaphoreSet> set = TRY(command == IPC_STAT ? table.Find(id) : table.AtIndex(id));
  if (command != SEM_STAT_ANY) TRY(set->permissions.Check(*task.creds(), 0444, Owner(task)));
  semid_ds out = {};
  out.sem_perm = set->permissions.ForUser(*task.creds());
  out.sem_otime = set->operation_time;
  out.sem_ctime = set->change_time;
  out.sem_nsems = set->semaphores.size();
  int full_id = set->permissions.id;
  TRY(task.mm().Write<semid_ds>(buffer, out));
  return command == IPC_STAT ? 0 : static_cast<uint64_t>(full_id);
}

}  // namespace

Result<uint64_t> SysSemget(Task& task, key_t key, int count, FlagsArg flags) {
  if (count < 0 || count > kMaxPerSet) return Errno::kEINVAL;
  auto make = [&]() -> Result<RefPtr<SemaphoreSet>> {
    if (count == 0) return Errno::kEINVAL;
    if (TotalSemaphores(task) + static_cast<uint64_t>(count) > kMaxHeld) return Errno::kENOSPC;
    auto set = MakeRef<SemaphoreSet>(static_cast<size_t>(count));
    set->change_time = Now();
    return set;
  };
  auto fits = [&](SemaphoreSet& set) -> Result<void> {
    return static_cast<size_t>(count) > set.semaphores.size() ? Result<void>(Errno::kEINVAL) : Result<void>();
  };
  return static_cast<uint64_t>(TRY(kernel::IpcGet(Ipc(task).sem, *task.creds(), Owner(task), key, flags, make, fits)));
}

Result<uint64_t> SysSemop(Task& task, int id, UserAddress operations, size_t count) {
  return Operate(task, id, operations, count, base::kNoDeadline);
}

Result<uint64_t> SysSemtimedop(Task& task, int id, UserAddress operations, size_t count, InArg<timespec> timeout) {
  int64_t deadline = base::kNoDeadline;
  if (!timeout.null()) deadline = TRY(RelativeDeadline(TRY(timeout.Read(task))));
  return Operate(task, id, operations, count, deadline);
}

Result<uint64_t> SysSemctl(Task& task, int id, int number, int command, uint64_t argument) {
  auto& table = Ipc(task).sem;
  switch (command) {
    case IPC_INFO:
    case SEM_INFO:
      TRY(task.mm().Write<seminfo>(argument, Limits(task, command == SEM_INFO)));
      return static_cast<uint64_t>(table.highest_index());
    case IPC_STAT:
    case SEM_STAT:
    case SEM_STAT_ANY:
      return GetStatus(task, id, command, argument);
    case GETVAL:
    case GETPID:
    case GETNCNT:
    case GETZCNT:
    case SETVAL:
      return ControlOne(task, *TRY(table.Find(id)), number, command, argument);
    case GETALL:
      return GetAll(task, *TRY(table.Find(id)), argument);
    case SETALL:
      return SetAll(task, *TRY(table.Find(id)), argument);
    case IPC_SET: {
      auto wanted = TRY(task.mm().Read<semid_ds>(argument));
      RefPtr<SemaphoreSet> set = TRY(table.Find(id));
      TRY(set->permissions.CheckOwner(*task.creds(), Owner(task)));
      TRY(set->permissions.Set(wanted.sem_perm, *task.creds()));
      set->change_time = Now();
      return 0;
    }
    case IPC_RMID: {
      RefPtr<SemaphoreSet> set = TRY(table.Find(id));
      TRY(set->permissions.CheckOwner(*task.creds(), Owner(task)));
      table.Remove(*set);
      return 0;
    }
    default:
      return Errno::kEINVAL;
  }
}

}  // namespace syscalls
