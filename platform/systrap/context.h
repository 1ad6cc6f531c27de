#pragma once

#include <linux/seccomp.h>

#include <memory>
#include <utility>
#include <vector>

#include "base/fiber.h"
#include "platform/platform.h"
#include "platform/systrap/posted_call.h"
#include "platform/systrap/stub_process.h"

namespace platform::systrap {

// The state of one application thread, and while it runs the host thread that it has borrowed from
// its address space's stub. The state is in one of three places: here; in the frame in the host
// thread's area (FPU only: it is copied when somebody asks); or, in a system call that notified the
// Sentry, in the host kernel.
class SystrapContext : public Context {
 public:
  SystrapContext();
  ~SystrapContext() override { Release(); }

  const Event& Run(AddressSpace& space) override;
  void Interrupt() override;
  void SetResult(int64_t value) override;
  Result<void> EnsureRegisters() override;
  bool has_registers() const override { return has_registers_; }
  const Registers& registers() const override { return registers_; }
  Registers& mutable_registers() override {
    registers_dirty_ = true;
    return registers_;
  }
  std::span<const uint8_t> fpu_state() const override;
  Result<void> SetFpuState(std::span<const uint8_t> state) override;
  void ResetFpuState() override;
  void CopyStateFrom(const Context& parent) override;
  void SetAnswer(uint64_t nr, uint32_t value) override;
  void ForgetAnswers() override;
  void Release() override;

  // By the stub: the thread has stopped with this call, in a signal handler.
  void OnCall(const seccomp_notif& notification);
  void OnDoorbell(const Doorbell& doorbell);
  // The thread waits for the result of this call that it posted.
  void OnPosted(const PostedCall& call);
  // It stopped meanwhile, because of a signal or to sleep.
  void OnPostedStops(const seccomp_notif& notification);
  // As far as the Sentry knows.
  uint64_t fs_base() const { return loaded_fs_base_; }
  // The thread, or its stub, is gone or was taken away. What state can be saved is.
  void OnThreadGone();

 private:
  // How far the thread's last notification has been taken in.
  enum class Wait { kNone, kEvent, kRegisters };

  // Takes the registers from the frame of a signal handler's doorbell. `taken`: as
  // CallSites::Normalise has it.
  void LoadFrame(const Doorbell& doorbell, bool taken);
  // These set the event; the first one as the signal says that the handler was for.
  void TakeSignal(const Doorbell& doorbell);
  void TakeFault(const Doorbell& doorbell);
  void TakeSystemCallFromRegisters();
  void TakeSystemCall(uint64_t nr, const uint64_t (&args)[6], uint64_t ip);
  Result<void> Enter(StubProcess& stub);
  void Deliver();
  uint8_t* Fpu() const;
  void StoreAnswer(uint8_t nr, uint32_t field) const;

  HostThread* thread_ = nullptr;
  Fiber* fiber_ = nullptr;
  Wait wait_ = Wait::kNone;
  Event event_;
  bool interrupt_ = false;
  bool signalled_ = false;  // the host thread was sent the interrupt signal since it was resumed
  int64_t result_;
  uint64_t system_call_ = 0;
  std::vector<std::pair<uint8_t, uint32_t>> answers_;

  bool has_registers_ = true;
  bool registers_dirty_ = true;
  bool rax_dirty_ = false;
  Registers registers_ = {};
  uint64_t loaded_fs_base_ = 0, loaded_gs_base_ = 0;  // what the host thread has

  mutable bool fpu_in_frame_ = false;  // fpu_ is stale
  bool fpu_dirty_ = true;              // the frame is stale
  mutable std::unique_ptr<uint8_t[]> fpu_;
};

}  // namespace platform::systrap
