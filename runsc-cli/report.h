#pragma once

// How a command's errors reach people and callers: one line on standard error, and one in the --log
// file in the format that container managers read.

#include <string>
#include <string_view>

#include "runsc-cli/options.h"

namespace cli {

void ReportError(const Options& options, std::string_view message);

// The debug log's descriptor for the process that `command` names, -1 when there is none. The
// pattern is expanded.
int OpenDebugLog(const Options& options, std::string_view command, std::string_view id);

// "2024-05-06T07:08:09.123456789Z".
std::string Rfc3339Now();

}  // namespace cli
