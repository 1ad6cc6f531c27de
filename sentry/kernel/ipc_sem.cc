#include "sentry/kernel/ipc_sem.h"

#include <algorithm>

#include "base/event_loop.h"
#include "sentry/kernel/task.h"

namespace kernel {

Result<void> SemaphoreSet::Try(const std::vector<sembuf>& ops, int pid, SemUndoList* undo, Blocked* blocked) {
  // On copies, which replace the values once everything has passed.
  std::vector<Semaphore> after = semaphores;
  std::vector<int> adjust;
  if (undo != nullptr) adjust = undo->Adjustments(*this);
  for (const sembuf& op : ops) {
    Semaphore& semaphore = after[op.sem_num];
    bool blocks = op.sem_op == 0 ? semaphore.value != 0 : semaphore.value + op.sem_op < 0;
    if (blocks) {
      *blocked = {op.sem_num, op.sem_op == 0, (op.sem_flg & IPC_NOWAIT) != 0};
      return Errno::kEAGAIN;
    }
    if (semaphore.value + op.sem_op > kMaxValue) return Errno::kERANGE;
    if ((op.sem_flg & SEM_UNDO) != 0) {
      int& value = adjust[op.sem_num];
      value -= op.sem_op;
      if (value < -kMaxValue - 1 || value > kMaxValue) return Errno::kERANGE;
    }
    semaphore.value += op.sem_op;
    semaphore.last_pid = pid;
  }
  semaphores = std::move(after);
  if (undo != nullptr) undo->Adjustments(*this) = std::move(adjust);
  return {};
}

void SemaphoreSet::SetValue(size_t number, int value, int pid) {
  semaphores[number] = {value, pid};
  for (SemUndoList* list : undo_lists_) list->Adjustments(*this)[number] = 0;
}

void SemaphoreSet::OnRemoved() {
  for (SemUndoList* list : std::list<SemUndoList*>(std::move(undo_lists_))) list->Forget(*this);
  undo_lists_.clear();
  changes.Notify(EPOLLIN);
}

int SemaphoreSet::Waiting(unsigned number, bool for_zero) const {
  return static_cast<int>(std::count_if(waiters.begin(), waiters.end(), [&](const Blocked* waiter) {
    return waiter->number == number && waiter->for_zero == for_zero;
  }));
}

std::vector<int>& SemUndoList::Adjustments(SemaphoreSet& set) {
  auto [it, inserted] = adjustments_.try_emplace(RefPtr<SemaphoreSet>(&set), std::vector<int>(set.semaphores.size()));
  if (inserted) set.undo_lists_.push_back(this);
  return it->second;
}

SemUndoList::~SemUndoList() {
  for (auto& [set, adjust] : adjustments_) {
    set->undo_lists_.remove(this);
    if (set->removed) continue;
    for (size_t i = 0; i < adjust.size(); i++) {
      if (adjust[i] == 0) continue;
      SemaphoreSet::Semaphore& semaphore = set->semaphores[i];
      semaphore.value = std::clamp(semaphore.value + adjust[i], 0, SemaphoreSet::kMaxValue);
      semaphore.last_pid = pid;
    }
    set->changes.Notify(EPOLLIN);
  }
}

Result<void> SemOperate(Task& task, SemaphoreSet& set, const std::vector<sembuf>& ops, int64_t deadline) {
  RefPtr<SemaphoreSet> hold(&set);
  bool undoes = std::any_of(ops.begin(), ops.end(), [](const sembuf& op) { return (op.sem_flg & SEM_UNDO) != 0; });
  if (undoes && !task.sem_undo) task.sem_undo = MakeRef<SemUndoList>();
  RefPtr<SemUndoList> undo = undoes ? task.sem_undo : nullptr;
  if (undo) undo->pid = task.tgid();

  SemaphoreSet::Blocked blocked = {};
  base::FiberWaiter waiter;
  bool waits = false;
  Result<void> result;
  for (;;) {
    if (set.removed) {
      result = waits ? Errno::kEIDRM : Errno::kEINVAL;
      break;
    }
    result = set.Try(ops, task.tgid(), undo.get(), &blocked);
    if (result.ok() || result.error() != Errno::kEAGAIN || blocked.no_wait) break;
    if (!waits) {
      waits = true;
      set.waiters.push_back(&blocked);
      set.changes.Add(waiter, EPOLLIN);
    }
    base::WakeReason reason = base::Fiber::Block(deadline);
    if (reason == base::WakeReason::kWoken || set.removed) continue;
    result = reason == base::WakeReason::kTimedOut ? Errno::kEAGAIN : Errno::kEINTR;
    break;
  }
  if (waits) set.waiters.remove(&blocked);
  if (result.ok()) {
    set.operation_time = base::RealtimeNow() / 1'000'000'000;
    bool alters = std::any_of(ops.begin(), ops.end(), [](const sembuf& op) { return op.sem_op != 0; });
    if (alters) set.changes.Notify(EPOLLIN);
  }
  return result;
}

}  // namespace kernel
