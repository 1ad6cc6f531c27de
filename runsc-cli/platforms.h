#pragma once

// The platforms that this binary holds, by the names of --platform.

#include <string_view>

#include "sentry/boot/boot.h"

namespace cli {

// "auto" is systrap where the host has what it takes, else ptrace. Null for a name that this build
// does not have.
boot::PlatformFactory FindPlatform(std::string_view name);

}  // namespace cli
