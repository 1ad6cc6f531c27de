#pragma once

// The futex table: futex(2). Keys come from MemoryManager::GetFutexKey. All under the kernel lock, so a check of the word
// and the queueing are atomic towards wakers; the word itself is changed by application code at any time.

#include <cstdint>

#include "absl/container/flat_hash_map.h"
#include "base/fiber.h"
#include "base/result.h"
#include "sentry/mm/memory_manager.h"

namespace kernel {

class FutexTable {
 public:
  // FUTEX_WAIT_BITSET: EAGAIN where *address != expected; ETIMEDOUT; ERESTARTSYS. Parks.
  Result<void> Wait(mm::MemoryManager& memory, UserAddress address, bool shared, uint32_t expected, uint32_t bitset,
                    int64_t deadline_ns);
  // How many were woken.
  Result<uint64_t> Wake(mm::MemoryManager& memory, UserAddress address, bool shared, uint64_t count, uint32_t bitset);
  // FUTEX_REQUEUE and (with `compare`) FUTEX_CMP_REQUEUE: woken plus requeued.
  Result<uint64_t> Requeue(mm::MemoryManager& memory, UserAddress from, UserAddress to, bool shared, uint64_t wake,
                           uint64_t requeue, const uint32_t* compare);
  // FUTEX_WAKE_OP.
  Result<uint64_t> WakeOp(mm::MemoryManager& memory, UserAddress address, UserAddress address2, bool shared, uint64_t count,
                          uint64_t count2, uint32_t op);
  // futex_waitv: waits on several; the index of the one that was woken.
  struct WaitvEntry {
    UserAddress address;
    uint32_t expected;
    bool shared;
  };
  Result<uint64_t> WaitMany(mm::MemoryManager& memory, const std::vector<WaitvEntry>& entries, int64_t deadline_ns);

  // Priority inheritance futexes, without priorities: the owner's tid in the word. `tid` is the caller's.
  Result<void> LockPi(mm::MemoryManager& memory, UserAddress address, bool shared, uint32_t tid, int64_t deadline_ns, bool try_only);
  Result<void> UnlockPi(mm::MemoryManager& memory, UserAddress address, bool shared, uint32_t tid);

 private:
  struct Waiter {
    mm::FutexKey key;
    uint32_t bitset = ~0u;
    base::Fiber* fiber = nullptr;
    bool woken = false;
    uint32_t pi_tid = 0;
    Waiter* prev = nullptr;
    Waiter* next = nullptr;
    bool queued = false;
  };
  struct Queue {
    Waiter* head = nullptr;
    Waiter* tail = nullptr;
  };
  void Enqueue(Waiter& waiter);
  void Dequeue(Waiter& waiter);
  uint64_t WakeKey(const mm::FutexKey& key, uint64_t count, uint32_t bitset);

  absl::flat_hash_map<mm::FutexKey, Queue> queues_;
};

}  // namespace kernel
