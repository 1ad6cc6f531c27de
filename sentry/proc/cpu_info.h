#pragma once

#include <string>

#include "base/result.h"

namespace proc {

// /proc/cpuinfo, from the CPUID instruction: the Sentry opens no host file. Flags are those that applications may use here.
Result<std::string> CpuInfoText();

}  // namespace proc
