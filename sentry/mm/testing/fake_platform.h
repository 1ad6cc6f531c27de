#pragma once

// A platform for unit tests of memory: its address spaces only note what is mapped, page by page, and a FakeCpu touches
// memory through that as an application would, with faults.

#include <map>
#include <memory>

#include "platform/platform.h"
#include "sentry/mm/memory_manager.h"

namespace mm::testing {

class FakeAddressSpace : public platform::AddressSpace {
 public:
  struct Page {
    int fd;
    uint64_t offset;
    int prot;
  };

  Result<void> Map(uint64_t address, uint64_t length, int fd, uint64_t offset, int prot, bool precommit) override;
  Result<void> Unmap(uint64_t address, uint64_t length) override;
  Result<void> Protect(uint64_t address, uint64_t length, int prot) override;
  Result<void> Flush() override {
    flushes++;
    return {};
  }

  const Page* Find(uint64_t address) const;

  // Off: operations are only counted, for benchmarks.
  bool record = true;
  int flushes = 0, maps = 0, unmaps = 0, protects = 0;
  std::map<uint64_t, Page> pages;
};

class FakePlatform : public platform::Platform {
 public:
  const char* name() const override { return "fake"; }
  std::string mechanism() const override { return "none"; }
  uint64_t min_user_address() const override { return 65536; }
  uint64_t max_user_address() const override { return 0x7fff00000000; }
  size_t xsave_size() const override { return 832; }
  Result<RefPtr<platform::AddressSpace>> CreateAddressSpace() override;
  Result<std::unique_ptr<platform::Context>> CreateContext() override { return Errno::kENOSYS; }
  void Shutdown() override {}
  std::vector<int> host_syscalls() const override { return {}; }

  bool record = true;
};

// Touches memory as the application does. Errors are those of HandleFault.
class FakeCpu {
 public:
  explicit FakeCpu(MemoryManager& memory) : memory_(memory) {}
  FakeAddressSpace& space() { return static_cast<FakeAddressSpace&>(memory_.space()); }

  Result<uint8_t> Load(uint64_t address);
  Result<void> Store(uint64_t address, uint8_t value);
  int faults = 0;

 private:
  Result<const FakeAddressSpace::Page*> Touch(uint64_t address, Access access);
  MemoryManager& memory_;
};

// Once a process: the memory file, the handler of SafeCopy.
void SetUpMemory();

}  // namespace mm::testing
