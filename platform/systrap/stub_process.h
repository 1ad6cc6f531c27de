#pragma once

// One host process that holds an application address space: the helper thread, which changes
// mappings; the spawner, which starts threads; and application threads, each idle (waiting in its
// doorbell) or running a Context. Everything is under the kernel lock unless said otherwise.
// References: its worker, the address space, pending replies.

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "base/fiber.h"
#include "base/ref.h"
#include "base/result.h"
#include "platform/systrap/call_sites.h"
#include "platform/systrap/frame.h"
#include "platform/systrap/listener.h"
#include "platform/systrap/placement.h"
#include "platform/systrap/stub_layout.h"
#include "platform/systrap/worker.h"

namespace platform::systrap {

class CpuidTable;
class StubPool;
class StubProcess;
class SystrapContext;
class Watch;

// An application thread of a stub.
struct HostThread {
  enum class State {
    kIdle,     // in a doorbell, free
    kRunning,  // in application code for `context`
    kStopped,  // `context` is in the kernel; the thread waits in a doorbell or a system call
    kLeaving,  // its context left it in a system call; free after its next doorbell
  };

  StubProcess* stub = nullptr;
  int index = 0;
  pid_t tid = 0;
  State state = State::kIdle;
  SystrapContext* context = nullptr;
  // The unanswered call.
  uint64_t notification = 0;
  bool at_doorbell = false;
  uint32_t frame = 0;  // offset of its ucontext; 0 in the idle loop
  // Changes under the kernel lock, like those below; Watch reads them without.
  std::atomic<bool> bound = false;  // its fs_base is known to the trampolines
  // Stopped in a call that it posted, or a doorbell, and not in a system call yet.
  std::atomic<bool> posted = false;
  // Has the result of a posted call; should it ask, this is what it was.
  std::atomic<bool> answered = false;
  int64_t answer = 0;
  int leave_attempts = 0;
  Placement placement;
  // Who watches it, and the processor that it is to stay on meanwhile, -1 for any. By Watch.
  std::atomic<const Watch*> watch = nullptr;
  std::atomic<int> watched_on = -1;
  // When the first interrupt signal that it has not reacted to was sent; 0: none.
  int64_t signalled_at = 0;

  StubArea area() const;
};

class StubProcess : public RefCounted {
 public:
  // Takes the listeners of a stub that has just been set up. ESRCH when it died meanwhile.
  static Result<RefPtr<StubProcess>> Adopt(StubPool& pool, uint32_t slot, Fd helper, Fd app);

  // Queues a change of mappings.
  void Queue(const StubCommand& command);
  // Whether changes are not in force yet; another fiber may be about to make them.
  bool has_changes() const { return !commands_.empty() || flushing_; }
  // Makes the host calls that are queued. Drops the kernel lock meanwhile; parks while another
  // fiber does the same. After a failure the mappings are not what the Sentry thinks: the stub is
  // broken, and its contexts exit.
  Result<void> Flush();

  // The number of `fd` in the stub, put there by the next Flush unless it is there already.
  Result<int> StubDescriptor(int fd);
  static constexpr int kMaxDescriptors = 64;

  // An idle thread; starts one when there is none (parks).
  Result<HostThread*> AcquireThread();
  // Its context has left. The thread is stopped or running.
  void LeaveThread(HostThread& thread);
  // Answers the thread's doorbell or system call, which goes to application code.
  void Resume(HostThread& thread, int64_t value);
  // Sends the interrupt signal. A thread that does not react for long has blocked it, by returning
  // from a signal frame of its own making: its process is killed.
  void Signal(HostThread& thread);

  // The address space is gone: contexts are detached and the stub recycled or killed.
  void Retire();

  // Whether signals are outstanding; kills the process when one is older than `patience_ns`.
  bool CheckSignals(int64_t now_ns, int64_t patience_ns);

