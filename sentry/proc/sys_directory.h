#pragma once

#include "vfs/fs/pseudo/pseudo.h"

namespace proc {

// /proc/sys.
void FillSysDirectory(pseudo::StaticDirectory& sys);

}  // namespace proc
