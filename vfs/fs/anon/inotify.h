#pragma once

// inotify(7): a queue of what happened to watched inodes. The hooks are in vfs/watch.h.

#include <deque>
#include <map>
#include <memory>

#include "absl/container/flat_hash_map.h"
#include "vfs/file_description.h"
#include "vfs/watch.h"

namespace anonfs {

class InotifyFile final : public vfs::FileDescription {
 public:
  static inline char kKind;
  ~InotifyFile() override;

  // inotify_add_watch(2) for a place that was walked to (IN_DONT_FOLLOW, IN_ONLYDIR) and that the caller may read. Returns the
  // watch descriptor. EINVAL, EEXIST (IN_MASK_CREATE), ENOSPC.
  Result<int> AddWatch(const vfs::Path& place, uint32_t mask);
  // inotify_rm_watch(2). EINVAL.
  Result<void> RemoveWatch(int descriptor);

  const void* kind() const override { return &kKind; }
  Result<size_t> Read(const IoVec& to) override;
  Result<size_t> Write(const IoVec&) override { return Errno::kEBADF; }
  Result<int64_t> Seek(int64_t, int) override { return 0; }  // accepted without effect
  EventMask Readiness() override { return events_.empty() ? 0 : EventMask{EPOLLIN}; }
  WaitQueue* wait_queue() override { return &queue_; }
  Result<uint64_t> Ioctl(uint32_t request, uint64_t argument, const vfs::IoctlContext& context) override;
  std::string FdInfo() override;
  std::string LinkName() override { return "anon_inode:inotify"; }

 private:
  struct Event {
    int descriptor;
    uint32_t mask, cookie;
    std::string name;
    size_t size() const;  // as it is read
    friend bool operator==(const Event&, const Event&) = default;
  };
  class InodeWatch;

  void Queue(Event event);
  // The watch ends: says so, forgets it.
  void End(int descriptor);

  std::deque<Event> events_;
  std::map<int, std::unique_ptr<InodeWatch>> watches_;
  absl::flat_hash_map<const vfs::Inode*, int> by_inode_;
  int last_descriptor_ = 0;
  WaitQueue queue_;
};

// `flags`: IN_CLOEXEC (left to the caller), IN_NONBLOCK; else EINVAL.
Result<RefPtr<vfs::FileDescription>> CreateInotify(int flags, RefPtr<const Credentials> creds);

}  // namespace anonfs
