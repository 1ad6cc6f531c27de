#pragma once

// Drives small machine-code guests through any platform::Platform, for tests: a memory file that
// the test sees too, and fibers that the platform's own threads run.

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "base/event_loop.h"
#include "base/fiber.h"
#include "base/kernel_lock.h"
#include "platform/platform.h"

namespace platform {

// Defined by the test program of each platform.
Result<std::unique_ptr<Platform>> CreatePlatformUnderTest(const Platform::Options& options);

// Runs each function on a fiber of its own and returns when all have returned.
inline void RunFibers(std::vector<std::function<void()>> functions) {
  static std::thread* event_thread = nullptr;
  if (event_thread == nullptr) {
    base::EventLoop::Get().Init();
    event_thread = new std::thread([] { base::EventLoop::Get().Run(); });
    event_thread->detach();
  }
  std::atomic<int> left{static_cast<int>(functions.size())};
  {
    KernelLock::Section section;
    for (auto& function : functions) {
      Fiber::Start([&left, function = std::move(function)] {
        function();
        if (left.fetch_sub(1) == 1) left.notify_all();
      });
    }
  }
  for (int now; (now = left.load()) != 0;) left.wait(now);
  // The last fiber still has to leave the lock.
  KernelLock::Section section;
}

// A platform, its memory file, and guests: code at kCode (from the start of the file), data at
// kData, stack below kStack.
class GuestMachine {
 public:
  static constexpr uint64_t kCode = 0x400000;
  static constexpr uint64_t kData = 0x500000;
  static constexpr uint64_t kStack = 0x700000;
  static constexpr uint64_t kNowhere = 0x12345678;
  static constexpr uint64_t kCodeSize = 0x10000;
  static constexpr uint64_t kDataSize = 0x10000;
  static constexpr uint64_t kFileSize = 1 << 20;

  explicit GuestMachine(SyscallSet full_state = {}) {
    memory_fd_ = memfd_create("guest", MFD_CLOEXEC);
    EXPECT_EQ(ftruncate(memory_fd_, kFileSize), 0);
    memory_ = static_cast<uint8_t*>(
        mmap(nullptr, kFileSize, PROT_READ | PROT_WRITE, MAP_SHARED, memory_fd_, 0));
    auto made = CreatePlatformUnderTest({.full_state = full_state, .memory_fd = memory_fd_});
    EXPECT_TRUE(made.ok());
    platform_ = std::move(made).value();
  }
  ~GuestMachine() {
    {
      KernelLock::Section section;
      platform_->Shutdown();
    }
    platform_.reset();
    munmap(memory_, kFileSize);
    close(memory_fd_);
  }

  Platform& platform() { return *platform_; }
  int memory_fd() const { return memory_fd_; }
  uint8_t* code() { return memory_; }
  uint8_t* data() { return memory_ + kCodeSize; }
  template <class T>
  T& at(uint64_t data_offset) {
    return *reinterpret_cast<T*>(data() + data_offset);
  }

  void Load(const char* begin, const char* end) { memcpy(code(), begin, end - begin); }

  // On a fiber: an address space with code, data and stack mapped.
  RefPtr<AddressSpace> NewSpace() {
    auto space = platform_->CreateAddressSpace();
    EXPECT_TRUE(space.ok());
    RefPtr<AddressSpace> made = std::move(space).value();
    EXPECT_TRUE(made->Map(kCode, kCodeSize, memory_fd_, 0, PROT_READ | PROT_EXEC, false).ok());
    EXPECT_TRUE(
        made->Map(kData, kDataSize, memory_fd_, kCodeSize, PROT_READ | PROT_WRITE, false).ok());
    EXPECT_TRUE(made->Map(kStack - kDataSize, kDataSize, memory_fd_, kCodeSize + kDataSize,
                          PROT_READ | PROT_WRITE, false)
                    .ok());
    return made;
  }
  std::unique_ptr<Context> NewContext(uint64_t rip = kCode) {
    auto context = platform_->CreateContext();
    EXPECT_TRUE(context.ok());
    Registers& registers = (*context)->mutable_registers();
    registers.rip = rip;
    registers.rsp = kStack - 64;
    registers.eflags = 0x202;
    return std::move(context).value();
  }

 private:
  int memory_fd_ = -1;
  uint8_t* memory_ = nullptr;
  std::unique_ptr<Platform> platform_;
};

// GUEST(name, "assembly") defines position-independent code between name_begin and name_end.
#define GUEST(name, code)                                                                \
  asm(".pushsection .rodata\n.balign 16\nguest_" #name "_begin:\n" code "\nguest_" #name \
      "_end:\n.popsection\n");                                                           \
  extern "C" const char guest_##name##_begin[], guest_##name##_end[]
#define LOAD_GUEST(machine, name) (machine).Load(guest_##name##_begin, guest_##name##_end)

}  // namespace platform
