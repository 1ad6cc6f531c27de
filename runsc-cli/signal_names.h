#pragma once

#include <optional>
#include <string>

namespace cli {

// 15 for "15", "TERM", "sigterm"; real-time signals as "RTMIN+3". nullopt for what is no signal.
std::optional<int> ParseSignal(const std::string& text);

}  // namespace cli
