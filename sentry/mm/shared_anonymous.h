#pragma once

// MAP_SHARED|MAP_ANONYMOUS memory: pages that live as long as a mapping of them does.

#include <cstdint>

#include "base/result.h"
#include "vfs/mappable.h"

namespace mm {

// By the factory of SetSharedAnonymousFactory, or one contiguous range of the memory file.
Result<RefPtr<vfs::Mappable>> MakeSharedAnonymous(uint64_t length);

}  // namespace mm
