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

namespace platform::systrap {

namespace {

constexpr size_t kWorkerStackSize = 64 * 1024;
constexpr size_t kMaxSpareWorkers = 4;

struct PendingReply {
  RefPtr<StubProcess> stub;
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

class Worker : public KernelLock::WorkerHooks {
 public:
  static Worker* Current();

  explicit Worker(RefPtr<StubProcess> stub) : stub_(std::move(stub)) {}
  void Start();
  void Assign(RefPtr<StubProcess> stub) {  // Spares().mutex is held
    stub_ = std::move(stub);
    assigned_.notify_one();
  }
  void Retire() {
    retired_ = true;
    assigned_.notify_one();
  }
  void Queue(StubProcess& stub, uint64_t id, int64_t value, bool carry_on) {
    replies_.push_back({RefPtr<StubProcess>(&stub), id, value, carry_on});
  }

  void OnBlock() override;
  void OnUnblock() override;

 private:
  void Main();
  bool Wait();
  void ServeStub();
  void FlushReplies();

  RefPtr<StubProcess> stub_;
  absl::InlinedVector<PendingReply, 4> replies_;
  std::condition_variable assigned_;
  bool retired_ = false;
  bool receiving_ = false;
};

namespace {

thread_local Worker* current_worker = nullptr;

// Not inlined: a fiber may resume on another thread, see base/fiber.cc.
[[gnu::noinline]] Worker*& CurrentSlot() {
  asm volatile("");
  return current_worker;
}

// Somebody must receive now that a thread of `stub` goes back to application code.
void EnsureReceiver(StubProcess& stub) {
  Worker* blocked = stub.receiver().blocked.load();
  if (blocked != nullptr && stub.receiver().blocked.compare_exchange_strong(blocked, nullptr)) {
    Serve(RefPtr<StubProcess>(&stub));
  }
}

void SendReply(StubProcess& stub, uint64_t id, int64_t value, bool carry_on) {
  if (carry_on) {
    stub.app_listener().Continue(id);
  } else {
    stub.app_listener().Reply(id, value);
  }
}

void QueueOrSend(StubProcess& stub, uint64_t id, int64_t value, bool carry_on) {
  stub.receiver().outstanding.fetch_add(1);
  EnsureReceiver(stub);
  if (Worker* worker = Worker::Current(); worker != nullptr) {
    worker->Queue(stub, id, value, carry_on);
  } else {
    SendReply(stub, id, value, carry_on);
  }
}

}  // namespace

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
    ServeStub();
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

void Worker::ServeStub() {
  receiving_ = true;
  seccomp_notif notification;
  while (receiving_) {
    FlushReplies();
    if (!stub_->app_listener().Receive(notification).ok()) {
      receiving_ = false;
      KernelLock::Section section;
      stub_->OnDeath();
      break;
    }
    stub_->receiver().outstanding.fetch_sub(1);
    KernelLock::Section section;
    stub_->OnNotification(notification);
  }
  FlushReplies();
  stub_.reset();
}

void Worker::FlushReplies() {
  for (PendingReply& reply : replies_)
    SendReply(*reply.stub, reply.id, reply.value, reply.carry_on);
  replies_.clear();
}

void Worker::OnBlock() {
  FlushReplies();
  if (!receiving_) return;
  ReceiverState& receiver = stub_->receiver();
  receiver.blocked.store(this);
  if (receiver.outstanding.load() > 0) EnsureReceiver(*stub_);
}

void Worker::OnUnblock() {
  if (!receiving_) return;
  Worker* expected = this;
  if (!stub_->receiver().blocked.compare_exchange_strong(expected, nullptr)) receiving_ = false;
}

void Serve(RefPtr<StubProcess> stub) {
  SpareWorkers& spares = Spares();
  {
    std::lock_guard lock(spares.mutex);
    if (!spares.idle.empty()) {
      Worker* worker = spares.idle.back();
      spares.idle.pop_back();
      worker->Assign(std::move(stub));
      return;
    }
  }
  (new Worker(std::move(stub)))->Start();
}

void QueueReply(StubProcess& stub, uint64_t id, int64_t value) {
  QueueOrSend(stub, id, value, false);
}
void QueueContinue(StubProcess& stub, uint64_t id) { QueueOrSend(stub, id, 0, true); }

int WorkerCount() { return Spares().count; }

void RetireSpareWorkers() {
  SpareWorkers& spares = Spares();
  std::lock_guard lock(spares.mutex);
  for (Worker* worker : spares.idle) worker->Retire();
  spares.idle.clear();
}

}  // namespace platform::systrap
