#include "sentry/kernel/host_info.h"

#include <sched.h>
#include <sys/sysinfo.h>

#include <algorithm>

namespace kernel {

const HostInfo& GetHostInfo() {
  static const HostInfo info = [] {
    HostInfo host;
    cpu_set_t cpus;
    if (sched_getaffinity(0, sizeof cpus, &cpus) == 0) host.cpus = std::max(1, CPU_COUNT(&cpus));
    struct sysinfo memory;
    if (sysinfo(&memory) == 0) host.memory_bytes = memory.totalram * memory.mem_unit;
    return host;
  }();
  return info;
}

}  // namespace kernel
