// The kernel integration. A stub until the kernel lands: it makes a memory file, then says that there is no kernel.

#include <sys/mman.h>
#include <unistd.h>

#include "base/host.h"
#include "base/log.h"
#include "sentry/boot/boot.h"

namespace boot {

platform::Platform::Options PrepareKernel(const BootConfig&) {
  platform::Platform::Options options;
  options.memory_fd = HOST(memfd_create("runsc-memory", MFD_CLOEXEC)).value();
  return options;
}

void RunKernel(BootConfig config, std::unique_ptr<platform::Platform>) {
  LOG_WARNING("this build has no kernel");
  ReportFailure(config.sync, "this build has no kernel");
}

}  // namespace boot
