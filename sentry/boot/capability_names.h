#pragma once

// Linux capabilities by name, as OCI specifications and `exec --cap` spell them.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace boot {

inline constexpr int kLastCapability = 40;  // CAP_CHECKPOINT_RESTORE
inline constexpr uint64_t kAllCapabilities = (uint64_t{1} << (kLastCapability + 1)) - 1;

// 21 for "CAP_SYS_ADMIN", "sys_admin"; nullopt for a name that is in no list.
std::optional<int> CapabilityNumber(std::string_view name);
// "CAP_SYS_ADMIN" for 21.
std::string CapabilityName(int number);

}  // namespace boot
