#include "platform/systrap/stub_process.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "base/event_loop.h"
#include "base/host.h"
#include "base/kernel_lock.h"
#include "base/log.h"
#include "platform/systrap/context.h"
#include "platform/systrap/posted_call.h"
#include "platform/systrap/signals.h"
#include "platform/systrap/stub_pool.h"

namespace platform::systrap {

namespace {

constexpr int kMaxLeaveAttempts = 8;
constexpr size_t kRetireCommands = 1;
constexpr size_t kMaxUsedThreads = 8;  // of a stub that is used again

bool AtSite(const seccomp_notif& n, char* site, uint32_t nr) {
  return n.data.arch == AUDIT_ARCH_X86_64 && n.data.instruction_pointer == StubAddress(site) &&
         static_cast<uint32_t>(n.data.nr) == nr;
}

}  // namespace

StubArea HostThread::area() const {
  const uint64_t offset = uint64_t{STUB_AREA_SIZE} * index;
  return {stub->local_slot() + STUB_SLOT_AREAS + offset, STUB_AREAS + offset};
}

StubProcess::StubProcess(StubPool& pool, uint32_t slot, char* local, Fd helper, Fd app)
    : pool_(pool),
      slot_(slot),
      local_(local),
      helper_(std::move(helper)),
      app_(std::move(app)),
      sites_(local) {}

StubProcess::~StubProcess() { pool_.OnStubDeleted(); }

Result<RefPtr<StubProcess>> StubProcess::Adopt(StubPool& pool, uint32_t slot, Fd helper, Fd app) {
  auto stub = RefPtr<StubProcess>::Adopt(
      new StubProcess(pool, slot, pool.slot_memory(slot), std::move(helper), std::move(app)));
  pool.set_synchronous(stub->helper_.SetSynchronousWakeUp() && stub->app_.SetSynchronousWakeUp());
  seccomp_notif notification;
  TRY(stub->helper_.Receive(notification));
  stub->helper_notification_ = notification.id;
  stub->pid_ = static_cast<pid_t>(notification.pid);
  stub->pidfd_ = Fd(TRY(HOST(static_cast<int>(syscall(SYS_pidfd_open, stub->pid_, 0)))));
  stub->receiver_.outstanding.Add(1);  // the spawner is about to knock
  Serve(stub);
  return stub;
}

void StubProcess::Kill() {
  if (dead_) return;
  broken_ = true;
  (void)HOST(syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGKILL, nullptr, 0));
}

void StubProcess::WakeWaiters(std::vector<Fiber*>& waiters) {
  for (Fiber* fiber : std::exchange(waiters, {})) fiber->Unpark();
}

// ---- mappings

void StubProcess::Queue(const StubCommand& command) {
  const bool fenced =
      !new_descriptors_.empty() && new_descriptors_.back().before == commands_.size();
  if (!commands_.empty() && !fenced) {
    StubCommand& last = commands_.back();
    const bool adjacent = last.nr == command.nr && last.args[0] + last.args[1] == command.args[0];
    bool merge = false;
    switch (command.nr) {
      case SYS_mmap:
        merge = adjacent && last.args[2] == command.args[2] && last.args[3] == command.args[3] &&
                last.args[4] == command.args[4] && last.args[5] + last.args[1] == command.args[5];
        break;
      case SYS_munmap:
        merge = adjacent;
        break;
      case SYS_mprotect:
        merge = adjacent && last.args[2] == command.args[2];
        break;
      default:
        break;
    }
    if (merge) {
      last.args[1] += command.args[1];
      return;
    }
  }
  commands_.push_back(command);
}

Result<int> StubProcess::StubDescriptor(int fd) {
  struct stat status;
  TRY(HOST(fstat(fd, &status)));
  const int mode = TRY(HOST(fcntl(fd, F_GETFL))) & O_ACCMODE;
  CachedDescriptor* oldest = &descriptors_[0];
  for (CachedDescriptor& entry : descriptors_) {
    if (entry.inode == status.st_ino && entry.device == status.st_dev && entry.mode == mode) {
      entry.last_use = ++descriptor_clock_;
      return STUB_FIRST_CACHED_FD + static_cast<int>(&entry - descriptors_);
    }
    if (entry.last_use < oldest->last_use) oldest = &entry;
  }
  const int number = STUB_FIRST_CACHED_FD + static_cast<int>(oldest - descriptors_);
  Fd copy(TRY(HOST(fcntl(fd, F_DUPFD_CLOEXEC, 0))));
  new_descriptors_.push_back({commands_.size(), number, std::move(copy)});
  *oldest = {status.st_dev, status.st_ino, mode, ++descriptor_clock_};
  return number;
}

