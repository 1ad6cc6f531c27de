#include "base/host_load.h"

#include <fcntl.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <climits>
#include <cstdio>

#include "base/affinity.h"
#include "base/host.h"

namespace base {

namespace {

int load = -1;       // /proc/loadavg, for the life of the process
int processors = 0;  // of the host

}  // namespace

void HostLoad::Prepare() {
  if (load >= 0) return;
  Affinity::Prepare();
  processors = get_nprocs();
  if (CPU_COUNT(&Affinity::Processors()) != processors) return;
  load = open("/proc/loadavg", O_RDONLY | O_CLOEXEC);
}

int HostLoad::IdleProcessors() {
  constexpr int kUnknown = INT_MAX;
  if (load < 0) return kUnknown;
  char text[128];
  Result<ssize_t> length = HOST(pread(load, text, sizeof text - 1, 0));
  if (!length.ok()) return kUnknown;
  text[*length] = '\0';
  // "0.20 0.18 0.12 1/80 11206": who runs or waits for a processor / how many there are.
  int runnable;
  if (sscanf(text, "%*s %*s %*s %d/", &runnable) != 1) return kUnknown;
  return processors - runnable;
}

}  // namespace base
