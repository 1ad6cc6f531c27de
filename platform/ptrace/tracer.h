#pragma once

// The tracer: the one host thread of the Sentry that all stub threads are tracees of, since the
// host accepts ptrace requests from no other. It waits for tracees without the kernel lock, handles
// each stop under it, and then runs the fibers that became ready. What other threads want of a
// tracee is queued and run on it in order.

#include <sched.h>
#include <sys/types.h>

#include <atomic>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"
#include "base/fd.h"
#include "base/result.h"
#include "platform/platform.h"
#include "platform/ptrace/stub_unsafe.h"

namespace platform::ptrace {

struct Stub;
class PtraceContext;

// Pages of the stub file, which the Sentry maps whole: the code, the zygote's scratch, and a batch
// page for each stub.
inline constexpr uint32_t kScratchPage = 1;
inline constexpr uint32_t kStubFilePages = 32768;

// A host thread of a stub.
struct StubThread {
  Stub* stub = nullptr;
  pid_t tid = 0;
  bool dead = false;
  PtraceContext* context = nullptr;  // runs application code on it
};

// A host process that is an address space. Its first thread, the leader, never runs application
// code: it is stopped whenever nothing is injected into it.
struct Stub {
  StubThread leader;
  std::vector<std::unique_ptr<StubThread>> threads;
  std::vector<StubThread*> idle;  // stopped, without a context
  int live = 0;                   // host threads not reaped yet
  uint32_t batch_page = 0;        // its page of the stub file
  bool dead = false;              // killed, by us or from outside
  bool owned = false;             // by an address space
};

class Tracer : public std::enable_shared_from_this<Tracer> {
 public:
  Tracer() = default;
  Tracer(const Tracer&) = delete;
  Tracer& operator=(const Tracer&) = delete;
  ~Tracer();

  // Forks the zygote and finds out whether the host lets us trace it.
  Result<void> Create(const Platform::Options& options);
  const SyscallSet& full_state() const { return full_state_; }

  // Starts the thread if it does not run yet. Under the kernel lock. Kept out of Create, so that
  // whatever the Sentry gives up in between holds for the thread too.
  void EnsureStarted();

  // Runs `work` on the tracer thread under the kernel lock. From a fiber, which parks if it is not
  // there already.
  void Do(absl::FunctionRef<void()> work);
  // The same without waiting; from any thread, with or without the kernel lock.
  void Post(absl::AnyInvocable<void()> work);
  bool OnTracerThread() const { return gettid_cached() == tid_.load(std::memory_order_relaxed); }

  // Kills all stubs. Parked fibers get their kExited. Under the kernel lock or not.
  void Shutdown();
  bool shut_down() const { return shut_down_; }

  // The rest: on the tracer thread, under the kernel lock.

  Result<Stub*> AcquireStub();
  // Gives a stub back: recycles or kills it.
  void ReleaseStub(Stub* stub);
  // A thread of the stub that no context uses.
  Result<StubThread*> AcquireThread(Stub* stub);
  void ReleaseThread(StubThread* thread);

  // How many contexts run application code.
  void CountRunning(int change) { running_ += change; }
  int running() const { return running_; }
  // Calls `wake`, which resumes the thread `tid`, so that it starts on this CPU: for when there is
  // nothing else to do here but to wait for it. A wake-up across CPUs costs several times as much
  // as all the rest of a system call.
  void WakeOnThisCpu(pid_t tid, absl::FunctionRef<void()> wake);

  // Makes the calls in a stub's leader in order; goes on after one that fails. What was mapped
  // where a change failed is not left to the application: it goes, or else the stub. Returns the
  // first error.
  Result<void> Inject(Stub* stub, const std::vector<StubCall>& calls);
  // Copies descriptors into the stubs' file table; their numbers there. Closed by CloseInStubs.
  Result<std::vector<int>> PassFds(const std::vector<int>& fds);
  void CloseInStubs(const std::vector<int>& fds);

 private:
  static pid_t gettid_cached();
  void Main();
  Result<void> SetUpZygote();
  void HandleStatus(pid_t tid, int status);
  void HandleDeath(pid_t tid);
  void DrainQueue();

  // One run of a thread through the stub code: `first` in registers, `more` from the batch page.
  // `done` is how many calls succeeded; the result is that of the last call made.
  Result<uint64_t> InjectRun(StubThread& thread, uint64_t code, const StubCall& first,
                             uint64_t calls, uint64_t* done, pid_t* child = nullptr);
  // Waits for a stop of this thread; what others report is kept for the main loop.
  Result<int> WaitFor(pid_t tid);
  // False if the stub had to be killed.
  bool UnmapAfterFailure(Stub* stub, const StubCall& failed);
  Result<Stub*> ForkStub();
  void KillStub(Stub* stub);
  void Forget(Stub* stub);
  void* FilePage(uint32_t index) { return stub_file_map_ + index * kPageSize; }

  SyscallSet full_state_;
  std::thread thread_;
  std::atomic<pid_t> tid_{0};
  bool started_ = false;
  std::atomic<bool> shut_down_{false};

  std::mutex queue_mutex_;
  std::deque<absl::AnyInvocable<void()>> queue_;  // guarded by queue_mutex_
  bool finished_ = false;     // guarded by queue_mutex_: the thread has drained it for good
  std::atomic<int> wake_{0};  // queue_ is not empty

  // The tracer thread's own.
  std::deque<std::pair<pid_t, int>>
      stashed_;  // reported while an injection waited for another thread
  absl::flat_hash_map<pid_t, StubThread*> threads_;
  int running_ = 0;
  cpu_set_t cpus_;  // that the Sentry, and stubs, may run on
  std::vector<Stub*> pool_;
  std::vector<uint32_t> free_pages_;
  uint32_t next_page_ = kScratchPage + 1;
  Stub zygote_;
  bool zygote_ready_ = false;
  Fd socket_;     // to the zygote
  Fd stub_file_;  // page 0: code; page 1: the zygote's scratch; then the batch pages
  char* stub_file_map_ = nullptr;
};

}  // namespace platform::ptrace
