#pragma once

// The server's table of handles: each names an O_PATH descriptor beneath one export. Slots are reused with a new generation, so a handle
// that was closed stays invalid.

#include <deque>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "gofer/protocol/protocol.h"

namespace gofer {

struct Node {
  Fd path;            // O_PATH | O_NOFOLLOW
  uint32_t type = 0;  // S_IFMT bits; constant for an inode
  uint64_t dev = 0;
  uint32_t export_index = 0;
  bool read_only = false;
  // A listing in progress: the descriptor it is read from and the cookie that it stands at.
  Fd listing;
  int64_t listing_cookie = 0;
};

class HandleTable {
 public:
  explicit HandleTable(size_t capacity) : capacity_(capacity) {}

  // ENFILE when full.
  Result<Handle> Add(Node node);
  // EBADF for what is not open. The pointer is good until it is closed.
  Result<Node*> Get(Handle handle);
  void Close(Handle handle);
  size_t open_handles() const { return open_; }

 private:
  struct Slot {
    Node node;
    uint32_t generation = 0;  // odd: in use
  };
  Slot* Find(Handle handle);

  const size_t capacity_;
  std::deque<Slot> slots_;
  std::vector<uint32_t> free_;
  size_t open_ = 0;
};

}  // namespace gofer
