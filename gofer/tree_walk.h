#pragma once

// A walk through trees of directories, which lists them into replies: a directory, then each of its subdirectories with all below it, then the next.
// It stays where a reply was full. By descriptors only: what is renamed or replaced meanwhile is not found and left out.

#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "gofer/protocol/codec.h"

namespace gofer {

class TreeWalk {
 public:
  // Of the trees that `names` are in `directory`.
  TreeWalk(Fd directory, std::vector<std::string> names);

  // Lists the next directory. EFBIG where there is no room for it, and it is still the next one then; ENOENT at the end. Other errors are of this
  // directory, which is left out.
  Result<void> ListNext(Writer& out, Attributes attributes);
  // Lists directories until the reply has this size, or is full. One that does not even fit into an empty reply is left out.
  void Fill(Writer& out, size_t size, Attributes attributes);

 private:
  struct Level {
    Fd directory;
    uint64_t dev = 0;  // that subdirectories must be on; 0: any
    std::vector<std::string> names;  // of subdirectories
    size_t next = 0;
  };

  std::vector<Level> levels_;
};

}  // namespace gofer
