#pragma once

#include "base/ref.h"
#include "platform/platform.h"
#include "platform/systrap/cpuid_table.h"
#include "platform/systrap/stub_process.h"

namespace platform::systrap {

// An address space is a stub process for as long as it lives.
class SystrapAddressSpace : public AddressSpace {
 public:
  SystrapAddressSpace(RefPtr<StubProcess> stub, int memory_fd)
      : stub_(std::move(stub)), memory_fd_(memory_fd) {}

  Result<void> Map(uint64_t address, uint64_t length, int fd, uint64_t offset, int prot,
                   bool precommit) override;
  Result<void> Unmap(uint64_t address, uint64_t length) override;
  Result<void> Protect(uint64_t address, uint64_t length, int prot) override;
  Result<void> Flush() override { return stub_->Flush(); }
  std::optional<CodePatch> ReplaceCall(
      uint64_t ip, std::span<const uint8_t, CodePatch::kWindow> code) override {
    return stub_->sites().Replace(ip, code);
  }
  std::vector<uint64_t> Calls() override { return stub_->sites().Calls(); }
  std::vector<CodePatch> OriginalCalls() override { return stub_->sites().Originals(); }
  std::optional<std::array<uint8_t, 2>> ReplaceCpuid(uint64_t start, uint64_t length) override {
    if (!stub_->SetCpuidRange({start, length})) return std::nullopt;
    return kCpuidReplacement;
  }
  void InheritCode(AddressSpace& parent) override {
    StubProcess& other = static_cast<SystrapAddressSpace&>(parent).stub();
    stub_->sites().CopyFrom(other.sites());
    stub_->SetCpuidRange(other.cpuid_range());
  }

  StubProcess& stub() { return *stub_; }

 private:
  void OnZeroRefs() override;

  const RefPtr<StubProcess> stub_;
  const int memory_fd_;
};

}  // namespace platform::systrap
