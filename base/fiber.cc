#include "base/fiber.h"

#include <sys/mman.h>

#include <boost/context/detail/fcontext.hpp>
#include <vector>

#include "base/event_loop.h"
#include "base/kernel_lock.h"
#include "base/log.h"

namespace base {

namespace ctx = boost::context::detail;

namespace {

constexpr size_t kStackSize = 128 * 1024;
constexpr size_t kGuardSize = 4096;
constexpr size_t kMaxPooledStacks = 16;

struct RunnerState {
  Fiber* current = nullptr;
  ctx::fcontext_t host_context = nullptr;
};
thread_local RunnerState runner_state;

// A fiber may resume on another host thread, so the address of a thread-local must never be kept across a switch; a call
// that is not inlined is the way to say that to the compiler.
[[gnu::noinline]] RunnerState& Runner() {
  asm volatile("");
  return runner_state;
}

// Guarded by the kernel lock.
Fiber* ready_head = nullptr;
Fiber* ready_tail = nullptr;
std::vector<void*>* stack_pool = nullptr;

// From the current fiber back to RunReady of its host thread, whose state `runner` is.
void SwitchOut(RunnerState& runner) {
  runner.current->parks++;
  ctx::transfer_t back = ctx::jump_fcontext(runner.host_context, nullptr);
  // Perhaps another thread than before.
  static_cast<RunnerState*>(back.data)->host_context = back.fctx;
}

void* AllocateStack() {
  if (stack_pool != nullptr && !stack_pool->empty()) {
    void* stack = stack_pool->back();
    stack_pool->pop_back();
    return stack;
  }
  void* stack = mmap(nullptr, kStackSize + kGuardSize, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  CHECK(stack != MAP_FAILED);
  CHECK(mprotect(stack, kGuardSize, PROT_NONE) == 0);
  return stack;
}

void FreeStack(void* stack) {
  if (stack_pool == nullptr) stack_pool = new std::vector<void*>;
  if (stack_pool->size() < kMaxPooledStacks) {
    stack_pool->push_back(stack);
  } else {
    munmap(stack, kStackSize + kGuardSize);
  }
}

}  // namespace

void (*FiberRunner::on_abandon)() = nullptr;

Fiber* Fiber::Start(absl::AnyInvocable<void()> entry) {
  auto* fiber = new Fiber;
  fiber->entry_ = std::move(entry);
  fiber->stack_ = AllocateStack();
  fiber->context_ = ctx::make_fcontext(
      static_cast<char*>(fiber->stack_) + kGuardSize + kStackSize, kStackSize,
      [](ctx::transfer_t from) { FiberRunner::Trampoline(from.fctx, from.data); });
  FiberRunner::Enqueue(fiber);
  return fiber;
}

Fiber* Fiber::Current() { return Runner().current; }

void FiberRunner::Trampoline(void* transfer_from, void* data) {
  auto* runner = static_cast<RunnerState*>(data);
  runner->host_context = transfer_from;
  Fiber* fiber = runner->current;
  fiber->entry_();
  fiber->entry_ = nullptr;
  fiber->done_ = true;
  SwitchOut(Runner());
  abort();  // a finished fiber is never resumed
}

void FiberRunner::Enqueue(Fiber* fiber) {
  fiber->state_ = Fiber::State::kReady;
  fiber->next_ready_ = nullptr;
  (ready_tail != nullptr ? ready_tail->next_ready_ : ready_head) = fiber;
  ready_tail = fiber;
}

bool FiberRunner::HasReady() { return ready_head != nullptr; }

void FiberRunner::RunReady() {
  RunnerState& runner = Runner();  // here the host thread stays the same
  while (ready_head != nullptr) {
    Fiber* fiber = ready_head;
    ready_head = fiber->next_ready_;
    if (ready_head == nullptr) ready_tail = nullptr;
    fiber->state_ = Fiber::State::kRunning;
    runner.current = fiber;
    ctx::transfer_t from = ctx::jump_fcontext(fiber->context_, &runner);
    runner.current = nullptr;
    if (fiber->done_) {
      FreeStack(fiber->stack_);
      delete fiber;
    } else {
      fiber->context_ = from.fctx;
    }
  }
}

void Fiber::Park() {
  RunnerState& runner = Runner();
  Fiber* self = runner.current;
  if (self->woken_) {
    self->woken_ = false;
    return;
  }
  self->state_ = State::kParked;
  SwitchOut(runner);
}

WakeReason Fiber::Block(int64_t deadline_ns) {
  RunnerState& runner = Runner();
  Fiber* self = runner.current;
  if (self->woken_) {
    self->woken_ = false;
    return WakeReason::kWoken;
  }
  if (self->interrupted_) return WakeReason::kInterrupted;
  self->timed_out_ = false;
  if (deadline_ns == kNoDeadline) {
    self->state_ = State::kBlocked;
    SwitchOut(runner);
  } else {
    if (MonotonicNow() >= deadline_ns) return WakeReason::kTimedOut;
    Timer timer([self] {
      self->timed_out_ = true;
      self->Unpark();
    });
    timer.Arm(deadline_ns);
    self->state_ = State::kBlocked;
    SwitchOut(runner);
  }
  if (self->timed_out_) return WakeReason::kTimedOut;
  return self->interrupted_ ? WakeReason::kInterrupted : WakeReason::kWoken;
}

void Fiber::Unpark() {
  switch (state_) {
    case State::kParked:
    case State::kBlocked:
      FiberRunner::Enqueue(this);
      break;
    case State::kRunning:
      woken_ = true;
      break;
    case State::kReady:
      break;
  }
}

void Fiber::Interrupt() {
  interrupted_ = true;
  if (state_ == State::kBlocked) FiberRunner::Enqueue(this);
}

}  // namespace base
