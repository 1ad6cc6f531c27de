#pragma once

// Which CPU the two ends of the gofer's socket run on. A call is a hand-over: on one CPU it takes about 3 us. The scheduler agrees while the
// machine is busy; but when another CPU is idle it wakes the gofer there, and the caller again here, and two wake-ups of idle CPUs make 60 us of it.
// So a connection that sees that happen keeps its callers where they are for the time of a call and asks the gofer to follow, until calls take
// long all the same, which means that others want this CPU. (Staying costs a busy machine a factor of two, hence the two modes.)
//
// One call at a time, by whichever thread has the turn.

#include <cstdint>
#include <optional>

#include "base/affinity.h"
#include "gofer/protocol/protocol.h"

namespace goferfs {

class Placement {
 public:
  class Call {
   public:
    explicit Call(Placement& placement);
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;

    // For RequestHeader::cpu.
    uint16_t advice() const { return here_ && here_->ok() ? static_cast<uint16_t>(cpu_ + 1) : 0; }
    // The reply has come.
    void Done(const gofer::ReplyHeader& reply);

   private:
    Placement& placement_;
    int cpu_ = -1;
    std::optional<base::Affinity::Here> here_;  // while it stays
    int64_t start_ = 0;
  };

  bool stays() const { return stays_; }

 private:
  bool stays_ = false;
  int slow_ = 0;   // recent calls that took long without the gofer having worked that long
  int calls_ = 0;  // since slow_ was reset, when staying
};

}  // namespace goferfs
