#include "platform/systrap/worker.h"

#include <pthread.h>
#include <signal.h>

#include <condition_variable>
#include <mutex>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "base/kernel_lock.h"
#include "base/log.h"
#include "platform/systrap/stub_process.h"
#include "platform/systrap/watch.h"

namespace platform::systrap {

namespace {

constexpr size_t kWorkerStackSize = 64 * 1024;
constexpr size_t kMaxSpareWorkers = 4;

struct PendingReply {
  RefPtr<StubProcess> stub;
  HostThread* thread;  // null: the spawner, or one that is being started
  uint64_t id;
  int64_t value;
  bool carry_on;
};

// The idle workers. Independent of the kernel lock, because hooks run without it.
struct SpareWorkers {
  std::mutex mutex;
  std::vector<Worker*> idle;
  std::atomic<int> count{0};
};
SpareWorkers& Spares() {
  static auto* spares = new SpareWorkers;
  return *spares;
}

}  // namespace

// Whether a worker is the only one of its stub, or may become it in place of one that is blocked.
enum class Role { kReceiver, kCandidate };

void Assign(RefPtr<StubProcess> stub, Role role);

class Worker : public KernelLock::WorkerHooks {
 public:
  static Worker* Current();

  Worker(RefPtr<StubProcess> stub, Role role) : stub_(std::move(stub)), role_(role) {}
  void Start();
  void Assign(RefPtr<StubProcess> stub, Role role) {  // Spares().mutex is held
    stub_ = std::move(stub);
    role_ = role;
    assigned_.notify_one();
  }
  void Retire() {
    retired_ = true;
    assigned_.notify_one();
  }
  void Queue(StubProcess& stub, HostThread* thread, uint64_t id, int64_t value, bool carry_on) {
    replies_.push_back({RefPtr<StubProcess>(&stub), thread, id, value, carry_on});
  }

  void OnBlock() override;
  void OnUnblock() override;

 private:
  void Main();
  bool Wait();
  bool TakeOver();
  void ServeStub();
  void MaybeWatch();
  void FlushReplies();

  RefPtr<StubProcess> stub_;
  Role role_;
  absl::InlinedVector<PendingReply, 4> replies_;
  std::condition_variable assigned_;
  bool retired_ = false;
  bool receiving_ = false;
  Watch watch_;
};

namespace {

thread_local Worker* current_worker = nullptr;

// Not inlined: a fiber may resume on another thread, see base/fiber.cc.
[[gnu::noinline]] Worker*& CurrentSlot() {
  asm volatile("");
  return current_worker;
}

void SendReply(StubProcess& stub, uint64_t id, int64_t value, bool carry_on) {
  if (carry_on) {
    stub.app_listener().Continue(id);
  } else {
    stub.app_listener().Reply(id, value);
  }
}

void QueueOrSend(StubProcess& stub, HostThread* thread, uint64_t id, int64_t value,
                 bool carry_on) {
  stub.receiver().outstanding.Add(1);
  EnsureReceiver(stub);
  if (Worker* worker = Worker::Current(); worker != nullptr) {
    worker->Queue(stub, thread, id, value, carry_on);
  } else {
    if (thread != nullptr) thread->placement.Resume();
    SendReply(stub, id, value, carry_on);
  }
}

}  // namespace

std::atomic<int> RunningThreads::all_{0};
Worker* Worker::Current() { return CurrentSlot(); }

void Worker::Start() {
  Spares().count++;
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, kWorkerStackSize);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  sigset_t all, old;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  pthread_t thread;
  const int error = pthread_create(
      &thread, &attributes,
      [](void* self) -> void* {
        static_cast<Worker*>(self)->Main();
        return nullptr;
      },
      this);
  CHECK(error == 0);
  pthread_sigmask(SIG_SETMASK, &old, nullptr);
  pthread_attr_destroy(&attributes);
}

void Worker::Main() {
  CurrentSlot() = this;
  KernelLock::SetWorkerHooks(this);
  do {
    if (role_ == Role::kReceiver || TakeOver()) ServeStub();
    stub_.reset();
  } while (Wait());
  KernelLock::SetWorkerHooks(nullptr);
  CurrentSlot() = nullptr;
  SpareWorkers& spares = Spares();
  delete this;
  spares.count--;
}

bool Worker::Wait() {
  SpareWorkers& spares = Spares();
  std::unique_lock lock(spares.mutex);
  if (spares.idle.size() >= kMaxSpareWorkers) return false;
  spares.idle.push_back(this);
  assigned_.wait(lock, [this] { return stub_ || retired_; });
  return static_cast<bool>(stub_);
}

