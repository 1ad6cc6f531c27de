#include "sentry/mm/testing/fake_platform.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

namespace mm::testing {

Result<void> FakeAddressSpace::Map(uint64_t address, uint64_t length, int fd, uint64_t offset, int prot, bool) {
  maps++;
  CHECK(address % kPageSize == 0 && length % kPageSize == 0 && offset % kPageSize == 0 && length > 0 && fd >= 0);
  if (!record) return {};
  for (uint64_t i = 0; i < length; i += kPageSize) pages[address + i] = {fd, offset + i, prot};
  return {};
}

Result<void> FakeAddressSpace::Unmap(uint64_t address, uint64_t length) {
  unmaps++;
  CHECK(address % kPageSize == 0 && length % kPageSize == 0 && length > 0);
  if (!record) return {};
  pages.erase(pages.lower_bound(address), pages.lower_bound(address + length));
  return {};
}

Result<void> FakeAddressSpace::Protect(uint64_t address, uint64_t length, int prot) {
  protects++;
  CHECK(address % kPageSize == 0 && length % kPageSize == 0 && length > 0);
  if (!record) return {};
  for (uint64_t at = address; at < address + length; at += kPageSize) {
    auto it = pages.find(at);
    CHECK(it != pages.end());  // the host's mprotect would fail
    it->second.prot = prot;
  }
  return {};
}

const FakeAddressSpace::Page* FakeAddressSpace::Find(uint64_t address) const {
  auto it = pages.find(base::PageDown(address));
  return it == pages.end() ? nullptr : &it->second;
}

Result<RefPtr<platform::AddressSpace>> FakePlatform::CreateAddressSpace() {
  auto space = MakeRef<FakeAddressSpace>();
  space->record = record;
  return RefPtr<platform::AddressSpace>(std::move(space));
}

Result<const FakeAddressSpace::Page*> FakeCpu::Touch(uint64_t address, Access access) {
  for (int round = 0; round < 10; round++) {
    const FakeAddressSpace::Page* page = space().Find(address);
    bool allowed = page != nullptr && page->prot != 0;
    if (allowed && access == Access::kWrite) allowed = (page->prot & PROT_WRITE) != 0;
    if (allowed && access == Access::kExecute) allowed = (page->prot & PROT_EXEC) != 0;
    if (allowed) {
      struct stat st;
      CHECK(fstat(page->fd, &st) == 0);
      // Behind the end of the file the host raises SIGBUS.
      if (page->offset < static_cast<uint64_t>(st.st_size)) return page;
    }
    faults++;
    TRY(memory_.HandleFault(address, access));
  }
  CHECK(false);  // it faults for ever
  return Errno::kEFAULT;
}

Result<uint8_t> FakeCpu::Load(uint64_t address) {
  const FakeAddressSpace::Page* page = TRY(Touch(address, Access::kRead));
  uint8_t value = 0;
  CHECK(pread(page->fd, &value, 1, static_cast<off_t>(page->offset + address % kPageSize)) >= 0);
  return value;
}

Result<void> FakeCpu::Store(uint64_t address, uint8_t value) {
  const FakeAddressSpace::Page* page = TRY(Touch(address, Access::kWrite));
  CHECK(pwrite(page->fd, &value, 1, static_cast<off_t>(page->offset + address % kPageSize)) == 1);
  return {};
}

void SetUpMemory() {
  static bool done = [] {
    CHECK_OK(base::MemoryFile::Create());
    base::InstallSafeCopyHandler();
    return true;
  }();
  (void)done;
}

}  // namespace mm::testing
