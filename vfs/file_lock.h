#pragma once

// Advisory file locks: flock(2), POSIX record locks and open file description locks (fcntl(2)). All belong to an inode and
// are made on first use. Owners are opaque pointers that are only compared: a description for flock and OFD locks, the
// descriptor table (as Linux's files_struct) for POSIX ones. Blocking parks the calling fiber on a wait queue of the inode;
// ERESTARTSYS when interrupted.

#include <cstdint>
#include <optional>

#include "absl/functional/function_ref.h"
#include "vfs/file_description.h"

namespace vfs {

// A range of bytes as fcntl(2) describes it, with absolute, inclusive ends.
struct RecordLock {
  int16_t type = 0;  // F_RDLCK, F_WRLCK, F_UNLCK
  uint64_t start = 0;
  uint64_t end = kLockToEof;
  const void* owner = nullptr;
  int32_t pid = 0;   // as F_GETLK reports: -1 for OFD locks
  bool ofd = false;

  static constexpr uint64_t kLockToEof = INT64_MAX;
};

// The absolute range of an l_whence/l_start/l_len: EINVAL, EOVERFLOW. SEEK_END asks Stat.
Result<RecordLock> RecordLockRange(FileDescription& file, int type, int whence, int64_t start, int64_t length);

// flock(2): `operation` of LOCK_SH, LOCK_EX, LOCK_UN, with LOCK_NB: EWOULDBLOCK (EAGAIN). A conversion is not atomic, as on Linux.
Result<void> Flock(FileDescription& file, int operation);

// F_SETLK, F_SETLKW (`wait`), and the OFD ones. EAGAIN; EDEADLK for POSIX locks whose owners would wait in a circle. Access mode
// checks (EBADF) are the caller's.
Result<void> SetRecordLock(FileDescription& file, const RecordLock& lock, bool wait);
// F_GETLK: the first lock that is in the way of `lock`, if any.
std::optional<RecordLock> GetRecordLock(FileDescription& file, const RecordLock& lock);

// close(2) of any descriptor of the inode by the owner of POSIX locks drops them all. Cheap where the inode has no locks.
void ReleasePosixLocks(FileDescription& file, const void* owner);
// The last reference to a description went: its flock and OFD locks. Called by FileDescription.
void ReleaseDescriptionLocks(FileDescription& file);

// For /proc/locks and fdinfo: all locks of an inode.
struct LockInfo {
  enum class Kind { kFlock, kPosix, kOfd } kind;
  RecordLock lock;
  bool blocked;  // a waiter, not a holder
};
void ForEachLock(const Inode& inode, absl::FunctionRef<void(const LockInfo&)> visit);

}  // namespace vfs