// Those that are to be put into the stub never will be.
void StubProcess::ForgetQueuedDescriptors() {
  for (const QueuedDescriptor& queued : new_descriptors_) {
    descriptors_[queued.number - STUB_FIRST_CACHED_FD] = CachedDescriptor();
  }
  new_descriptors_.clear();
}

void StubProcess::Order(const StubCommand* commands, size_t count) {
  memcpy(local_ + STUB_COMMAND_LIST, commands, count * sizeof(StubCommand));
  helper_.Reply(helper_notification_, static_cast<int64_t>(count));
  helper_busy_ = true;
}

Result<void> StubProcess::ReceiveHelper(size_t ordered) {
  seccomp_notif notification;
  TRY(helper_.Receive(notification));
  helper_busy_ = false;
  helper_notification_ = notification.id;
  if (notification.data.args[1] == ordered) return {};
  const int64_t error = static_cast<int64_t>(notification.data.args[2]);
  return static_cast<Errno>(error < 0 && error > -4096 ? -error : EIO);
}

Result<void> StubProcess::RunCommands(const std::vector<StubCommand>& batch,
                                      std::vector<QueuedDescriptor>& descriptors) {
  if (helper_busy_) TRY(ReceiveHelper(kRetireCommands));
  size_t next = 0;
  for (size_t done = 0; done < batch.size();) {
    for (; next < descriptors.size() && descriptors[next].before <= done; next++) {
      TRY(helper_.AddFd(helper_notification_, descriptors[next].fd.get(),
                        descriptors[next].number));
    }
    size_t count = std::min<size_t>(batch.size() - done, STUB_MAX_COMMANDS);
    if (next < descriptors.size()) count = std::min(count, descriptors[next].before - done);
    Order(batch.data() + done, count);
    TRY(ReceiveHelper(count));
    done += count;
  }
  return {};
}

Result<void> StubProcess::RunBatch() {
  std::vector<StubCommand> batch;
  std::vector<QueuedDescriptor> descriptors;
  batch.swap(commands_);
  descriptors.swap(new_descriptors_);
  flushing_ = true;
  // Not KernelLock::Unlocked: this takes a few microseconds, which is not worth a spare worker.
  KernelLock::Unlock();
  Result<void> result = RunCommands(batch, descriptors);
  descriptors.clear();
  KernelLock::Lock();
  flushing_ = false;
  WakeWaiters(flush_waiters_);
  return result;
}

Result<void> StubProcess::Flush() {
  while (flushing_) {
    flush_waiters_.push_back(Fiber::Current());
    Fiber::Park();
    std::erase(flush_waiters_, Fiber::Current());
  }
  if (dead()) return Errno::kESRCH;
  if (commands_.empty()) return {};
  Result<void> result = RunBatch();
  if (!result.ok()) {
    LOG_WARNING("systrap: stub {}: changing mappings failed: errno {}", pid_,
                static_cast<int>(result.error()));
    Kill();
  }
  return result;
}

// ---- threads

Result<HostThread*> StubProcess::AcquireThread() {
  for (;;) {
    if (dead()) return Errno::kESRCH;
    for (auto& thread : threads_) {
      if (thread->state == HostThread::State::kIdle) {
        thread->state = HostThread::State::kStopped;
        return thread.get();
      }
    }
    if (spawn_error_ != Errno{}) return std::exchange(spawn_error_, Errno{});
    if (threads_.size() + 1 >= STUB_MAX_THREADS) return Errno::kEAGAIN;
    StartThread();
    spawn_waiters_.push_back(Fiber::Current());
    Fiber::Park();
    std::erase(spawn_waiters_, Fiber::Current());
  }
}

