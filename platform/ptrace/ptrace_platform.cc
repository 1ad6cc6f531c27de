#include "platform/ptrace/ptrace_platform.h"

#include <sys/syscall.h>

#include "platform/ptrace/address_space.h"
#include "platform/ptrace/context.h"
#include "platform/ptrace/fpu_state.h"
#include "platform/ptrace/tracer.h"

namespace platform::ptrace {

namespace {

constexpr uint64_t kMinUserAddress =
    0x10000;  // the usual vm.mmap_min_addr, which stubs without privileges are held to

class PtracePlatform final : public Platform {
 public:
  PtracePlatform(std::shared_ptr<Tracer> tracer, int memory_fd)
      : tracer_(std::move(tracer)), memory_fd_(memory_fd) {}
  ~PtracePlatform() override { tracer_->Shutdown(); }

  const char* name() const override { return "ptrace"; }
  std::string mechanism() const override { return "PTRACE_SYSEMU, one tracer thread"; }
  uint64_t min_user_address() const override { return kMinUserAddress; }
  uint64_t max_user_address() const override { return kStubBase; }
  size_t xsave_size() const override { return FpuLayout::Get().guest_size(); }

  Result<RefPtr<AddressSpace>> CreateAddressSpace() override {
    tracer_->EnsureStarted();
    Result<Stub*> stub = Errno::kEAGAIN;
    tracer_->Do([&] { stub = tracer_->AcquireStub(); });
    if (!stub.ok()) return stub.error();
    return RefPtr<AddressSpace>(MakeRef<PtraceAddressSpace>(tracer_, *stub, memory_fd_));
  }

  Result<std::unique_ptr<Context>> CreateContext() override {
    return std::unique_ptr<Context>(new PtraceContext(tracer_));
  }

  void Shutdown() override { tracer_->Shutdown(); }

  std::vector<int> host_syscalls() const override {
    // Besides what any thread of the Sentry needs: memory, locks, starting a thread.
    return {SYS_ptrace, SYS_wait4,   SYS_kill,  SYS_tgkill,       SYS_sched_setaffinity,
            SYS_getcpu, SYS_sendmsg, SYS_fcntl, SYS_rt_sigreturn, SYS_rt_sigprocmask,
            SYS_close,  SYS_gettid,  SYS_getpid};
  }

 private:
  std::shared_ptr<Tracer> tracer_;
  int memory_fd_;
};

}  // namespace

Result<std::unique_ptr<Platform>> Create(const Platform::Options& options) {
  auto tracer = std::make_shared<Tracer>();
  TRY(tracer->Create(options));
  return std::unique_ptr<Platform>(new PtracePlatform(std::move(tracer), options.memory_fd));
}

}  // namespace platform::ptrace
