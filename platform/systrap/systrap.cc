#include "platform/systrap/systrap.h"

#include <elf.h>
#include <linux/seccomp.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/affinity.h"
#include "base/host.h"
#include "base/log.h"
#include "platform/systrap/address_space.h"
#include "platform/systrap/context.h"
#include "platform/systrap/frame.h"
#include "platform/systrap/listener.h"
#include "platform/systrap/stub_layout.h"
#include "platform/systrap/stub_pool.h"
#include "platform/systrap/watch.h"

namespace platform::systrap {

namespace {

constexpr uint64_t kFsgsbase = 2;  // HWCAP2_FSGSBASE
constexpr uint64_t kWaitKillableRecv = uint64_t{1} << 5;

class Systrap : public Platform {
 public:
  explicit Systrap(const Options& options) : memory_fd_(options.memory_fd) {}

  Result<void> Start(const Options& options) { return pool_.Start(options); }

  const char* name() const override { return "systrap"; }
  std::string mechanism() const override {
    std::string text = "seccomp user notification, killable";
    text += pool_.synchronous() ? ", synchronous wake-ups"
                                : ", no synchronous wake-ups (slow: needs Linux 6.6)";
    text += pool_.zygote().has_pid_namespace() ? ", own pid namespace" : ", no pid namespace";
    return text;
  }
  uint64_t min_user_address() const override { return STUB_MIN_APP_ADDRESS; }
  uint64_t max_user_address() const override { return STUB_BASE; }
  size_t xsave_size() const override { return FpuLayout::Get().frame_size(); }

  Result<RefPtr<AddressSpace>> CreateAddressSpace() override {
    RefPtr<StubProcess> stub = TRY(pool_.Take());
    return RefPtr<AddressSpace>(MakeRef<SystrapAddressSpace>(std::move(stub), memory_fd_));
  }
  Result<std::unique_ptr<Context>> CreateContext() override {
    return std::unique_ptr<Context>(std::make_unique<SystrapContext>());
  }

  void Shutdown() override { pool_.Shutdown(); }

  std::vector<int> host_syscalls() const override {
    return {
        SYS_ioctl,
        SYS_poll,  // notifications
        SYS_tgkill,
        SYS_pidfd_open,
        SYS_pidfd_send_signal,  // interrupts, broken stubs
        SYS_kill,
        SYS_wait4,  // shutdown
        SYS_sendto,
        SYS_recvmsg,  // the zygote's socket
        SYS_fstat,
        SYS_newfstatat,
        SYS_fcntl,
        SYS_close,  // descriptors to map
        SYS_madvise,
        SYS_mmap,
        SYS_munmap,
        SYS_mprotect,  // thread areas, worker stacks
        SYS_clone3,
        SYS_clone,
        SYS_set_robust_list,
        SYS_rseq,
        SYS_rt_sigprocmask,
        SYS_futex,
        SYS_exit,  // workers
        SYS_sched_getaffinity,
        SYS_sched_yield,
        SYS_sched_setaffinity,  // watching and placing threads
        SYS_gettid,
        SYS_clock_nanosleep,
    };
  }

 private:
  const int memory_fd_;
  StubPool pool_;
};

}  // namespace

Result<std::unique_ptr<Platform>> Create(const Platform::Options& options) {
  if ((getauxval(AT_HWCAP2) & kFsgsbase) == 0) {
    LOG_WARNING("systrap: the CPU or host has no FSGSBASE");
    return Errno::kENOSYS;
  }
  // A null program is EFAULT for known flags, EINVAL for unknown ones.
  Result<long> probe = HOST(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
                                    SECCOMP_FILTER_FLAG_NEW_LISTENER | kWaitKillableRecv, nullptr));
  if (probe.ok() || probe.error() != Errno::kEFAULT) {
    LOG_WARNING("systrap: the host has no killable seccomp notifications (Linux 5.19)");
    return Errno::kENOSYS;
  }
  Listener::Probe();
  base::Affinity::Prepare();
  Watch::Configure(options.may_spin);
  auto platform = std::make_unique<Systrap>(options);
  TRY(platform->Start(options));
  return std::unique_ptr<Platform>(std::move(platform));
}

}  // namespace platform::systrap