  // By the worker.
  void OnNotification(const seccomp_notif& notification);
  // Takes the call that the thread has posted; false when it does not stand any more.
  bool TakePosted(HostThread& thread);
  void OnDeath();

  // Lets the thread, whose fs_base this is, find its area in trampolines. Not while another thread
  // has the same.
  void Bind(HostThread& thread, uint64_t fs_base);
  void Unbind(HostThread& thread);
  // The thread gets this fs_base, which may be that of another one (vfork).
  void OnBases(HostThread& thread, uint64_t fs_base);
  CallSites& sites() { return sites_; }
  // Code in which kCpuidReplacement stands for cpuid; the stub reads it too.
  struct CpuidRange {
    uint64_t start = 0;
    uint64_t size = 0;
    bool Contains(uint64_t address) const { return address - start < size; }
  };
  // False where code is not to be replaced.
  bool SetCpuidRange(CpuidRange range);
  CpuidRange cpuid_range() const;
  CpuidTable& cpuid();
  // Event::hot, and `*warm` Event::warm, of a call that returned to `ip`.
  bool CountCall(uint64_t ip, bool* warm);
  // The thread that notified last. By the worker.
  HostThread* last_thread() const { return last_; }

  void Kill();
  bool dead() const { return dead_ || broken_; }
  Listener& app_listener() { return app_; }
  ReceiverState& receiver() { return receiver_; }
  uint32_t slot() const { return slot_; }
  char* local_slot() const { return local_; }

 private:
  StubProcess(StubPool& pool, uint32_t slot, char* local, Fd helper, Fd app);
  ~StubProcess() override;

  // What the stub has open at a number (once the queue is flushed).
  struct CachedDescriptor {
    uint64_t device = 0;
    uint64_t inode = 0;
    int mode = -1;
    uint64_t last_use = 0;
  };
  // To be put at `number` before the command of that index runs.
  struct QueuedDescriptor {
    size_t before;
    int number;
    Fd fd;
  };

  Result<void> RunBatch();
  Result<void> RunCommands(const std::vector<StubCommand>& batch,
                           std::vector<QueuedDescriptor>& descriptors);
  void ForgetQueuedDescriptors();
  void Order(const StubCommand* commands, size_t count);
  Result<void> ReceiveHelper(size_t ordered);
  // Starts a thread unless one is being started already; waiters are woken when it is idle.
  void StartThread();
  void OnSpawnerNotification(const seccomp_notif& notification);
  void OnNewThread(const seccomp_notif& notification);
  void FreeThread(HostThread& thread);
  bool UnbindOthers(const HostThread& thread, uint64_t fs_base);
  void WakeWaiters(std::vector<Fiber*>& waiters);
  void ClearAreas();
  void MaybeRecycle();

  StubPool& pool_;
  const uint32_t slot_;
  char* const local_;  // the Sentry's view of the slot
  Listener helper_;
  Listener app_;
  Fd pidfd_;
  pid_t pid_ = 0;
  uint64_t helper_notification_ = 0;
  bool dead_ = false;
  bool broken_ = false;
  bool retired_ = false;

  std::vector<StubCommand> commands_;
  std::vector<QueuedDescriptor> new_descriptors_;
  bool helper_busy_ = false;  // was given commands whose outcome nobody has received yet
  CachedDescriptor descriptors_[kMaxDescriptors];
  uint64_t descriptor_clock_ = 0;
  bool flushing_ = false;
  std::vector<Fiber*> flush_waiters_;

  std::vector<std::unique_ptr<HostThread>> threads_;
  absl::flat_hash_map<pid_t, HostThread*> by_tid_;
  HostThread* last_ = nullptr;
  pid_t spawner_tid_ = 0;
  uint64_t spawner_notification_ = 0;  // 0: not waiting for an order
  int spawning_ = 0;                   // index of the thread being started
  Errno spawn_error_{};
  std::vector<Fiber*> spawn_waiters_;

  CallSites sites_;
  ReceiverState receiver_;
};

}  // namespace platform::systrap
