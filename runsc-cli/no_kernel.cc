// The kernel integration. A stub until the kernel lands: it makes a memory file, then says that
// there is no kernel.

#include "base/log.h"
#include "base/memory_file.h"
#include "sentry/boot/boot.h"

namespace boot {

platform::Platform::Options PrepareKernel(const BootConfig&) {
  platform::Platform::Options options;
  CHECK_OK(base::MemoryFile::Create());
  options.memory_fd = base::MemoryFile::Get().fd();
  return options;
}

void RunKernel(BootConfig config, std::unique_ptr<platform::Platform>) {
  LOG_WARNING("this build has no kernel");
  ReportFailure(config.sync, "this build has no kernel");
}

}  // namespace boot
