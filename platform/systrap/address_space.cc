#include "platform/systrap/address_space.h"

#include <sys/mman.h>
#include <sys/syscall.h>

#include "base/kernel_lock.h"

namespace platform::systrap {

namespace {

// The Sentry's own bounds are the same; this is what keeps the stub region out of an application's
// reach.
Result<void> CheckRange(uint64_t address, uint64_t length) {
  if (address % 4096 != 0 || length % 4096 != 0 || length == 0 || length > STUB_BASE ||
      address > STUB_BASE - length) {
    return Errno::kEINVAL;
  }
  return {};
}

}  // namespace

Result<void> SystrapAddressSpace::Map(uint64_t address, uint64_t length, int fd, uint64_t offset,
                                      int prot, bool precommit) {
  TRY(CheckRange(address, length));
  const int number = fd == memory_fd_ ? STUB_MEMORY_FD : TRY(stub_->StubDescriptor(fd));
  const uint64_t flags = MAP_SHARED | MAP_FIXED | (precommit ? MAP_POPULATE : 0);
  stub_->Queue(
      {SYS_mmap,
       {address, length, static_cast<uint64_t>(prot & (PROT_READ | PROT_WRITE | PROT_EXEC)), flags,
        static_cast<uint64_t>(number), offset},
       0});
  return {};
}

Result<void> SystrapAddressSpace::Unmap(uint64_t address, uint64_t length) {
  TRY(CheckRange(address, length));
  stub_->Queue({SYS_munmap, {address, length}, 0});
  return {};
}

Result<void> SystrapAddressSpace::Protect(uint64_t address, uint64_t length, int prot) {
  TRY(CheckRange(address, length));
  stub_->Queue(
      {SYS_mprotect,
       {address, length, static_cast<uint64_t>(prot & (PROT_READ | PROT_WRITE | PROT_EXEC))},
       0});
  return {};
}

void SystrapAddressSpace::OnZeroRefs() {
  if (KernelLock::HeldByCurrentThread()) {
    stub_->Retire();
  } else {
    KernelLock::Section section;
    stub_->Retire();
  }
  delete this;
}

}  // namespace platform::systrap
