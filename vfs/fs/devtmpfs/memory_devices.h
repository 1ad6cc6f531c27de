#pragma once

#include "vfs/file_description.h"

namespace devtmpfs {

// The devices of major number 1.
enum class MemoryDevice : unsigned { kNull = 3, kZero = 5, kFull = 7, kRandom = 8, kUrandom = 9 };

RefPtr<vfs::FileDescription> OpenMemoryDevice(MemoryDevice device);

}  // namespace devtmpfs
