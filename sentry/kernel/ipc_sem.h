#pragma once

// System V semaphores: semget(2), semop(2), semctl(2).

#include <sys/sem.h>

#include <list>
#include <map>
#include <vector>

#include "base/wait_queue.h"
#include "sentry/kernel/ipc_object.h"

namespace kernel {

class SemUndoList;
class Task;

class SemaphoreSet final : public RefCounted {
 public:
  static constexpr int kMaxValue = 32767;  // SEMVMX
  struct Semaphore {
    int value = 0;
    int last_pid = 0;
  };
  // A caller that is blocked: on which semaphore, and for zero or for more.
  struct Blocked {
    unsigned number;
    bool for_zero;
    bool no_wait;
  };

  explicit SemaphoreSet(size_t count) : semaphores(count) {}

  // All of `ops`, or none. EAGAIN when it would block (*blocked says where), ERANGE.
  Result<void> Try(const std::vector<sembuf>& ops, int pid, SemUndoList* undo, Blocked* blocked);
  // semctl(SETVAL, SETALL): forgets what processes would undo.
  void SetValue(size_t number, int value, int pid);
  void OnRemoved();
  int Waiting(unsigned number, bool for_zero) const;

  IpcPermissions permissions;
  bool removed = false;
  std::vector<Semaphore> semaphores;
  WaitQueue changes;
  std::list<Blocked*> waiters;
  int64_t operation_time = 0, change_time = 0;

 private:
  friend class SemUndoList;
  std::list<SemUndoList*> undo_lists_;
};

// What SEM_UNDO operations of a process, or of those that share it by CLONE_SYSVSEM, are to be undone by: done when the last
// of them ends.
class SemUndoList final : public RefCounted {
 public:
  ~SemUndoList() override;
  std::vector<int>& Adjustments(SemaphoreSet& set);
  void Forget(SemaphoreSet& set) { adjustments_.erase(RefPtr<SemaphoreSet>(&set)); }
  int pid = 0;  // for the semaphores' last_pid

 private:
  struct Less {
    bool operator()(const RefPtr<SemaphoreSet>& a, const RefPtr<SemaphoreSet>& b) const { return a.get() < b.get(); }
  };
  std::map<RefPtr<SemaphoreSet>, std::vector<int>, Less> adjustments_;
};

// Parks until the operations are done. EIDRM, EINTR, EAGAIN at the deadline, ERANGE.
Result<void> SemOperate(Task& task, SemaphoreSet& set, const std::vector<sembuf>& ops, int64_t deadline);

}  // namespace kernel
