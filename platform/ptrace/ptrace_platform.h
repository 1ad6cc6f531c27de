#pragma once

// The ptrace platform: works wherever a process may trace its children, at the cost of two context
// switches a system call. The fallback for hosts that refuse the faster platforms, and the
// reference for their correctness.

#include <memory>

#include "base/result.h"
#include "platform/platform.h"

namespace platform::ptrace {

// EPERM and the like when the host forbids ptrace or forking.
Result<std::unique_ptr<Platform>> Create(const Platform::Options& options);

}  // namespace platform::ptrace
