#include "platform/systrap/stub_pool.h"

#include <sys/mman.h>
#include <unistd.h>

#include "base/host.h"
#include "base/kernel_lock.h"

namespace platform::systrap {

namespace {

constexpr uint32_t kMaxSlots = 4096;
constexpr int kAhead = 1;
constexpr size_t kMaxUsed = 8;

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
  if (memory_ != nullptr) munmap(memory_, kMaxSlots * kSlotSize);
}

Result<void> StubPool::Start(const Platform::Options& options) {
  control_ = Fd(TRY(HOST(memfd_create("stub-control", MFD_CLOEXEC))));
  TRY(HOST(ftruncate(control_.get(), kMaxSlots * kSlotSize)));
  void* memory = mmap(nullptr, kMaxSlots * kSlotSize, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE,
                      control_.get(), 0);
  if (memory == MAP_FAILED) return Errno::kENOMEM;
  memory_ = static_cast<char*>(memory);
  TRY(zygote_.Start(options, control_.get()));
  for (int i = 0; i < kAhead; i++) TRY(Request());
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
  if (requested_ <= waiting_) TRY(Request());
  waiting_++;
  Result<StubListeners> listeners = zygote_.Receive(Zygote::Wait::kNo);
  if (!listeners.ok() && listeners.error() == Errno::kEAGAIN) {
    KernelLock::Unlocked unlocked;
    listeners = zygote_.Receive(Zygote::Wait::kYes);
  }
  waiting_--;
  requested_--;
  if (!listeners.ok()) return listeners.error();
  if (!listeners->app.valid() || !listeners->helper.valid()) {
    free_slots_.push_back(listeners->slot);
    return Errno::kEAGAIN;
  }
  while (requested_ - waiting_ < kAhead) {
    if (!Request().ok()) break;
  }
  live_++;
  return StubProcess::Adopt(*this, listeners->slot, std::move(listeners->helper), std::move(listeners->app));
}

bool StubPool::TakeBack(StubProcess& stub) {
  if (shut_down_ || used_.size() >= kMaxUsed) return false;
  used_.push_back(RefPtr<StubProcess>(&stub));
  return true;
}

void StubPool::OnStubGone(StubProcess& stub) {
  std::erase_if(used_, [&](const RefPtr<StubProcess>& used) { return used.get() == &stub; });
  free_slots_.push_back(stub.slot());
}

}  // namespace platform::systrap