void StubProcess::StartThread() {
  if (spawning_ != 0 || spawner_notification_ == 0) return;
  spawning_ = static_cast<int>(threads_.size()) + 1;
  const uint64_t area = STUB_AREAS + uint64_t{STUB_AREA_SIZE} * spawning_;
  const stack_t stack = {reinterpret_cast<void*>(area), 0, STUB_AREA_HEADER};
  memcpy(local_ + STUB_NEXT_STACK, &stack, sizeof stack);
  QueueReply(*this, nullptr, std::exchange(spawner_notification_, 0), spawning_);
}

// Unbinds other threads with this fs_base; whether there are any.
bool StubProcess::UnbindOthers(const HostThread& thread, uint64_t fs_base) {
  bool found = false;
  for (auto& other : threads_) {
    if (other.get() == &thread || other->context == nullptr ||
        other->context->fs_base() != fs_base) {
      continue;
    }
    Unbind(*other);
    found = true;
  }
  return found;
}

void StubProcess::OnBases(HostThread& thread, uint64_t fs_base) {
  if (sites_.empty()) return;
  Unbind(thread);
  UnbindOthers(thread, fs_base);
}

void StubProcess::Bind(HostThread& thread, uint64_t fs_base) {
  if (thread.bound || sites_.empty() || UnbindOthers(thread, fs_base)) return;
  thread.bound = sites_.Bind(fs_base, thread.area().remote);
}

bool StubProcess::CountCall(uint64_t ip, bool* warm) {
  return pool_.hot_calls() > 0 && sites_.Count(ip, pool_.hot_calls(), warm);
}

bool StubProcess::SetCpuidRange(CpuidRange range) {
  if (pool_.hot_calls() == 0) return false;
  memcpy(local_ + STUB_CPUID_RANGE, &range, sizeof range);
  return true;
}

StubProcess::CpuidRange StubProcess::cpuid_range() const {
  CpuidRange range;
  memcpy(&range, local_ + STUB_CPUID_RANGE, sizeof range);
  return range;
}

CpuidTable& StubProcess::cpuid() { return pool_.cpuid(); }

void StubProcess::Unbind(HostThread& thread) {
  if (!thread.bound.exchange(false)) return;
  sites_.Unbind(thread.area().remote);
}

void StubProcess::Resume(HostThread& thread, int64_t value) {
  thread.state = HostThread::State::kRunning;
  if (thread.posted.exchange(false)) {
    receiver_.outstanding.Add(1);
    EnsureReceiver(*this);
    thread.answered = Finish(thread.area(), value);
    thread.answer = value;
    return;
  }
  QueueReply(*this, &thread, std::exchange(thread.notification, 0), value);
}

void StubProcess::Signal(HostThread& thread) {
  (void)syscall(SYS_tgkill, pid_, thread.tid, kInterruptSignal);
  if (thread.signalled_at != 0) return;
  thread.signalled_at = base::MonotonicNow();
  pool_.WatchSignals();
}

bool StubProcess::CheckSignals(int64_t now_ns, int64_t patience_ns) {
  bool outstanding = false;
  for (auto& thread : threads_) {
    if (thread->signalled_at == 0) continue;
    outstanding = true;
    if (now_ns - thread->signalled_at >= patience_ns) Kill();
  }
  return outstanding;
}

void StubProcess::FreeThread(HostThread& thread) {
  thread.context = nullptr;
  thread.state = HostThread::State::kIdle;
  ForgetPosted(thread.area());
  Unbind(thread);
  WakeWaiters(spawn_waiters_);
  if (retired_) MaybeRecycle();
}

void StubProcess::LeaveThread(HostThread& thread) {
  thread.context = nullptr;
  Unbind(thread);
  if (dead()) return;
  const bool stopped = thread.state == HostThread::State::kStopped && !thread.posted;
  if (stopped && thread.at_doorbell) return FreeThread(thread);
  // The signal is delivered at the return of the system call; the handler's doorbell then frees the
  // thread. One that has posted its doorbell parks there.
  if (thread.posted.exchange(false)) {
    receiver_.outstanding.Add(1);
    SayBlocked(thread.area());
  }
  thread.state = HostThread::State::kLeaving;
  thread.leave_attempts = 0;
  Signal(thread);
  if (stopped) QueueReply(*this, &thread, std::exchange(thread.notification, 0), -EINTR);
}

// ---- notifications

