#pragma once

// The process that all stubs are cloned from: init of the stubs' pid namespace, empty except for
// the stub region. Its death kills every stub, and the Sentry's death kills it.

#include <sys/types.h>

#include <cstdint>

#include "base/fd.h"
#include "base/result.h"
#include "platform/platform.h"

namespace platform::systrap {

// What a fresh stub gives the Sentry.
struct StubListeners {
  uint32_t slot = 0;
  int error = 0;  // errno; the others are valid only when it is 0
  Fd helper;
  Fd app;
};

class Zygote {
 public:
  Zygote() = default;
  Zygote(const Zygote&) = delete;
  Zygote& operator=(const Zygote&) = delete;
  ~Zygote() { Kill(); }

  // Starts it. `control_fd` holds the slots that stubs share with the Sentry.
  Result<void> Start(const Platform::Options& options, int control_fd);
  // Kills it and all stubs, and waits until they are gone.
  void Kill();

  // Orders a stub with `slot`. Does not wait.
  Result<void> Request(uint32_t slot);
  // The next stub that is complete. EAGAIN when none is (kNo), or when none came for long (kYes):
  // it was killed before it could say so. EPIPE when the zygote is gone.
  enum class Wait { kNo, kYes };
  Result<StubListeners> Receive(Wait wait);

  bool has_pid_namespace() const { return has_pid_namespace_; }

 private:
  Fd socket_;
  pid_t pid_ = -1;
  bool has_pid_namespace_ = false;
};

}  // namespace platform::systrap
