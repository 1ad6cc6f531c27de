#pragma once

// Runs small guest programs on the platform, for tests and the benchmark: one memory file, a fiber
// a guest thread.

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <functional>
#include <memory>
#include <string_view>

#include "base/event_loop.h"
#include "base/fiber.h"
#include "base/kernel_lock.h"
#include "platform/systrap/systrap.h"

// A guest program: GUEST(name, "assembly"). Position independent; copied into the guest's code
// page.
#define GUEST(name, text)                                                     \
  asm(".pushsection .rodata\n.globl guest_" #name "\nguest_" #name ":\n" text \
      "\n.globl guest_end_" #name "\nguest_end_" #name ":\n.popsection\n");   \
  extern "C" const char guest_##name[];                                       \
  extern "C" const char guest_end_##name[];                                   \
  static const std::string_view name(guest_##name, guest_end_##name - guest_##name)

namespace platform::systrap {

inline constexpr uint64_t kCode = 0x400000;
inline constexpr uint64_t kData = 0x500000;
inline constexpr size_t kPage = 4096;

class Guest {
 public:
  explicit Guest(std::initializer_list<int> full_state = {}, int hot_calls = 0, bool may_spin = false) {
    memory_ = Fd(memfd_create("guest-memory", MFD_CLOEXEC));
    if (ftruncate(memory_.get(), kMemory) != 0) abort();
    base_ = static_cast<char*>(
        mmap(nullptr, kMemory, PROT_READ | PROT_WRITE, MAP_SHARED, memory_.get(), 0));
    Platform::Options options;
    options.memory_fd = memory_.get();
    options.hot_calls = hot_calls;
    options.may_spin = may_spin;
    for (int nr : full_state) options.full_state[nr] = true;
    auto created = Create(options);
    if (!created.ok()) abort();
    platform_ = std::move(created).value();
  }
  ~Guest() {
    platform_.reset();
    munmap(base_, kMemory);
  }

  Platform& platform() { return *platform_; }
  int memory_fd() const { return memory_.get(); }
  char* At(uint64_t offset) { return base_ + offset; }
  template <class T>
  volatile T& Word(uint64_t offset) {
    return *reinterpret_cast<volatile T*>(base_ + offset);
  }

  // Runs `body` on a fiber and waits until it has returned.
  void OnFiber(std::function<void()> body) {
    std::atomic<bool> done = false;
    Start(std::move(body), done);
    Await(done);
  }
  static void Start(std::function<void()> body, std::atomic<bool>& done) {
    KernelLock::Section section;
    Fiber::Start([body = std::move(body), &done] {
      body();
      done = true;
      done.notify_all();
    });
  }
  static void Await(std::atomic<bool>& done) { done.wait(false); }

  // A space with `code` at kCode (memory offset `offset`) and a data page at kData (the following
  // offset).
  RefPtr<AddressSpace> NewSpace(std::string_view code, uint64_t offset = 0) {
    auto space = platform_->CreateAddressSpace();
    if (!space.ok()) abort();
    memcpy(At(offset), code.data(), code.size());
    CHECK_OK((*space)->Map(kCode, kPage, memory_fd(), offset, PROT_READ | PROT_EXEC, false));
    CHECK_OK(
        (*space)->Map(kData, kPage, memory_fd(), offset + kPage, PROT_READ | PROT_WRITE, false));
    return std::move(space).value();
  }
  std::unique_ptr<Context> NewContext(uint64_t rip = kCode) {
    auto context = platform_->CreateContext();
    if (!context.ok()) abort();
    Registers& registers = (*context)->mutable_registers();
    registers.rip = rip;
    registers.rsp = kData + kPage;
    return std::move(context).value();
  }

  static constexpr size_t kMemory = 1 << 24;

 private:
  Fd memory_;
  char* base_ = nullptr;
  std::unique_ptr<Platform> platform_;
};

}  // namespace platform::systrap
