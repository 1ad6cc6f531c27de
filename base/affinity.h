#pragma once

// Which processors the threads of this process may run on. Several parts of it tell a thread to stay somewhere, each for a
// time: what was said of the calling thread is known here, so that the one need not undo what the other wanted.

#include <sched.h>

namespace base {

class Affinity {
 public:
  // Reads what the process may use; again at will, before the filter forbids it.
  static void Prepare();
  // What Prepare found; none without it.
  static const cpu_set_t& Processors();
  // One processor.
  static cpu_set_t Only(int processor);

  // Of the calling thread: what SetOwn said, or Processors().
  static const cpu_set_t& Own();
  static void SetOwn(const cpu_set_t& processors);

  // Keeps the calling thread on one of its processors for as long as this lives.
  class Here {
   public:
    explicit Here(int processor);
    ~Here();
    Here(const Here&) = delete;
    Here& operator=(const Here&) = delete;
    bool ok() const { return ok_; }

   private:
    bool ok_ = false, alone_ = false;
  };
};

}  // namespace base
