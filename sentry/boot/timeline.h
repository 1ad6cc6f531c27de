#pragma once

// Where the time between exec and the first application instruction goes: each phase is one debug
// log line with the microseconds since the process began. The start is inherited over fork, so the
// lines of the command line, the gofer and the Sentry share one clock.

namespace boot {

void TimelineStart();
// "time line: 1234 us: spec parsed". Costs a load when debug logging is off.
void TimelinePhase(const char* phase);

}  // namespace boot
