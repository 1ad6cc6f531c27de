#pragma once

// `run` and `do`: a container whose command line stays until its end.

#include "runsc-cli/sandbox.h"

namespace cli {

// Creates, starts, waits, destroys; returns the exit status of the container's program.
boot::StatusOr<int> RunInForeground(CreateRequest request);

}  // namespace cli
