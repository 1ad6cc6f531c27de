#include "sentry/kernel/futex.h"

#include <linux/futex.h>

#include "base/event_loop.h"

namespace kernel {

void FutexTable::Enqueue(Waiter& waiter) {
  Queue& queue = queues_[waiter.key];
  waiter.prev = queue.tail;
  waiter.next = nullptr;
  (queue.tail != nullptr ? queue.tail->next : queue.head) = &waiter;
  queue.tail = &waiter;
  waiter.queued = true;
}

void FutexTable::Dequeue(Waiter& waiter) {
  if (!waiter.queued) return;
  auto it = queues_.find(waiter.key);
  Queue& queue = it->second;
  (waiter.prev != nullptr ? waiter.prev->next : queue.head) = waiter.next;
  (waiter.next != nullptr ? waiter.next->prev : queue.tail) = waiter.prev;
  waiter.queued = false;
  if (queue.head == nullptr) queues_.erase(it);
}

uint64_t FutexTable::WakeKey(const mm::FutexKey& key, uint64_t count, uint32_t bitset) {
  auto it = queues_.find(key);
  if (it == queues_.end()) return 0;
  uint64_t woken = 0;
  for (Waiter* waiter = it->second.head; waiter != nullptr && woken < count;) {
    Waiter* next = waiter->next;
    if ((waiter->bitset & bitset) != 0) {
      bool last = next == nullptr && waiter->prev == nullptr;
      waiter->woken = true;
      Dequeue(*waiter);
      waiter->fiber->Unpark();
      woken++;
      if (last) break;  // the queue is gone
    }
    waiter = next;
  }
  return woken;
}

Result<void> FutexTable::Wait(mm::MemoryManager& memory, UserAddress address, bool shared, uint32_t expected,
                              uint32_t bitset, int64_t deadline_ns) {
  if (bitset == 0) return Errno::kEINVAL;
  Waiter waiter{.key = TRY(memory.GetFutexKey(address, shared)), .bitset = bitset, .fiber = base::Fiber::Current()};
  // From the load to the park nothing else runs in the kernel: a waker that changes the word afterwards finds the waiter.
  uint32_t value = TRY(memory.AtomicWord(address, false))->load();
  if (value != expected) return Errno::kEAGAIN;
  Enqueue(waiter);
  while (!waiter.woken) {
    base::WakeReason reason = base::Fiber::Block(deadline_ns);
    if (waiter.woken || reason == base::WakeReason::kWoken) continue;
    Dequeue(waiter);
    return reason == base::WakeReason::kTimedOut ? Errno::kETIMEDOUT : Errno::kERESTARTSYS;
  }
  return {};
}

Result<uint64_t> FutexTable::WaitMany(mm::MemoryManager& memory, const std::vector<WaitvEntry>& entries, int64_t deadline_ns) {
  std::vector<Waiter> waiters(entries.size());
  auto leave = [&] {
    for (Waiter& waiter : waiters) Dequeue(waiter);
  };
  for (size_t i = 0; i < entries.size(); i++) {
    Result<mm::FutexKey> key = memory.GetFutexKey(entries[i].address, entries[i].shared);
    Result<std::atomic<uint32_t>*> word = memory.AtomicWord(entries[i].address, false);
    if (!key.ok() || !word.ok() || (*word)->load() != entries[i].expected) {
      leave();
      return !key.ok() ? key.error() : !word.ok() ? word.error() : Errno::kEAGAIN;
    }
    waiters[i].key = *key;
    waiters[i].fiber = base::Fiber::Current();
    Enqueue(waiters[i]);
  }
  for (;;) {
    for (size_t i = 0; i < waiters.size(); i++) {
      if (waiters[i].woken) {
        leave();
        return uint64_t{i};
      }
    }
    base::WakeReason reason = base::Fiber::Block(deadline_ns);
    if (reason == base::WakeReason::kWoken) continue;
    bool woken = false;
    for (Waiter& waiter : waiters) woken |= waiter.woken;
    if (woken) continue;
    leave();
    return reason == base::WakeReason::kTimedOut ? Errno::kETIMEDOUT : Errno::kERESTARTSYS;
  }
}

Result<uint64_t> FutexTable::Wake(mm::MemoryManager& memory, UserAddress address, bool shared, uint64_t count, uint32_t bitset) {
  if (bitset == 0) return Errno::kEINVAL;
  return WakeKey(TRY(memory.GetFutexKey(address, shared)), count, bitset);
}

Result<uint64_t> FutexTable::Requeue(mm::MemoryManager& memory, UserAddress from, UserAddress to, bool shared, uint64_t wake,
                                     uint64_t requeue, const uint32_t* compare) {
  mm::FutexKey from_key = TRY(memory.GetFutexKey(from, shared));
  mm::FutexKey to_key = TRY(memory.GetFutexKey(to, shared));
  if (compare != nullptr) {
    if (TRY(memory.AtomicWord(from, false))->load() != *compare) return Errno::kEAGAIN;
  }
  uint64_t done = WakeKey(from_key, wake, ~0u);
  if (from_key == to_key) return done;
  for (uint64_t moved = 0; moved < requeue; moved++) {
    auto it = queues_.find(from_key);
    if (it == queues_.end()) break;
    Waiter* waiter = it->second.head;
    Dequeue(*waiter);
    waiter->key = to_key;
    Enqueue(*waiter);
    done++;
  }
  return done;
}

Result<uint64_t> FutexTable::WakeOp(mm::MemoryManager& memory, UserAddress address, UserAddress address2, bool shared,
                                    uint64_t count, uint64_t count2, uint32_t op) {
  mm::FutexKey key = TRY(memory.GetFutexKey(address, shared));
  mm::FutexKey key2 = TRY(memory.GetFutexKey(address2, shared));
  uint32_t operation = (op >> 28) & 7, comparison = (op >> 24) & 15;
  // Both arguments are signed 12-bit numbers.
  auto sign_extend = [](uint32_t v) { return static_cast<int32_t>(v << 20) >> 20; };
  int32_t argument = sign_extend((op >> 12) & 0xfff), compare_to = sign_extend(op & 0xfff);
  uint32_t operand = static_cast<uint32_t>(argument);
  if (((op >> 28) & FUTEX_OP_OPARG_SHIFT) != 0) operand = 1u << (operand & 31);
  std::atomic<uint32_t>* word = TRY(memory.AtomicWord(address2, true));
  uint32_t old = word->load();
  for (;;) {
    uint32_t value;
    switch (operation) {
      case FUTEX_OP_SET: value = operand; break;
      case FUTEX_OP_ADD: value = old + operand; break;
      case FUTEX_OP_OR: value = old | operand; break;
      case FUTEX_OP_ANDN: value = old & ~operand; break;
      case FUTEX_OP_XOR: value = old ^ operand; break;
      default: return Errno::kENOSYS;
    }
    if (word->compare_exchange_strong(old, value)) break;
  }
  int32_t signed_old = static_cast<int32_t>(old);
  bool holds;
  switch (comparison) {
    case FUTEX_OP_CMP_EQ: holds = signed_old == compare_to; break;
    case FUTEX_OP_CMP_NE: holds = signed_old != compare_to; break;
    case FUTEX_OP_CMP_LT: holds = signed_old < compare_to; break;
    case FUTEX_OP_CMP_LE: holds = signed_old <= compare_to; break;
    case FUTEX_OP_CMP_GT: holds = signed_old > compare_to; break;
    case FUTEX_OP_CMP_GE: holds = signed_old >= compare_to; break;
    default: return Errno::kENOSYS;
  }
  uint64_t woken = WakeKey(key, count, ~0u);
  if (holds) woken += WakeKey(key2, count2, ~0u);
  return woken;
}

Result<void> FutexTable::LockPi(mm::MemoryManager& memory, UserAddress address, bool shared, uint32_t tid, int64_t deadline_ns,
                                bool try_only) {
  Waiter waiter{.key = TRY(memory.GetFutexKey(address, shared)), .fiber = base::Fiber::Current(), .pi_tid = tid};
  std::atomic<uint32_t>* word = TRY(memory.AtomicWord(address, true));
  uint32_t value = word->load();
  for (;;) {
    if ((value & FUTEX_TID_MASK) == tid) return Errno::kEDEADLK;
    if ((value & FUTEX_TID_MASK) == 0) {
      if (word->compare_exchange_strong(value, tid | (value & (FUTEX_WAITERS | FUTEX_OWNER_DIED)))) return {};
      continue;
    }
    if (try_only) return Errno::kEAGAIN;
    if (word->compare_exchange_strong(value, value | FUTEX_WAITERS)) break;
  }
  Enqueue(waiter);
  while (!waiter.woken) {
    base::WakeReason reason = base::Fiber::Block(deadline_ns);
    if (waiter.woken || reason == base::WakeReason::kWoken) continue;
    Dequeue(waiter);
    return reason == base::WakeReason::kTimedOut ? Errno::kETIMEDOUT : Errno::kERESTARTNOINTR;
  }
  return {};  // UnlockPi wrote our tid into the word
}

Result<void> FutexTable::UnlockPi(mm::MemoryManager& memory, UserAddress address, bool shared, uint32_t tid) {
  mm::FutexKey key = TRY(memory.GetFutexKey(address, shared));
  std::atomic<uint32_t>* word = TRY(memory.AtomicWord(address, true));
  if ((word->load() & FUTEX_TID_MASK) != tid) return Errno::kEPERM;
  auto it = queues_.find(key);
  Waiter* next = it != queues_.end() ? it->second.head : nullptr;
  while (next != nullptr && next->pi_tid == 0) next = next->next;
  if (next == nullptr) {
    word->store(0);
    return {};
  }
  bool more = next->next != nullptr;
  word->store(next->pi_tid | (more ? FUTEX_WAITERS : 0));
  next->woken = true;
  Dequeue(*next);
  next->fiber->Unpark();
  return {};
}

}  // namespace kernel
