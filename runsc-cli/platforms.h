#pragma once

// The platforms that this binary holds, by the names of --platform.

#include <string_view>

#include "sentry/boot/boot.h"

namespace cli {

// Null for a name that this build does not have.
boot::PlatformFactory FindPlatform(std::string_view name);

}  // namespace cli
