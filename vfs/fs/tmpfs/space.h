#pragma once

// What a tmpfs may use and does use. Shared by the file system and the data of its files, which mappings may keep alive
// after an unmount.

#include <cstdint>

#include "base/ref.h"
#include "base/result.h"

namespace tmpfs {

class Space : public RefCounted {
 public:
  uint64_t max_pages = 0;   // 0: as much as there is
  uint64_t max_inodes = 0;
  uint64_t pages = 0;
  uint64_t inodes = 0;

  bool ChargePages(uint64_t count) {
    if (max_pages != 0 && count > FreePages()) return false;
    pages += count;
    return true;
  }
  void UnchargePages(uint64_t count) { pages -= count; }
  uint64_t FreePages() const {
    if (max_pages == 0) return UINT64_MAX;
    return pages < max_pages ? max_pages - pages : 0;
  }

  Result<void> ChargeInode() {
    if (max_inodes != 0 && inodes >= max_inodes) return Errno::kENOSPC;
    inodes++;
    return {};
  }
};

}  // namespace tmpfs
