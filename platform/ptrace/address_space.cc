#include "platform/ptrace/address_space.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <utility>

#include "base/host.h"
#include "base/log.h"

namespace platform::ptrace {

PtraceAddressSpace::~PtraceAddressSpace() {
  if (stub_ == nullptr) return;
  // The last reference may go on any thread.
  tracer_->Post([tracer = tracer_, stub = stub_] { tracer->ReleaseStub(stub); });
}

Result<void> PtraceAddressSpace::Queue(uint64_t address, uint64_t length, StubCall call, Fd fd) {
  if (address % kPageSize != 0 || length == 0 || address > kStubBase ||
      length > kStubBase - address) {
    return Errno::kEINVAL;
  }
  if (fd.valid()) fds_.push_back({calls_.size(), std::move(fd)});
  calls_.push_back(call);
  return {};
}

Result<void> PtraceAddressSpace::Map(uint64_t address, uint64_t length, int fd, uint64_t offset,
                                     int prot, bool precommit) {
  uint64_t flags = MAP_SHARED | MAP_FIXED | (precommit ? MAP_POPULATE : 0);
  StubCall call = {SYS_mmap,
                   {address, length, static_cast<uint64_t>(prot), flags, kMemoryFdInStub, offset}};
  Fd copy;
  if (fd != memory_fd_) copy = Fd(TRY(HOST(fcntl(fd, F_DUPFD_CLOEXEC, 0))));
  return Queue(address, length, call, std::move(copy));
}

Result<void> PtraceAddressSpace::Unmap(uint64_t address, uint64_t length) {
  return Queue(address, length, {SYS_munmap, {address, length}}, Fd());
}

Result<void> PtraceAddressSpace::Protect(uint64_t address, uint64_t length, int prot) {
  return Queue(address, length, {SYS_mprotect, {address, length, static_cast<uint64_t>(prot)}},
               Fd());
}

Result<void> PtraceAddressSpace::Flush() {
  // A batch that the tracer thread makes right now without the kernel lock is waited for too.
  if (calls_.empty() && !flushing_) return {};
  Result<void> result;
  tracer_->Do([&] { result = FlushNow(); });
  return result;
}

Result<void> PtraceAddressSpace::FlushNow() {
  if (calls_.empty()) return {};
  flushing_ = true;
  Result<void> result = MakeCalls();
  flushing_ = false;
  return result;
}

Result<void> PtraceAddressSpace::MakeCalls() {
  std::vector<StubCall> calls = std::exchange(calls_, {});
  std::vector<PassedFd> fds = std::exchange(fds_, {});
  if (fds.empty()) return tracer_->Inject(stub_, calls);

  std::vector<int> numbers;
  for (const PassedFd& passed : fds) numbers.push_back(passed.fd.get());
  Result<std::vector<int>> in_stub = tracer_->PassFds(numbers);
  for (size_t i = 0; i < fds.size(); i++) {
    StubCall& call = calls[fds[i].call];
    if (in_stub.ok()) {
      call.args[4] = (*in_stub)[i];
    } else {
      // What the mapping was to replace must not stay, and the other changes must be made.
      call = {SYS_munmap, {call.args[0], call.args[1]}};
    }
  }
  Result<void> result = tracer_->Inject(stub_, calls);
  if (!in_stub.ok()) return in_stub.error();
  tracer_->CloseInStubs(*in_stub);
  return result;
}

}  // namespace platform::ptrace
