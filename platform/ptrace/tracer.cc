#include "platform/ptrace/tracer.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "base/fiber.h"
#include "base/host.h"
#include "base/kernel_lock.h"
#include "base/log.h"
#include "platform/ptrace/context.h"
#include "platform/ptrace/tracee_unsafe.h"
#include "platform/ptrace/wait_unsafe.h"

namespace platform::ptrace {

static constexpr size_t kStubFileSize = kStubFilePages * kPageSize;

pid_t Tracer::gettid_cached() {
  thread_local pid_t tid = ::gettid();
  return tid;
}

Tracer::~Tracer() {
  Shutdown();
  if (stub_file_map_ != nullptr) munmap(stub_file_map_, kStubFileSize);
}

Result<void> Tracer::Create(const Platform::Options& options) {
  full_state_ = options.full_state;
  TRY(HOST(sched_getaffinity(0, sizeof cpus_, &cpus_)));
  int pair[2];
  TRY(HOST(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair)));
  socket_ = Fd(pair[0]);
  Fd zygote_end(pair[1]);
  stub_file_ = Fd(TRY(HOST(memfd_create("runsc-stub", MFD_CLOEXEC))));
  TRY(HOST(ftruncate(stub_file_.get(), kStubFileSize)));
  void* map = mmap(nullptr, kStubFileSize, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE,
                   stub_file_.get(), 0);
  if (map == MAP_FAILED) return Errno::kENOMEM;
  stub_file_map_ = static_cast<char*>(map);
  FillCodePage(stub_file_map_);
  InstallWakeHandler();
  // A SIGCHLD at every stop would be pure cost, or flood a signalfd.
  struct sigaction action;
  TRY(HOST(sigaction(SIGCHLD, nullptr, &action)));
  action.sa_flags |= SA_NOCLDSTOP;
  TRY(HOST(sigaction(SIGCHLD, &action, nullptr)));

  pid_t pid = TRY(ForkZygote(options.memory_fd, zygote_end.get(), stub_file_.get(), socket_.get()));
  zygote_.leader.stub = &zygote_;
  zygote_.leader.tid = pid;
  zygote_.live = 1;
  zygote_.batch_page = kScratchPage;

  // A host that forbids ptrace says so here, while another platform can still be chosen.
  auto probe = [pid]() -> Result<void> {
    int status;
    TRY(Seize(pid));
    TRY(RequestStop(pid));
    TRY(HOST_RETRY(waitpid(pid, &status, __WALL)));
    __ptrace_syscall_info info;
    TRY(GetSyscallInfo(pid, &info));
    return Detach(pid);
  };
  Result<void> allowed = probe();
  if (!allowed.ok()) {
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, __WALL);
    zygote_.live = 0;
  }
  return allowed;
}

void Tracer::EnsureStarted() {
  if (started_ || shut_down_) return;
  started_ = true;
  // All but what a fault in this thread raises and the wake-up goes to other threads.
  sigset_t blocked, old;
  sigfillset(&blocked);
  for (int signo : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, WakeSignal()})
    sigdelset(&blocked, signo);
  pthread_sigmask(SIG_SETMASK, &blocked, &old);
  thread_ = std::thread([self = shared_from_this()] { self->Main(); });
  pthread_sigmask(SIG_SETMASK, &old, nullptr);
}

void Tracer::Do(absl::FunctionRef<void()> work) {
  if (OnTracerThread()) return work();
  bool done = false;
  Fiber* fiber = Fiber::Current();
  CHECK(fiber != nullptr);
  Post([&] {
    work();
    done = true;
    fiber->Unpark();
  });
  while (!done) Fiber::Park();
}

void Tracer::Post(absl::AnyInvocable<void()> work) {
  bool finished;
  {
    std::lock_guard lock(queue_mutex_);
    finished = finished_;
    if (!finished) queue_.push_back(std::move(work));
  }
  if (finished) return work();  // all stubs are dead: only bookkeeping is left
  if (wake_.exchange(1) == 0) {
    pid_t tid = tid_;
    if (tid != 0 && tid != gettid_cached()) tgkill(getpid(), tid, WakeSignal());
    wake_.notify_one();
  }
}

void Tracer::DrainQueue() {
  wake_ = 0;
  for (;;) {
    absl::AnyInvocable<void()> work;
    {
      std::lock_guard lock(queue_mutex_);
      if (queue_.empty()) return;
      work = std::move(queue_.front());
      queue_.pop_front();
    }
    work();
  }
}

