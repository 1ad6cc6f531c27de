#include "sentry/boot/timeline.h"

#include <time.h>

#include <cstdint>

#include "base/log.h"

namespace boot {

namespace {
int64_t start_ns = 0;

int64_t Now() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1'000'000'000LL + now.tv_nsec;
}
}  // namespace

void TimelineStart() { start_ns = Now(); }

void TimelinePhase(const char* phase) {
  if (!base::LogEnabled(base::LogLevel::kDebug)) return;
  LOG_DEBUG("time line: {} us: {}", (Now() - start_ns) / 1000, phase);
}

}  // namespace boot
