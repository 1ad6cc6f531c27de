#include "platform/systrap/watch.h"

#include <sched.h>

#include <algorithm>
#include <atomic>

#include "base/affinity.h"
#include "base/host_load.h"
#include "base/tick_clock.h"
#include "platform/systrap/posted_call.h"

namespace platform::systrap {

namespace {

constexpr int64_t kFirstPause = 1'000'000, kLongestPause = 16'000'000;  // ns after it did not pay
constexpr int64_t kFirstSeveralPause = 4'000'000, kLongestSeveralPause = 128'000'000;  // ns, likewise
constexpr int kPaid = 100;  // calls after which having watched was right

constexpr int64_t kPatience = 40'000;       // ns to look for a call, and longer on credit:
constexpr int64_t kMoving = 100'000;        // ns in which the thread is awake on its processor, at first,
constexpr int64_t kSaved = 300;             // ns a call, a part of what was saved, and at most
constexpr int64_t kMostCredit = 2'000'000;  // ns
constexpr int64_t kAsk = 10'000;            // ns after which to look for a notification
constexpr int kCallsToAsk = 8;              // after which to look while others run
constexpr int64_t kNotified = 50'000;       // ns to wake the thread after it, on another processor
constexpr int64_t kGap = 30'000;            // ns that looking once takes only if somebody else has run
constexpr int64_t kCrowded = 500'000;       // ns in which a thread that was woken goes to sleep again
constexpr int64_t kBusyCall = 2'500;        // ns a call, of threads that do little else; trapped it is more
constexpr int64_t kBusy = 6'000;            // likewise while they are still trapped
constexpr int64_t kStrangers = 3'000'000;   // ns in which threads that run make a call, and are watched then
constexpr int64_t kWait = 300'000;          // ns that a thread waits for its result awake; the gofer is mostly quicker

int most_watchers = 0;
uint32_t spins = 0;  // in kWait
std::atomic<int> watchers{0};

// A pause takes 13 ns on one processor and 40 on another.
uint32_t SpinsIn(int64_t ns) {
  constexpr int kTries = 200;
  const int64_t start = base::TickNow();
  for (int i = 0; i < kTries; i++) __builtin_ia32_pause();
  const int64_t took = std::max<int64_t>(base::TickNow() - start, kTries);
  return static_cast<uint32_t>(ns * kTries / took);
}

}  // namespace

void Watch::Configure(bool allowed) {
  // Never more than half of the machine, and none of a single processor.
  most_watchers = allowed ? CPU_COUNT(&base::Affinity::Processors()) / 2 : 0;
  if (most_watchers > 0) spins = SpinsIn(kWait);
}

void Watch::OnNotification() {
  if (most_watchers == 0 || watching()) return;
  const int64_t now = base::TickNow();
  if (now - first_call_ > kQuick) {
    first_call_ = now;
    calls_ = 0;
  }
  calls_++;
  last_call_ = now;
}

void Watch::MaybeEnter(StubProcess& own, int threads) {
  const int all = RunningThreads::All(), others = all - threads;
  // Others of the own stub will be watched as soon as they make a call, and all make many.
  const bool busy = own.receiver().outstanding.count() == all && last_call_ - first_call_ < calls_ * kBusy;
  if (others > 0 && (!busy || last_call_ < not_several_before_)) return;
  calls_ = 0;
  if (base::HostLoad::IdleProcessors() < 1 - others) return;
  if (watchers.fetch_add(1) >= most_watchers) {
    watchers.fetch_sub(1);
    return;
  }
  served_ = 0;
  credit_ = kMoving + others * kNotified;
  crowded_since_ = 0;
  watched_before_ = 0;
  // The last to notify did so on this processor. There they stay, or their wake-up would bring them
  // along.
  processor_ = sched_getcpu();
  cpu_set_t elsewhere = base::Affinity::Processors();
  CPU_CLR(processor_, &elsewhere);
  base::Affinity::SetOwn(elsewhere);
}

void Watch::Add(const RefPtr<StubProcess>& stub, HostThread& thread) {
  const Watch* nobody = nullptr;
  if (threads_.size() == kMost || !thread.bound) return;
  if (!thread.watch.compare_exchange_strong(nobody, this)) return;
  thread.watched_on = processor_;
  threads_.push_back({stub, &thread, thread.area()});
  SetSpins(thread.area(), spins);
  Placement::Pin(thread.tid, processor_);
}

void Watch::Forget(const Watched& watched) {
  HostThread& thread = *watched.thread;
  SetSpins(watched.area, 0);
  thread.watched_on = -1;
  thread.watch = nullptr;
  Placement::Release(thread.tid);
}

void Watch::Leave() {
  if (!watching()) return;
  for (const Watched& watched : threads_) Forget(watched);
  threads_.clear();
  processor_ = -1;
  base::Affinity::SetOwn(base::Affinity::Processors());
  watchers.fetch_sub(1);
}

void Watch::Fail() {
  pause_ = served_ >= kPaid ? 0 : std::clamp(2 * pause_, kFirstPause, kLongestPause);
  not_before_ = base::TickNow() + pause_;
  Leave();
}

HostThread* Watch::Look(StubProcess& own) {
  if (!watching()) return nullptr;
  const Found found = WorthLooking(own) ? WaitForCall(own) : Found::kNothing;
  if (found == Found::kCall) return threads_[next_++].thread;
  if (found == Found::kNothing || (!answered_ && (credit_ -= kNotified) < 0)) Fail();
  return nullptr;
}

bool Watch::WorthLooking(StubProcess& own) {
  bool any_runs = false;
  answered_ = false;
  for (size_t i = 0; i < threads_.size();) {
    const auto& [stub, thread, area] = threads_[i];
    if (!thread->bound) {  // it has ended
      Forget(threads_[i]);
      threads_.erase(threads_.begin() + static_cast<ptrdiff_t>(i));
      continue;
    }
    any_runs |= stub->receiver().outstanding.count() > 0;
    answered_ |= stub.get() == &own && thread->answered;
    i++;
  }
  return any_runs;
}

// Whether several threads want to run for long and would do better apart, on several processors:
// others than those watched, or these when they do more than making calls.
bool Watch::IsCrowded(int64_t now) {
  const int all = RunningThreads::All();
  const bool more = threads_.size() > watched_before_;
  watched_before_ = threads_.size();
  // Those that come to be watched are served as ever once more, which takes its time.
  if (all <= 1 || crowded_since_ == 0 || more) {
    crowded_since_ = all <= 1 ? 0 : now;
    served_before_ = served_;
    strangers_since_ = now;
    return false;
  }
  if (now - crowded_since_ < kCrowded) return false;
  const bool busy = served_ - served_before_ >= kCrowded / kBusyCall;
  crowded_since_ = now;
  served_before_ = served_;
  if (all <= static_cast<int>(threads_.size())) strangers_since_ = now;
  const bool crowded = !busy || now - strangers_since_ > kStrangers;
  // A thread that computes shared its processor for so long, to no good.
  several_pause_ = crowded ? std::clamp(2 * several_pause_, kFirstSeveralPause, kLongestSeveralPause) : 0;
  not_several_before_ = now + several_pause_;
  return crowded;
}

// Leaves the index of the thread in next_.
Watch::Found Watch::WaitForCall(StubProcess& own) {
  const int64_t start = base::TickNow();
  if (IsCrowded(start)) return Found::kNothing;
  // Those that are not watched yet do not wait until these pause.
  if (RunningThreads::All() > static_cast<int>(threads_.size()) && ++unasked_ >= kCallsToAsk) {
    unasked_ = 0;
    if (own.app_listener().HasNews()) return Found::kNotification;
  }
  // It went to sleep before it had its result, and is about to say so.
  if (answered_ && threads_.size() == 1) return Found::kNotification;
  int64_t asked = start;
  for (int64_t now = start, last = start; now - start < kPatience + credit_;) {
    for (int i = 0; i < 2; i++) {
      for (size_t left = threads_.size(); left > 0; left--, next_++) {
        if (next_ >= threads_.size()) next_ = 0;
        if (!HasPosted(threads_[next_].area)) continue;
        credit_ -= std::max<int64_t>(last - start - kPatience, 0);
        return Found::kCall;
      }
      __builtin_ia32_pause();
    }
    if (answered_ || now - asked > kAsk) {
      if (own.app_listener().HasNews()) return Found::kNotification;
      asked = now;
    }
    // Whom the last call woke, on this processor, gets it for as long as it takes.
    if (RunningThreads::All() > static_cast<int>(threads_.size())) sched_yield();
    last = now;
    now = base::TickNow();
    // Strangers get it altogether.
    if (now - last > kGap && base::HostLoad::IdleProcessors() <= -RunningThreads::All()) return Found::kNothing;
  }
  return Found::kNothing;
}

void Watch::OnServed(HostThread& thread, bool taken) {
  served_++;
  credit_ = std::min(credit_ + kSaved, kMostCredit);
  if (taken && thread.posted) SayBlocked(thread.area());
}

}  // namespace platform::systrap
