#include "vfs/fs/anon/timerfd.h"

#include <fmt/format.h>
#include <sys/timerfd.h>

#include "vfs/operations.h"

namespace anonfs {

namespace {

constexpr int64_t kSecond = 1'000'000'000;

bool IsWallClock(clockid_t clock) { return clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_ALARM; }

// How far CLOCK_BOOTTIME is ahead of CLOCK_MONOTONIC: the time that the host was suspended.
int64_t SuspendedTime() {
  timespec boot, monotonic;
  clock_gettime(CLOCK_MONOTONIC, &monotonic);
  clock_gettime(CLOCK_BOOTTIME, &boot);
  return (boot.tv_sec - monotonic.tv_sec) * kSecond + boot.tv_nsec - monotonic.tv_nsec;
}

int64_t SaturatingAdd(int64_t a, int64_t b) {
  int64_t sum;
  return __builtin_add_overflow(a, b, &sum) ? INT64_MAX : sum;
}

bool Valid(const timespec& t) { return t.tv_sec >= 0 && t.tv_nsec >= 0 && t.tv_nsec < kSecond; }
int64_t ToNanoseconds(const timespec& t) {
  if (t.tv_sec >= INT64_MAX / kSecond) return INT64_MAX;
  return t.tv_sec * kSecond + t.tv_nsec;
}
timespec ToTimespec(int64_t ns) { return {.tv_sec = ns / kSecond, .tv_nsec = ns % kSecond}; }

}  // namespace

TimerFile::TimerFile(clockid_t clock) : clock_(clock), timer_([this] { OnTimer(); }) {
  if (!IsWallClock(clock)) return;
  next_file_ = realtime_timers_;
  if (next_file_ != nullptr) next_file_->previous_ = this;
  realtime_timers_ = this;
}

TimerFile::~TimerFile() {
  if (!IsWallClock(clock_)) return;
  (previous_ != nullptr ? previous_->next_file_ : realtime_timers_) = next_file_;
  if (next_file_ != nullptr) next_file_->previous_ = previous_;
}

int64_t TimerFile::Now() const {
  if (IsWallClock(clock_)) return base::RealtimeNow();
  if (clock_ == CLOCK_MONOTONIC) return base::MonotonicNow();
  return base::MonotonicNow() + SuspendedTime();
}

void TimerFile::Arm() { timer_.Arm(SaturatingAdd(base::MonotonicNow(), next_ - Now())); }

void TimerFile::OnTimer() {
  if (Now() < next_) return Arm();  // the wall clock was set back
  ticks_++;
  expired_ = true;
  armed_ = interval_ != 0;
  queue_.Notify(EPOLLIN);
}

void TimerFile::CatchUp() {
  if (!expired_) return;
  expired_ = false;
  if (interval_ == 0) return;
  const int64_t periods = (Now() - next_) / interval_ + 1;
  ticks_ += periods - 1;
  next_ += periods * interval_;
  Arm();
}

Result<itimerspec> TimerFile::SetTime(int flags, const itimerspec& value) {
  if ((flags & ~(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET)) != 0) return Errno::kEINVAL;
  if (!Valid(value.it_value) || !Valid(value.it_interval)) return Errno::kEINVAL;
  const itimerspec old = GetTime();
  timer_.Cancel();
  ticks_ = 0;
  expired_ = cancelled_ = false;
  settime_flags_ = flags;
  cancel_on_set_ = IsWallClock(clock_) && (flags & TFD_TIMER_ABSTIME) != 0 && (flags & TFD_TIMER_CANCEL_ON_SET) != 0;
  interval_ = ToNanoseconds(value.it_interval);
  next_ = ToNanoseconds(value.it_value);
  armed_ = next_ != 0;
  if (armed_) {
    if ((flags & TFD_TIMER_ABSTIME) == 0) next_ = SaturatingAdd(next_, Now());
    // One that is due already fires here rather than on the event thread: it is readable at once.
    if (next_ <= Now()) {
      OnTimer();
    } else {
      Arm();
    }
  }
  return old;
}

itimerspec TimerFile::GetTime() {
  CatchUp();
  itimerspec value = {};
  value.it_interval = ToTimespec(interval_);
  if (armed_) value.it_value = ToTimespec(std::max<int64_t>(next_ - Now(), 1));
  return value;
}

void TimerFile::ClockWasSet() {
  for (TimerFile* file = realtime_timers_; file != nullptr; file = file->next_file_) {
    if (file->cancel_on_set_) {
      file->cancelled_ = true;
      file->queue_.Notify(EPOLLIN);
    }
    if (file->timer_.armed()) file->Arm();
  }
}

Result<size_t> TimerFile::Read(const IoVec& to) {
  if (to.size() < sizeof ticks_) return Errno::kEINVAL;
  if (cancelled_) {
    cancelled_ = false;
    ticks_ = 0;
    return Errno::kECANCELED;
  }
  if (ticks_ == 0) return Errno::kEAGAIN;
  CatchUp();
  const uint64_t ticks = ticks_;
  ticks_ = 0;
  if (to.Write(0, &ticks, sizeof ticks) < sizeof ticks) return Errno::kEFAULT;
  return sizeof ticks;
}

std::string TimerFile::FdInfo() {
  const itimerspec value = GetTime();
  return fmt::format(
      "clockid: {}\nticks: {}\nsettime flags: 0{:o}\nit_value: ({}, {})\nit_interval: ({}, {})\n", static_cast<int>(clock_),
      ticks_, settime_flags_, value.it_value.tv_sec, value.it_value.tv_nsec, value.it_interval.tv_sec,
      value.it_interval.tv_nsec);
}

Result<RefPtr<vfs::FileDescription>> CreateTimer(clockid_t clock, int flags, RefPtr<const Credentials> creds) {
  if ((flags & ~(TFD_CLOEXEC | TFD_NONBLOCK)) != 0) return Errno::kEINVAL;
  switch (clock) {
    case CLOCK_REALTIME:
    case CLOCK_MONOTONIC:
    case CLOCK_BOOTTIME:
      break;
    case CLOCK_REALTIME_ALARM:
    case CLOCK_BOOTTIME_ALARM:
      if (!creds->Has(CAP_WAKE_ALARM)) return Errno::kEPERM;
      break;
    default:
      return Errno::kEINVAL;
  }
  auto file = MakeRef<TimerFile>(clock);
  vfs::InitAnonymous(*file, "anon_inode:[timerfd]", 0600, O_RDWR | (flags & O_NONBLOCK), std::move(creds));
  return RefPtr<vfs::FileDescription>(std::move(file));
}

}  // namespace anonfs
