#pragma once

// A readers-writer lock for fibers, as Linux's i_rwsem: held across parks (calls to the gofer) by what looks up or changes
// the names of one directory. Waiting is not interruptible. Code on a host thread's own stack (start-up) may take it only
// where nobody can hold it.

#include <cstdint>

#include "base/fiber.h"

namespace vfs {

class DirectoryLock {
 public:
  DirectoryLock() = default;
  DirectoryLock(const DirectoryLock&) = delete;
  DirectoryLock& operator=(const DirectoryLock&) = delete;

  void Lock() {
    if (holders_ != 0 || first_ != nullptr) return Wait(true);
    holders_ = -1;
  }
  void Unlock() {
    holders_ = 0;
    if (first_ != nullptr) WakeNext();
  }
  void LockShared() {
    if (holders_ < 0 || first_ != nullptr) return Wait(false);
    holders_++;
  }
  void UnlockShared() {
    if (--holders_ == 0 && first_ != nullptr) WakeNext();
  }

  class Exclusive {
   public:
    explicit Exclusive(DirectoryLock& lock) : lock_(lock) { lock_.Lock(); }
    ~Exclusive() { lock_.Unlock(); }
    Exclusive(const Exclusive&) = delete;
    Exclusive& operator=(const Exclusive&) = delete;

   private:
    DirectoryLock& lock_;
  };

  class Shared {
   public:
    explicit Shared(DirectoryLock& lock) : lock_(lock) { lock_.LockShared(); }
    ~Shared() { lock_.UnlockShared(); }
    Shared(const Shared&) = delete;
    Shared& operator=(const Shared&) = delete;

   private:
    DirectoryLock& lock_;
  };

 private:
  struct Waiting {
    base::Fiber* fiber;
    bool exclusive;
    bool granted = false;
    Waiting* next = nullptr;
  };
  void Wait(bool exclusive);
  void WakeNext();

  int32_t holders_ = 0;  // -1: exclusively
  Waiting* first_ = nullptr;  // in order of arrival
};

}  // namespace vfs
