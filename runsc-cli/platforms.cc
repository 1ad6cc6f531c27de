#include "runsc-cli/platforms.h"

#include "base/log.h"
#include "platform/ptrace/ptrace_platform.h"
#include "platform/systrap/systrap.h"

namespace cli {

namespace {

Result<std::unique_ptr<platform::Platform>> CreateBest(const platform::Platform::Options& options) {
  Result<std::unique_ptr<platform::Platform>> platform = platform::systrap::Create(options);
  if (platform.ok()) return platform;
  LOG_WARNING("platform systrap: {}; using ptrace", base::ErrnoText(platform.error()));
  return platform::ptrace::Create(options);
}

}  // namespace

boot::PlatformFactory FindPlatform(std::string_view name) {
  if (name == "auto") return CreateBest;
  if (name == "ptrace") return platform::ptrace::Create;
  if (name == "systrap") return platform::systrap::Create;
  return nullptr;
}

}  // namespace cli
