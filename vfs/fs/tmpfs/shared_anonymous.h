#pragma once

#include "vfs/mappable.h"

namespace tmpfs {

// Memory that is shared by everybody who maps it and has no name: MAP_SHARED | MAP_ANONYMOUS, SysV segments. All of it is
// one piece of the memory file from the start. ENOMEM.
Result<RefPtr<vfs::Mappable>> CreateSharedAnonymous(uint64_t size);

}  // namespace tmpfs
