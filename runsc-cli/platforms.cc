#include "runsc-cli/platforms.h"

#include "base/log.h"

// Defined by the build for each platform that it has a target of.
#ifdef RUNSC_HAVE_PTRACE
#include "platform/ptrace/ptrace_platform.h"
#endif
#ifdef RUNSC_HAVE_SYSTRAP
#include "platform/systrap/systrap.h"
#endif

namespace cli {

namespace {

Result<std::unique_ptr<platform::Platform>> CreateBest(
    [[maybe_unused]] const platform::Platform::Options& options) {
  Result<std::unique_ptr<platform::Platform>> platform = Errno::kENOSYS;
#ifdef RUNSC_HAVE_SYSTRAP
  platform = platform::systrap::Create(options);
  if (platform.ok()) return platform;
  LOG_WARNING("platform systrap: {}; using ptrace", base::ErrnoText(platform.error()));
#endif
#ifdef RUNSC_HAVE_PTRACE
  platform = platform::ptrace::Create(options);
#endif
  return platform;
}

}  // namespace

boot::PlatformFactory FindPlatform(std::string_view name) {
  if (name == "auto") return CreateBest;
#ifdef RUNSC_HAVE_PTRACE
  if (name == "ptrace") return platform::ptrace::Create;
#endif
#ifdef RUNSC_HAVE_SYSTRAP
  if (name == "systrap") return platform::systrap::Create;
#endif
  return nullptr;
}

}  // namespace cli
