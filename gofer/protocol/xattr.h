#pragma once

// Which extended attributes go over the wire. The sandbox may see these, and may change fewer: the others mean something to the host (labels,
// access lists, capabilities, the layers of overlays). Both ends know, so that the client need not ask for what the server would refuse.

#include <string_view>

#include "gofer/protocol/protocol.h"

namespace gofer {

inline bool WritableXattr(std::string_view name) { return name.starts_with("user."); }
inline bool VisibleXattr(std::string_view name) { return WritableXattr(name) || name == "security.capability"; }
inline bool ValidXattrName(std::string_view name) {
  return !name.empty() && name.size() <= kMaxName && name.find('\0') == std::string_view::npos;
}

}  // namespace gofer
