#include "runsc-cli/platforms.h"

// Defined by the build for each platform that it has a target of.
#ifdef RUNSC_HAVE_PTRACE
#include "platform/ptrace/ptrace_platform.h"
#endif
#ifdef RUNSC_HAVE_SYSTRAP
#include "platform/systrap/systrap.h"
#endif

namespace cli {

boot::PlatformFactory FindPlatform(std::string_view name) {
#ifdef RUNSC_HAVE_PTRACE
  if (name == "ptrace") return platform::ptrace::Create;
#endif
#ifdef RUNSC_HAVE_SYSTRAP
  if (name == "systrap") return platform::systrap::Create;
#endif
  return nullptr;
}

}  // namespace cli
