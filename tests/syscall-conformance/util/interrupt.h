#pragma once

#include <errno.h>
#include <pthread.h>
#include <signal.h>

#include <atomic>
#include <thread>

#include "util/clock.h"

namespace conformance {

// Runs `blocking` in this thread while another sends it a SIGUSR1 after 50 ms; should the call go on
// all the same, `release` runs 100 ms later. Returns the call's result, errno included.
template <typename Blocking, typename Release>
auto Interrupted(Blocking blocking, Release release) {
  pthread_t self = pthread_self();
  std::atomic<bool> done = false;
  std::thread other([&] {
    SleepMs(50);
    pthread_kill(self, SIGUSR1);
    for (int i = 0; i < 20 && !done; i++) SleepMs(5);
    release();
    // On a busy machine the first signal may have come before the call did.
    for (int i = 0; !done; i++) {
      SleepMs(10);
      if (i % 50 == 49 && !done) pthread_kill(self, SIGUSR1);
    }
  });
  errno = 0;
  auto result = blocking();
  int error = errno;
  done = true;
  other.join();
  errno = error;
  return result;
}

}  // namespace conformance