bool Worker::TakeOver() {
  ReceiverState& receiver = stub_->receiver();
  // In this order: who blocks after the look below makes a new offer.
  receiver.offered.store(false);
  Worker* blocked = receiver.blocked.load();
  return blocked != nullptr && receiver.blocked.compare_exchange_strong(blocked, nullptr);
}

void Worker::ServeStub() {
  receiving_ = true;
  seccomp_notif notification;
  while (receiving_) {
    MaybeWatch();
    FlushReplies();
    if (HostThread* thread = watch_.Look(*stub_)) {
      bool taken;
      {
        KernelLock::Section section;
        taken = thread->stub->TakePosted(*thread);
      }
      watch_.OnServed(*thread, taken);
      continue;
    }
    if (!stub_->app_listener().Receive(notification).ok()) {
      receiving_ = false;
      KernelLock::Section section;
      stub_->OnDeath();
      break;
    }
    stub_->receiver().outstanding.Add(-1);
    KernelLock::Section section;
    stub_->OnNotification(notification);
    watch_.OnNotification();
  }
  watch_.Leave();
  FlushReplies();
}

void Worker::MaybeWatch() {
  if (replies_.empty() || !watch_.IsDue()) return;
  bool caller_goes_on = false;
  for (const PendingReply& reply : replies_) {
    const HostThread* thread = reply.thread;
    if (thread == nullptr || !thread->bound || thread->watch != nullptr) return;
    caller_goes_on |= thread == stub_->last_thread();
  }
  if (caller_goes_on) watch_.MaybeEnter(*stub_, static_cast<int>(replies_.size()));
}

void Worker::FlushReplies() {
  for (PendingReply& reply : replies_) {
    int pinned = -1;
    if (HostThread* thread = reply.thread; thread != nullptr) {
      if (watch_.watching()) watch_.Add(reply.stub, *thread);
      int processor = thread->watched_on;
      // Only who made the call: whom it woke will probably go on when the caller sleeps.
      if (processor < 0 && thread == stub_->last_thread()) processor = pinned = Placement::Elsewhere();
      // It is woken there, and may then run anywhere again.
      if (pinned >= 0) Placement::Pin(thread->tid, pinned);
      if (processor >= 0) {
        thread->placement.ResumeAt(processor);
      } else {
        thread->placement.Resume();
      }
    }
    SendReply(*reply.stub, reply.id, reply.value, reply.carry_on);
    if (pinned >= 0) Placement::Release(reply.thread->tid);
  }
  replies_.clear();
}

void Worker::OnBlock() {
  FlushReplies();
  if (!receiving_) return;
  ReceiverState& receiver = stub_->receiver();
  receiver.blocked.store(this);
  if (receiver.outstanding.count() > 0) EnsureReceiver(*stub_);
}

void Worker::OnUnblock() {
  if (!receiving_) return;
  Worker* expected = this;
  if (!stub_->receiver().blocked.compare_exchange_strong(expected, nullptr)) receiving_ = false;
}

void Serve(RefPtr<StubProcess> stub) { Assign(std::move(stub), Role::kReceiver); }

void Assign(RefPtr<StubProcess> stub, Role role) {
  SpareWorkers& spares = Spares();
  {
    std::lock_guard lock(spares.mutex);
    if (!spares.idle.empty()) {
      Worker* worker = spares.idle.back();
      spares.idle.pop_back();
      worker->Assign(std::move(stub), role);
      return;
    }
  }
  (new Worker(std::move(stub), role))->Start();
}

void EnsureReceiver(StubProcess& stub) {
  ReceiverState& receiver = stub.receiver();
  if (receiver.blocked.load() != nullptr && !receiver.offered.exchange(true)) {
    Assign(RefPtr<StubProcess>(&stub), Role::kCandidate);
  }
}

void QueueReply(StubProcess& stub, HostThread* thread, uint64_t id, int64_t value) {
  QueueOrSend(stub, thread, id, value, false);
}
void QueueContinue(StubProcess& stub, uint64_t id) { QueueOrSend(stub, nullptr, id, 0, true); }

int WorkerCount() { return Spares().count; }

void RetireSpareWorkers() {
  SpareWorkers& spares = Spares();
  std::lock_guard lock(spares.mutex);
  for (Worker* worker : spares.idle) worker->Retire();
  spares.idle.clear();
}

}  // namespace platform::systrap