void StubProcess::OnSpawnerNotification(const seccomp_notif& n) {
  if (AtSite(n, StubCloneSite, SYS_clone) && spawning_ != 0 &&
      n.data.args[0] == STUB_CLONE_THREAD && n.data.args[1] == 0 && n.data.args[2] == 0 &&
      n.data.args[3] == 0 && n.data.args[4] == 0) {
    receiver_.outstanding.Add(1);  // of the new thread
    QueueContinue(*this, n.id);
  } else if (AtSite(n, StubSpawnerSite, STUB_DOORBELL)) {
    spawner_notification_ = n.id;
    const int64_t error = static_cast<int64_t>(n.data.args[1]);
    if (error < 0 && spawning_ != 0) {
      receiver_.outstanding.Add(-1);
      spawning_ = 0;
      spawn_error_ = static_cast<Errno>(-error);
    }
    WakeWaiters(spawn_waiters_);
  } else {
    Kill();
  }
}

// A thread id not seen before: only an approved clone makes one.
void StubProcess::OnNewThread(const seccomp_notif& n) {
  if (spawner_tid_ == 0 && AtSite(n, StubSpawnerSite, STUB_DOORBELL)) {
    spawner_tid_ = static_cast<pid_t>(n.pid);
    OnSpawnerNotification(n);
    StartThread();  // every address space needs one
    return;
  }
  if (spawning_ != 0 && AtSite(n, StubSigaltstackSite, SYS_sigaltstack)) {
    QueueContinue(*this, n.id);
    return;
  }
  if (spawning_ == 0 || !AtSite(n, StubDoorbellSite, STUB_DOORBELL) ||
      n.data.args[0] != STUB_REASON_IDLE) {
    Kill();
    return;
  }
  auto thread = std::make_unique<HostThread>();
  thread->stub = this;
  thread->index = std::exchange(spawning_, 0);
  thread->tid = static_cast<pid_t>(n.pid);
  thread->notification = n.id;
  thread->at_doorbell = true;
  by_tid_[thread->tid] = thread.get();
  threads_.push_back(std::move(thread));
  WakeWaiters(spawn_waiters_);
}

void StubProcess::OnNotification(const seccomp_notif& n) {
  const auto tid = static_cast<pid_t>(n.pid);
  HostThread* thread = last_;
  if (thread == nullptr || thread->tid != tid) {
    if (tid == spawner_tid_) return OnSpawnerNotification(n);
    auto it = by_tid_.find(tid);
    if (it == by_tid_.end()) return OnNewThread(n);
    last_ = thread = it->second;
  }
  thread->signalled_at = 0;
  thread->placement.Stop();
  thread->notification = n.id;
  const bool parks = static_cast<uint32_t>(n.data.nr) == STUB_PARK;
  // The result came while it went to sleep.
  if (thread->answered.exchange(false) && parks) {
    return QueueReply(*this, thread, std::exchange(thread->notification, 0), thread->answer);
  }
  if (thread->posted && thread->at_doorbell) {
    // Nothing else can follow a doorbell that was taken.
    if (!parks) return Kill();
    thread->posted = false;
    receiver_.outstanding.Add(1);  // it was not when its call had been taken
    return;
  }
  // One that parks there has posted its doorbell, and nobody took it.
  thread->at_doorbell =
      AtSite(n, StubDoorbellSite, STUB_DOORBELL) || AtSite(n, StubDoorbellSite, STUB_PARK);
  thread->frame = 0;
  if (thread->at_doorbell) {
    // The application may jump to the doorbell with anything in its registers.
    const Doorbell doorbell(n.data.args);
    const bool idle = doorbell.reason == STUB_REASON_IDLE;
    Result<uint32_t> frame = CheckFrame(thread->area(), doorbell.ucontext);
    if (frame.ok()) thread->frame = *frame;
    if (!idle && !frame.ok()) {
      Kill();
      return;
    }
  }
  if (thread->state == HostThread::State::kLeaving) {
    if (thread->at_doorbell) {
      FreeThread(*thread);
    } else if (thread->leave_attempts++ < kMaxLeaveAttempts) {
      Signal(*thread);
      QueueReply(*this, thread, std::exchange(thread->notification, 0), -EINTR);
    } else {
      Kill();
    }
    return;
  }
  if (thread->context != nullptr && thread->state == HostThread::State::kStopped &&
      thread->posted.exchange(false)) {
    receiver_.outstanding.Add(1);  // it was not when its call had been taken
    return thread->context->OnPostedStops(n);
  }
  if (thread->state != HostThread::State::kRunning || thread->context == nullptr) {
    Kill();
    return;
  }
  thread->state = HostThread::State::kStopped;
  if (thread->at_doorbell) {
    thread->context->OnDoorbell(Doorbell(n.data.args));
  } else {
    thread->context->OnCall(n);
  }
}

