#pragma once

// The kernel lock: one lock for all kernel state of a Sentry (docs/decisions/0001). It is held while fibers run and
// dropped around every host call that may block. Workers take it for about as long as a system call takes in Linux.
//
//   {
//     KernelLock::Section section;      // a host thread that has something to do in the kernel
//     fiber->Unpark();
//   }                                   // runs what became ready, then drops the lock
//
//   ssize_t n;
//   {
//     KernelLock::Unlocked unlocked;    // on a fiber: around a host call that may block
//     n = pread(fd, ...);
//   }

#include "absl/base/thread_annotations.h"

namespace base {

class KernelLock {
 public:
  class Section {
   public:
    Section();
    ~Section();  // runs ready fibers first
    Section(const Section&) = delete;
    Section& operator=(const Section&) = delete;
  };

  // Drops the lock. What was read from kernel objects before is stale afterwards, except objects that the caller holds a
  // reference to.
  class Unlocked {
   public:
    Unlocked();
    ~Unlocked();
    Unlocked(const Unlocked&) = delete;
    Unlocked& operator=(const Unlocked&) = delete;

   private:
    void* worker_;
  };

  // A platform worker's hooks, told when the fiber that runs on this worker enters and leaves an Unlocked section: so
  // that another worker may take over what it served. Both run without the lock.
  struct WorkerHooks {
    virtual ~WorkerHooks() = default;
    virtual void OnBlock() {}
    virtual void OnUnblock() {}
  };
  static void SetWorkerHooks(WorkerHooks* hooks);  // of the calling host thread

  static void Lock();
  static void Unlock();
  static bool HeldByCurrentThread();
};

}  // namespace base

using base::KernelLock;
