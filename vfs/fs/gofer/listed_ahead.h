#pragma once

// Directories that were listed along with another, because somebody seems to go through the tree: what they contain, until their inodes are made.

#include <cstdint>
#include <deque>
#include <memory>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "vfs/fs/gofer/contents.h"

namespace goferfs {

class ListedAhead {
 public:
  // None is kept of a directory that has an inode: that one holds its contents itself.
  void Add(const InodeKey& key, std::unique_ptr<Contents> contents);
  // Null where there is none.
  std::unique_ptr<Contents> Take(const InodeKey& key);
  bool Has(const InodeKey& key) const { return directories_.contains(key); }

  // How much to list beyond what is asked for, in bytes of the reply: nothing the first time that a directory is listed by way of its parent,
  // then a little while somebody waits, since one who has listed several of them goes on,
  uint32_t NextFirstBudget();
  // and while nobody waits twice as much each time.
  uint32_t NextBudget();
  void Restart() { run_ = 0; }

  // Which attributes to ask for: of regular files while somebody uses them.
  gofer::Attributes Wanted() const { return wanted_for_ > 0 ? gofer::Attributes::kAll : gofer::Attributes::kSome; }
  void NoteAttributesUsed() { wanted_for_ = kWantedFor; }

  // Whether any directory was listed since this was asked last: there is no use in going on otherwise.
  void NoteUsed() {
    used_ = true;
    if (wanted_for_ > 0) wanted_for_--;
  }
  bool TakeUsed() { return std::exchange(used_, false); }

 private:
  // So many more directories, after the last whose files were asked for.
  static constexpr int kWantedFor = 8;

  absl::flat_hash_map<InodeKey, std::unique_ptr<Contents>> directories_;
  std::deque<InodeKey> order_;  // oldest first; some may be gone
  int run_ = 0;
  bool used_ = false;
  int wanted_for_ = 0;
};

}  // namespace goferfs
