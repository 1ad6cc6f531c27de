#include "base/kernel_lock.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>

#include "base/fiber.h"
#include "base/log.h"

namespace base {

namespace {

// 0 free, 1 held, 2 held and perhaps waited for. Held for a microsecond or so, hence the spin before the futex: waking a
// sleeper costs more than the whole section.
std::atomic<uint32_t> state{0};
constexpr int kSpins = 200;

thread_local bool held = false;
thread_local KernelLock::WorkerHooks* worker_hooks = nullptr;

[[gnu::noinline]] bool& Held() {
  asm volatile("");
  return held;
}
[[gnu::noinline]] KernelLock::WorkerHooks*& Hooks() {
  asm volatile("");
  return worker_hooks;
}

}  // namespace

void KernelLock::Lock() {
  uint32_t expected = 0;
  for (int i = 0; i < kSpins; i++) {
    if (state.load(std::memory_order_relaxed) == 0 &&
        state.compare_exchange_weak(expected, 1, std::memory_order_acquire)) {
      Held() = true;
      return;
    }
    expected = 0;
    __builtin_ia32_pause();
  }
  while (state.exchange(2, std::memory_order_acquire) != 0) {
    syscall(SYS_futex, &state, FUTEX_WAIT_PRIVATE, 2, nullptr, nullptr, 0);
  }
  Held() = true;
}

void KernelLock::Unlock() {
  Held() = false;
  if (state.exchange(0, std::memory_order_release) == 2) {
    syscall(SYS_futex, &state, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
  }
}

bool KernelLock::HeldByCurrentThread() { return Held(); }

void KernelLock::SetWorkerHooks(WorkerHooks* hooks) { Hooks() = hooks; }

KernelLock::Section::Section() { Lock(); }

KernelLock::Section::~Section() {
  FiberRunner::RunReady();
  Unlock();
}

KernelLock::Unlocked::Unlocked() : worker_(Hooks()) {
  CHECK(Held());
  if (FiberRunner::HasReady() && FiberRunner::on_abandon != nullptr) FiberRunner::on_abandon();
  Unlock();
  if (worker_ != nullptr) static_cast<WorkerHooks*>(worker_)->OnBlock();
}

KernelLock::Unlocked::~Unlocked() {
  if (worker_ != nullptr) static_cast<WorkerHooks*>(worker_)->OnUnblock();
  Lock();
}

}  // namespace base
