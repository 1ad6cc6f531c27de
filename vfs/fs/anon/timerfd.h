#pragma once

// timerfd_create(2): a timer whose expirations are read from a file. One base::Timer a file; an interval timer that nobody
// reads fires once, and reading it counts what it missed and starts it again, so an idle timer costs nothing.

#include <time.h>

#include "base/event_loop.h"
#include "vfs/file_description.h"

namespace anonfs {

class TimerFile final : public vfs::FileDescription {
 public:
  static inline char kKind;
  explicit TimerFile(clockid_t clock);
  ~TimerFile() override;

  // timerfd_settime(2); `flags`: TFD_TIMER_ABSTIME, TFD_TIMER_CANCEL_ON_SET. Returns the old setting. EINVAL.
  Result<itimerspec> SetTime(int flags, const itimerspec& value);
  itimerspec GetTime();

  // The wall clock was set: timers with TFD_TIMER_CANCEL_ON_SET read as ECANCELED, others are aligned anew.
  static void ClockWasSet();

  const void* kind() const override { return &kKind; }
  Result<size_t> Read(const IoVec& to) override;
  Result<size_t> Write(const IoVec&) override { return Errno::kEINVAL; }
  Result<int64_t> Seek(int64_t, int) override { return 0; }  // accepted without effect
  EventMask Readiness() override { return ticks_ > 0 || cancelled_ ? EventMask{EPOLLIN} : 0; }
  WaitQueue* wait_queue() override { return &queue_; }
  std::string FdInfo() override;
  std::string LinkName() override { return "anon_inode:[timerfd]"; }

 private:
  int64_t Now() const;
  void Arm();
  void OnTimer();
  void CatchUp();

  const clockid_t clock_;
  base::Timer timer_;
  int64_t next_ = 0;  // on clock_; meaningful while armed_
  int64_t interval_ = 0;
  uint64_t ticks_ = 0;
  bool armed_ = false;    // next_ lies ahead, or expired_ with an interval
  bool expired_ = false;  // fired and not counted on since
  bool cancel_on_set_ = false;
  bool cancelled_ = false;
  int settime_flags_ = 0;
  WaitQueue queue_;
  TimerFile* previous_ = nullptr;  // all timers on the wall clock
  TimerFile* next_file_ = nullptr;
  static inline TimerFile* realtime_timers_ = nullptr;
};

// `flags`: TFD_CLOEXEC (left to the caller), TFD_NONBLOCK. EINVAL; EPERM for the alarm clocks without CAP_WAKE_ALARM.
Result<RefPtr<vfs::FileDescription>> CreateTimer(clockid_t clock, int flags, RefPtr<const Credentials> creds);

}  // namespace anonfs
