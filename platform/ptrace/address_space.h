#pragma once

// An address space: a stub process and the changes of its mappings that are not yet in force.

#include <memory>
#include <vector>

#include "base/fd.h"
#include "platform/platform.h"
#include "platform/ptrace/tracer.h"

namespace platform::ptrace {

class PtraceAddressSpace final : public AddressSpace {
 public:
  PtraceAddressSpace(std::shared_ptr<Tracer> tracer, Stub* stub, int memory_fd)
      : tracer_(std::move(tracer)), stub_(stub), memory_fd_(memory_fd) {}
  ~PtraceAddressSpace() override;

  Result<void> Map(uint64_t address, uint64_t length, int fd, uint64_t offset, int prot,
                   bool precommit) override;
  Result<void> Unmap(uint64_t address, uint64_t length) override;
  Result<void> Protect(uint64_t address, uint64_t length, int prot) override;
  Result<void> Flush() override;

  // On the tracer thread, under the kernel lock.
  Result<void> FlushNow();
  Stub* stub() const { return stub_; }

 private:
  Result<void> Queue(uint64_t address, uint64_t length, StubCall call, Fd fd);

  Result<void> MakeCalls();

  std::shared_ptr<Tracer> tracer_;
  Stub* stub_;
  int memory_fd_;
  bool flushing_ = false;  // FlushNow is under way
  std::vector<StubCall> calls_;
  struct PassedFd {
    size_t call;  // whose descriptor argument it is
    Fd fd;
  };
  std::vector<PassedFd> fds_;
};

}  // namespace platform::ptrace
