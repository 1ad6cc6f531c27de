#include "platform/systrap/watch.h"

#include <algorithm>
#include <atomic>

#include "base/affinity.h"
#include "base/host_load.h"
#include "base/tick_clock.h"
#include "platform/systrap/posted_call.h"
#include "platform/systrap/stub_process.h"

namespace platform::systrap {

namespace {

constexpr int kQuickCalls = 32;      // to begin, within
constexpr int64_t kQuick = 500'000;  // ns
constexpr int64_t kFirstPause = 1'000'000, kLongestPause = 16'000'000;  // ns after it did not pay
constexpr int kPaid = 100;           // calls after which having watched was right

constexpr int64_t kPatience = 40'000;       // ns to look for a call, and longer on credit:
constexpr int64_t kMoving = 100'000;        // ns in which the thread is awake on its processor, at first,
constexpr int64_t kSaved = 300;             // ns a call, a part of what was saved, and at most
constexpr int64_t kMostCredit = 2'000'000;  // ns
constexpr int64_t kAsk = 10'000;            // ns after which to look for a notification
constexpr int64_t kNotified = 50'000;       // ns to wake the thread after it, on another processor
constexpr int64_t kGap = 30'000;            // ns that looking once takes only if somebody else has run
constexpr int64_t kCrowded = 500'000;       // ns in which a thread that was woken goes to sleep again
constexpr uint32_t kSpins = 1500;           // of the thread, at some 40 ns

int most_watchers = 0;
std::atomic<int> watchers{0};

}  // namespace

void Watch::Configure(bool allowed) {
  // Never more than half of the machine, and none of a single processor.
  most_watchers = allowed ? CPU_COUNT(&base::Affinity::Processors()) / 2 : 0;
}

void Watch::OnNotification(StubProcess& stub) {
  if (most_watchers == 0 || thread_ != nullptr) return;
  const int64_t now = base::TickNow();
  HostThread* thread = stub.last_thread();
  if (thread != candidate_ || now - first_call_ > kQuick) {
    candidate_ = thread;
    first_call_ = now;
    quick_calls_ = 0;
  }
  quick_calls_++;
  last_call_ = now;
}

void Watch::MaybeEnter(StubProcess& stub) {
  if (thread_ != nullptr || quick_calls_ < kQuickCalls || last_call_ < not_before_) return;
  if (candidate_ == nullptr || !candidate_->bound || RunningThreads::All() != 1) return;
  quick_calls_ = 0;
  if (base::HostLoad::IdleProcessors() < 1) return;
  if (watchers.fetch_add(1) >= most_watchers) {
    watchers.fetch_sub(1);
    return;
  }
  thread_ = candidate_;
  served_ = 0;
  credit_ = kMoving;
  crowded_since_ = 0;
  SetSpins(thread_->area(), kSpins);
  // It notified on this processor. There it stays, or its wake-up would bring it along.
  processor_ = sched_getcpu();
  Placement::Pin(thread_->tid, processor_);
  cpu_set_t others = base::Affinity::Processors();
  CPU_CLR(processor_, &others);
  base::Affinity::SetOwn(others);
}

void Watch::Leave() {
  if (thread_ == nullptr) return;
  SetSpins(thread_->area(), 0);
  Placement::Release(thread_->tid);
  base::Affinity::SetOwn(base::Affinity::Processors());
  thread_ = candidate_ = nullptr;
  watchers.fetch_sub(1);
}

void Watch::Fail() {
  pause_ = served_ >= kPaid ? 0 : std::clamp(2 * pause_, kFirstPause, kLongestPause);
  not_before_ = base::TickNow() + pause_;
  Leave();
}

HostThread* Watch::Look(StubProcess& stub) {
  if (thread_ == nullptr) return nullptr;
  // Other threads of the stub may have something to say; the one that was watched may have ended.
  const bool alone = thread_->bound && stub.receiver().outstanding.count() == 1;
  // It went to sleep before it had its result, and is about to say so.
  if (alone && thread_->answered) return nullptr;
  const Found found = alone ? WaitForCall(stub) : Found::kNothing;
  if (found == Found::kCall) return thread_;
  if (found == Found::kNothing || (credit_ -= kNotified) < 0) Fail();
  return nullptr;
}

bool Watch::IsCrowded(int64_t now) {
  if (RunningThreads::All() == 1) {
    crowded_since_ = 0;
  } else if (crowded_since_ == 0) {
    crowded_since_ = now;
  }
  return crowded_since_ != 0 && now - crowded_since_ > kCrowded;
}

Watch::Found Watch::WaitForCall(StubProcess& stub) {
  const StubArea area = thread_->area();
  const int64_t start = base::TickNow();
  if (IsCrowded(start)) return Found::kNothing;
  int64_t asked = start;
  for (int64_t now = start, last = start; now - start < kPatience + credit_;) {
    for (int i = 0; i < 2; i++) {
      if (HasPosted(area)) {
        credit_ -= std::max<int64_t>(last - start - kPatience, 0);
        return Found::kCall;
      }
      __builtin_ia32_pause();
    }
    if (now - asked > kAsk) {
      if (stub.app_listener().HasNews()) return Found::kNotification;
      asked = now;
    }
    // Whom the last call woke, on this processor, gets it for as long as it takes.
    if (RunningThreads::All() > 1) sched_yield();
    last = now;
    now = base::TickNow();
    // Strangers get it altogether.
    if (now - last > kGap && base::HostLoad::IdleProcessors() < 0) return Found::kNothing;
  }
  return Found::kNothing;
}

void Watch::OnServed(bool taken) {
  served_++;
  credit_ = std::min(credit_ + kSaved, kMostCredit);
  if (thread_ == nullptr || (taken && !thread_->posted)) return;
  if (taken) SayBlocked(thread_->area());
  Fail();
}

}  // namespace platform::systrap
