#pragma once

// One application thread: its registers while it is stopped, and the stub thread that runs it.

#include <memory>
#include <vector>

#include "base/fiber.h"
#include "platform/platform.h"
#include "platform/ptrace/address_space.h"
#include "platform/ptrace/tracer.h"

namespace platform::ptrace {

class PtraceContext final : public Context {
 public:
  explicit PtraceContext(std::shared_ptr<Tracer> tracer);
  ~PtraceContext() override;

  const Event& Run(AddressSpace& space) override;
  void Interrupt() override;
  void SetResult(int64_t value) override;
  Result<void> EnsureRegisters() override;
  bool has_registers() const override { return registers_here_; }
  const Registers& registers() const override { return registers_; }
  Registers& mutable_registers() override;
  // May park when the fiber has left the tracer thread since the registers came.
  std::span<const uint8_t> fpu_state() const override;
  Result<void> SetFpuState(std::span<const uint8_t> state) override;
  void ResetFpuState() override;
  void CopyStateFrom(const Context& parent) override;
  void Release() override;

  // By the tracer, under the kernel lock: the thread stopped with this wait status, or is gone.
  void OnStop(int status);
  void OnDeath();
  bool running() const { return running_; }

 private:
  void Start(PtraceAddressSpace& space);  // on the tracer thread
  void Resume();
  void SetRunning(bool running);
  void Deliver(Event::Kind kind);
  void OnSyscall();
  void OnSignal(int signo);
  void OnFault(int signo);
  // The application has jumped to the 32-bit segment: that ends as if the host had no such segment.
  void DeliverSegmentFault();
  void Exit();
  Result<void> FetchRegisters();  // on the tracer thread
  Result<void> FetchFpuState();
  void Unbind();

  std::shared_ptr<Tracer> tracer_;
  // The thread is stopped, or running exactly while running_. Null when not bound.
  StubThread* thread_ = nullptr;
  RefPtr<PtraceAddressSpace> space_;  // of thread_

  Registers registers_ = {};
  bool registers_here_ = true;
  bool registers_changed_ = true;  // must be loaded
  std::vector<uint8_t> fpu_;
  bool fpu_here_ = true;
  bool fpu_changed_ = true;
  bool result_set_ = false;
  int64_t result_ = 0;

  Fiber* fiber_ = nullptr;  // parked in Run
  bool running_ = false;
  bool interrupt_ = false;
  bool event_ready_ = false;
  Event event_;
};

}  // namespace platform::ptrace