bool StubProcess::TakePosted(HostThread& thread) {
  if (dead() || thread.state != HostThread::State::kRunning || thread.context == nullptr) {
    return false;
  }
  const StubArea area = thread.area();
  if (!HasPosted(area)) return false;
  const PostedCall call = ReadPosted(area);
  const bool rings = call.nr == STUB_DOORBELL && call.return_to == StubAddress(StubDoorbellSite);
  uint32_t frame = 0;
  if (rings) {
    Result<uint32_t> checked = CheckFrame(area, Doorbell(call.args).ucontext);
    if (!checked.ok()) {
      Kill();
      return false;
    }
    frame = *checked;
    thread.signalled_at = 0;
  }
  receiver_.outstanding.Add(-1);
  thread.state = HostThread::State::kStopped;
  thread.posted = true;  // its placement stays: it looks for the result on its processor
  thread.at_doorbell = rings;
  thread.frame = frame;
  thread.answered = false;
  thread.notification = 0;
  if (rings) {
    thread.context->OnDoorbell(Doorbell(call.args));
  } else {
    thread.context->OnPosted(call);
  }
  return true;
}

// ---- the end

void StubProcess::OnDeath() {
  if (dead_) return;
  dead_ = true;
  receiver_.outstanding.Clear();
  for (auto& thread : threads_) thread->placement.Stop();
  for (auto& thread : threads_) {
    if (thread->context != nullptr) thread->context->OnThreadGone();
    thread->context = nullptr;
  }
  WakeWaiters(spawn_waiters_);
  WakeWaiters(flush_waiters_);
  ClearAreas();
  pool_.OnStubGone(*this);
}

// What an application left in them is not for the next one to see. Not the command pages: the
// helper may be reading them.
void StubProcess::ClearAreas() {
  sites_.Clear();
  SetCpuidRange({});
  (void)HOST(
      madvise(local_ + STUB_SLOT_AREAS, STUB_AREA_SIZE * (threads_.size() + 1), MADV_REMOVE));
}

void StubProcess::Retire() {
  retired_ = true;
  if (dead()) return;
  if (flushing_) {
    // Cannot be: whoever flushes holds the address space.
    Kill();
    return;
  }
  // First take the memory away: nothing of the application can run on, whatever happens to its
  // threads.
  commands_.clear();
  ForgetQueuedDescriptors();
  // Descriptors stay: the next address space mostly maps the same files, no application can use
  // one, and handing one over costs two wake-ups, which may be across processors.
  const StubCommand commands[kRetireCommands] = {
      {SYS_munmap, {STUB_MIN_APP_ADDRESS, STUB_BASE - STUB_MIN_APP_ADDRESS}, 0},
  };
  const bool all_stopped = std::all_of(threads_.begin(), threads_.end(), [](const auto& thread) {
    return thread->state == HostThread::State::kIdle ||
           (thread->state == HostThread::State::kStopped && thread->at_doorbell && !thread->posted);
  });
  if (helper_busy_ && !ReceiveHelper(kRetireCommands).ok()) return Kill();
  Order(commands, kRetireCommands);
  // Without a thread that could still touch the memory the outcome is received by who uses the stub
  // next.
  if (!all_stopped && !ReceiveHelper(kRetireCommands).ok()) return Kill();
  for (auto& thread : threads_) {
    if (thread->context == nullptr) continue;
    thread->context->OnThreadGone();
    LeaveThread(*thread);
  }
  MaybeRecycle();
}

void StubProcess::MaybeRecycle() {
  if (!retired_ || dead()) return;
  for (auto& thread : threads_) {
    if (thread->state != HostThread::State::kIdle) return;
  }
  if (threads_.size() > kMaxUsedThreads || !pool_.TakeBack(*this)) return Kill();
  retired_ = false;
  ClearAreas();
}

}  // namespace platform::systrap
