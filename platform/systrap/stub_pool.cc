#include "platform/systrap/stub_pool.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cstring>

#include "base/host.h"
#include "base/kernel_lock.h"
#include "base/log.h"

namespace platform::systrap {

namespace {

constexpr int kAhead = 2;
constexpr size_t kMaxUsed = 8;
// A fresh stub may have been killed from outside before anybody needed it.
constexpr int kAttempts = kAhead + 1;
constexpr int64_t kPatienceNs = 10'000'000'000;

// Whether this process is under any seccomp filter already: only then can it be under a notifier,
// which bars another.
bool IsFiltered() { return prctl(PR_GET_SECCOMP) != 0; }

// Stubs need a page at a low address, which the host's vm.mmap_min_addr may bar.
bool HasLowPage() {
  void* page = mmap(reinterpret_cast<void*>(STUB_TABLE), STUB_TABLE_SIZE, PROT_NONE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  if (page == MAP_FAILED) return errno == EEXIST;
  munmap(page, STUB_TABLE_SIZE);
  return true;
}

}  // namespace

StubPool::~StubPool() {
  {
    if (!KernelLock::HeldByCurrentThread()) {
      KernelLock::Section section;
      Shutdown();
    } else {
      Shutdown();
    }
  }
  // The workers still have to notice. Only tests destroy a platform.
  const bool held = KernelLock::HeldByCurrentThread();
  if (held) KernelLock::Unlock();
  while (live_ != 0) usleep(100);
  if (held) KernelLock::Lock();
  if (memory_ != nullptr) munmap(memory_, kControlSize);
}

Result<void> StubPool::Start(const Platform::Options& options) {
  hot_calls_ = HasLowPage() ? options.hot_calls : 0;
  control_ = Fd(TRY(HOST(memfd_create("stub-control", MFD_CLOEXEC))));
  TRY(HOST(ftruncate(control_.get(), kControlSize)));
  void* memory = mmap(nullptr, kControlSize, PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_NORESERVE, control_.get(), 0);
  if (memory == MAP_FAILED) return Errno::kENOMEM;
  memory_ = static_cast<char*>(memory);
  cpuid_.SetPage(memory_ + kCpuidOffset);
  TRY(zygote_.Start(options, control_.get()));
  TRY(Request());
  // The answer takes some 200 us, so wait for it only where it is in doubt.
  if (IsFiltered()) ready_.push_back(TRY(Receive()));
  return {};
}

void StubPool::Shutdown() {
  if (shut_down_) return;
  shut_down_ = true;
  used_.clear();
  zygote_.Kill();
}

Result<void> StubPool::Request() {
  if (shut_down_) return Errno::kESRCH;
  uint32_t slot;
  if (!free_slots_.empty()) {
    slot = free_slots_.back();
    free_slots_.pop_back();
  } else if (next_slot_ < kMaxSlots) {
    slot = next_slot_++;
  } else {
    return Errno::kEAGAIN;
  }
  Result<void> sent = zygote_.Request(slot);
  if (!sent.ok()) {
    free_slots_.push_back(slot);
    return sent;
  }
  requested_++;
  return {};
}

Result<RefPtr<StubProcess>> StubPool::Take() {
  while (!used_.empty()) {
    RefPtr<StubProcess> stub = std::move(used_.back());
    used_.pop_back();
    if (!stub->dead()) return stub;
  }
  Result<RefPtr<StubProcess>> stub = Errno::kEAGAIN;
  for (int i = 0; i < kAttempts && !stub.ok(); i++) stub = TakeFresh();
  return stub;
}

Result<RefPtr<StubProcess>> StubPool::TakeFresh() {
  StubListeners listeners;
  if (!ready_.empty()) {
    listeners = std::move(ready_.back());
    ready_.pop_back();
  } else {
    listeners = TRY(Receive());
  }
  while (requested_ - waiting_ < kAhead) {
    if (!Request().ok()) break;
  }
  live_++;
  RefPtr<StubProcess> stub = TRY(StubProcess::Adopt(
      *this, listeners.slot, std::move(listeners.helper), std::move(listeners.app)));
  stubs_.insert(stub.get());
  return stub;
}

Result<StubListeners> StubPool::Receive() {
  if (requested_ <= waiting_) TRY(Request());
  waiting_++;
  Result<StubListeners> listeners = zygote_.Receive(Zygote::Wait::kNo);
  if (!listeners.ok() && listeners.error() == Errno::kEAGAIN) {
    if (KernelLock::HeldByCurrentThread()) {
      KernelLock::Unlocked unlocked;
      listeners = zygote_.Receive(Zygote::Wait::kYes);
    } else {
      listeners = zygote_.Receive(Zygote::Wait::kYes);  // at set-up
    }
  }
  waiting_--;
  requested_--;
  if (!listeners.ok()) return listeners.error();
  if (listeners->error != 0) {
    LOG_WARNING("systrap: a stub could not be set up: errno {}", listeners->error);
    free_slots_.push_back(listeners->slot);
    return static_cast<Errno>(listeners->error);
  }
  return listeners;
}

bool StubPool::TakeBack(StubProcess& stub) {
  if (shut_down_ || used_.size() >= kMaxUsed) return false;
  used_.push_back(RefPtr<StubProcess>(&stub));
  return true;
}

void StubPool::OnStubGone(StubProcess& stub) {
  std::erase_if(used_, [&](const RefPtr<StubProcess>& used) { return used.get() == &stub; });
  stubs_.erase(&stub);
  free_slots_.push_back(stub.slot());
}

void StubPool::WatchSignals() {
  if (!watchdog_.armed()) watchdog_.Arm(base::MonotonicNow() + kPatienceNs);
}

void StubPool::CheckSignals() {
  const int64_t now = base::MonotonicNow();
  bool outstanding = false;
  for (StubProcess* stub : stubs_) outstanding |= stub->CheckSignals(now, kPatienceNs);
  if (outstanding) WatchSignals();
}

}  // namespace platform::systrap
