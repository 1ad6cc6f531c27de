#pragma once

// What create and run have in common: their flags, and the bundle.

#include "runsc-cli/flags.h"
#include "runsc-cli/sandbox.h"

namespace cli {

void AddCreateFlags(FlagParser& parser, CreateRequest& request);

// After parsing: makes the bundle's path absolute and loads its specification.
Status FinishCreateRequest(const Options& options, const std::string& id, CreateRequest& request);

}  // namespace cli
