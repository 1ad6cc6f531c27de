#pragma once

// epoll(7). An EpollFile has one item for each registered (file, descriptor number). An item waits on the file's queue; when
// told, it goes to the ready list, and epoll_wait looks at that list only. Items know their file by a weak link
// (FileDescription::Hook), so registering keeps nothing open.
// Under the kernel lock.

#include <sys/epoll.h>

#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "vfs/file_description.h"

namespace epoll {

// How many epoll files may watch each other in a row.
inline constexpr int kMaxNesting = 5;

class EpollFile final : public vfs::FileDescription {
 public:
  static inline char kKind;
  EpollFile() = default;
  ~EpollFile() override;

  // epoll_ctl(2); `operation`: EPOLL_CTL_ADD, EPOLL_CTL_MOD, EPOLL_CTL_DEL. EEXIST, ENOENT, EPERM, ELOOP, EINVAL. The caller
  // found `file` at descriptor `fd` (EBADF).
  Result<void> Control(int operation, int fd, vfs::FileDescription& file, const epoll_event& event);

  // Fills `out` with what is ready, 0 when nothing is. Never blocks.
  size_t Wait(std::span<epoll_event> out);
  // The same, parking the calling fiber until something is ready or the deadline passed (then 0). EINTR when interrupted,
  // since epoll_wait(2) is never restarted. Of several waiters one is woken for an event.
  Result<size_t> WaitBlocking(std::span<epoll_event> out, int64_t deadline_ns);

  const void* kind() const override { return &kKind; }
  Result<size_t> Read(const IoVec&) override { return Errno::kEINVAL; }
  Result<size_t> Write(const IoVec&) override { return Errno::kEINVAL; }
  Result<int64_t> Seek(int64_t, int) override { return 0; }  // accepted without effect
  EventMask Readiness() override;
  WaitQueue* wait_queue() override { return &pollers_; }
  std::string FdInfo() override;
  std::string LinkName() override { return "anon_inode:[eventpoll]"; }

 private:
  struct Item;
  // A doubly linked list of items through their ready links.
  struct ReadyList {
    Item* first = nullptr;
    Item* last = nullptr;
    void Push(Item* item);
    void Remove(Item* item);
  };
  using Key = std::pair<const vfs::FileDescription*, int>;

  void Activate(Item& item);
  void WakeOne();
  void Remove(Item& item);
  // How many epoll files there are in the longest row that begins or ends here; and
  // whether `target` is below. `round` tells one walk over the graph from the next, so that each file is looked at once.
  int DepthBelow(uint64_t round) const;
  int DepthAbove(uint64_t round) const;
  bool Reaches(const EpollFile& target, uint64_t round) const;

  absl::flat_hash_map<Key, std::unique_ptr<Item>> items_;
  ReadyList ready_;
  WaitQueue waiters_;  // fibers in WaitBlocking
  WaitQueue pollers_;  // whoever polls this file, other epoll files included
  std::vector<EpollFile*> watching_;  // epoll files among the items, once an item
  std::vector<EpollFile*> watched_by_;
  static inline uint64_t last_round_ = 0;
  mutable uint64_t visited_in_ = 0;
  mutable int visited_depth_ = 0;
};

// `flags`: EPOLL_CLOEXEC (left to the caller); else EINVAL.
Result<RefPtr<vfs::FileDescription>> CreateEpoll(int flags, RefPtr<const Credentials> creds);

}  // namespace epoll
