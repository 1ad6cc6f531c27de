#pragma once

// Stub processes that wait for an address space: fresh ones, ordered ahead of need, and used ones
// that were emptied. Also owns the slots: the memory that each stub shares with the Sentry. Under
// the kernel lock.

#include <atomic>
#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "base/event_loop.h"
#include "base/fd.h"
#include "base/ref.h"
#include "base/result.h"
#include "platform/platform.h"
#include "platform/systrap/cpuid_table.h"
#include "platform/systrap/stub_process.h"
#include "platform/systrap/zygote.h"

namespace platform::systrap {

class StubPool {
 public:
  StubPool() = default;
  ~StubPool();

  Result<void> Start(const Platform::Options& options);
  void Shutdown();

  // An empty stub. Waits for the zygote where none is ready, with the lock dropped. EAGAIN when the
  // host refuses.
  Result<RefPtr<StubProcess>> Take();
  // Keeps an emptied stub for reuse; false when there are enough.
  bool TakeBack(StubProcess& stub);
  void OnStubGone(StubProcess& stub);
  void OnStubDeleted() { live_--; }

  // Looks after threads that were sent the interrupt signal.
  void WatchSignals();

  char* slot_memory(uint32_t slot) const { return memory_ + slot * kSlotSize; }
  // Calls after which a call site is replaced; 0: never.
  int hot_calls() const { return hot_calls_; }
  CpuidTable& cpuid() { return cpuid_; }
  const Zygote& zygote() const { return zygote_; }
  bool synchronous() const { return synchronous_; }
  void set_synchronous(bool synchronous) { synchronous_ = synchronous; }

 private:
  Result<RefPtr<StubProcess>> TakeFresh();
  Result<void> Request();
  Result<StubListeners> Receive();
  void CheckSignals();

  Zygote zygote_;
  Fd control_;
  char* memory_ = nullptr;
  CpuidTable cpuid_;
  std::vector<uint32_t> free_slots_;
  uint32_t next_slot_ = 0;
  int requested_ = 0;  // stubs that the zygote was asked for and that nobody has received
  int waiting_ = 0;    // fibers that wait for one of them
  bool shut_down_ = false;
  bool synchronous_ = true;
  int hot_calls_ = 0;
  std::atomic<int> live_{0};  // StubProcess objects
  std::vector<RefPtr<StubProcess>> used_;
  std::vector<StubListeners> ready_;         // received before anybody asked
  absl::flat_hash_set<StubProcess*> stubs_;  // alive
  base::Timer watchdog_{[this] { CheckSignals(); }};
};

}  // namespace platform::systrap