void Tracer::Main() {
  prctl(PR_SET_NAME, "tracer");
  tid_ = gettid_cached();
  Result<void> ready = SetUpZygote();
  {
    KernelLock::Section section;
    zygote_ready_ = ready.ok();
    if (!ready.ok()) LOG_WARNING("ptrace: cannot set up the stubs: {}", ErrnoName(ready.error()));
  }
  for (;;) {
    pid_t tid = 0;
    int status = 0;
    Result<pid_t> waited = WaitForAny(wake_, &status);
    if (waited.ok()) tid = *waited;
    KernelLock::Section section;
    if (tid != 0) stashed_.emplace_back(tid, status);
    while (!stashed_.empty()) {
      auto [stopped, how] = stashed_.front();
      stashed_.pop_front();
      HandleStatus(stopped, how);
    }
    DrainQueue();
    // Fibers may inject, so what that stashed is handled before the next wait; the section's end
    // runs none but these.
    while (base::FiberRunner::HasReady() || !stashed_.empty()) {
      base::FiberRunner::RunReady();
      while (!stashed_.empty()) {
        auto [stopped, how] = stashed_.front();
        stashed_.pop_front();
        HandleStatus(stopped, how);
      }
    }
    if (!waited.ok() && waited.error() == Errno::kECHILD) {
      KernelLock::Unlocked unlocked;
      {
        std::lock_guard lock(queue_mutex_);
        finished_ = shut_down_ && queue_.empty();
        if (finished_) break;
      }
      wake_.wait(0);
    }
  }
}

void Tracer::HandleStatus(pid_t tid, int status) {
  if (!WIFSTOPPED(status)) return HandleDeath(tid);
  auto it = threads_.find(tid);
  if (it == threads_.end()) return;
  PtraceContext* context = it->second->context;
  if (context != nullptr && context->running()) context->OnStop(status);
}

void Tracer::HandleDeath(pid_t tid) {
  if (tid == zygote_.leader.tid) {
    zygote_.dead = zygote_.leader.dead = true;
    zygote_.live = 0;
    zygote_ready_ = false;
    return;
  }
  auto it = threads_.find(tid);
  if (it == threads_.end()) return;
  StubThread* thread = it->second;
  threads_.erase(it);
  Stub* stub = thread->stub;
  thread->dead = true;
  stub->dead = true;
  stub->live--;
  std::erase(stub->idle, thread);
  if (thread->context != nullptr) thread->context->OnDeath();
  // A thread that died alone leaves a process that is of no use.
  if (stub->live > 0) KillStub(stub);
  if (stub->live == 0 && !stub->owned) Forget(stub);
}

void Tracer::Forget(Stub* stub) {
  std::erase(pool_, stub);
  free_pages_.push_back(stub->batch_page);
  delete stub;
}

void Tracer::KillStub(Stub* stub) {
  stub->dead = true;
  if (stub->live > 0) kill(stub->leader.tid, SIGKILL);
}

void Tracer::WakeOnThisCpu(pid_t tid, absl::FunctionRef<void()> wake) {
  int cpu = CPU_COUNT(&cpus_) > 1 ? sched_getcpu() : -1;
  if (cpu < 0 || !CPU_ISSET(cpu, &cpus_)) return wake();
  cpu_set_t here;
  CPU_ZERO(&here);
  CPU_SET(cpu, &here);
  sched_setaffinity(tid, sizeof here, &here);
  wake();
  // Free to go elsewhere at once, should it compute for long.
  sched_setaffinity(tid, sizeof cpus_, &cpus_);
}

void Tracer::Shutdown() {
  bool locked = KernelLock::HeldByCurrentThread();
  if (shut_down_.exchange(true)) return;
  // Outside of the tracer thread nothing but the pid of the zygote is safe to look at; the rest
  // follows its death, or is killed by the queued call where there is no pid namespace.
  if (zygote_.leader.tid != 0 && zygote_.live > 0) kill(zygote_.leader.tid, SIGKILL);
  if (!started_) {
    if (zygote_.live > 0) waitpid(zygote_.leader.tid, nullptr, __WALL);
    zygote_.live = 0;
    std::lock_guard lock(queue_mutex_);
    finished_ = true;
    return;
  }
  Post([this] {
    std::vector<Stub*> stubs;
    for (auto& [tid, thread] : threads_) {
      if (&thread->stub->leader == thread) stubs.push_back(thread->stub);
    }
    for (Stub* stub : stubs) KillStub(stub);
  });
  if (OnTracerThread()) {
    thread_.detach();
    return;
  }
  if (locked) {
    KernelLock::Unlocked unlocked;
    thread_.join();
  } else {
    thread_.join();
  }
}

}  // namespace platform::ptrace
