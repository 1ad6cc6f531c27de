#pragma once

// The hooks of a specification: programs that run on the host at points of the container's life,
// with its state on standard input.

#include <string>
#include <vector>

#include "sentry/boot/spec.h"

namespace cli {

// Runs them in order, each at most its timeout; stops at the first that fails (exit status, signal,
// timeout) and says which with what it wrote to standard error. `stage` is for that message.
boot::Status RunHooks(const std::vector<boot::HookSpec>& hooks, const char* stage,
                      const std::string& state_json);

}  // namespace cli
