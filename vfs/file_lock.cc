#include "vfs/file_lock.h"

#include <sys/file.h>

#include <algorithm>
#include <vector>

#include "absl/container/flat_hash_map.h"

namespace vfs {

namespace {

struct Whole {  // a flock
  const void* owner;
  bool exclusive;
};

class Locks : public RefCounted {
 public:
  std::vector<Whole> whole;
  std::vector<RecordLock> records;          // in the order of start; those of one owner do not overlap
  std::vector<const RecordLock*> blocked;   // waiters, for /proc/locks
  WaitQueue released;

  void Released() { released.Notify(EPOLLOUT); }
};

Locks& Of(Inode& inode) {
  if (!inode.locks) inode.locks = MakeRef<Locks>();
  return static_cast<Locks&>(*inode.locks);
}

Locks* IfAny(const Inode& inode) { return static_cast<Locks*>(inode.locks.get()); }

bool SameOwner(const RecordLock& a, const RecordLock& b) { return a.owner == b.owner && a.ofd == b.ofd; }

const RecordLock* Conflict(const Locks& locks, const RecordLock& wanted) {
  for (const RecordLock& held : locks.records) {
    if (held.end < wanted.start || held.start > wanted.end || SameOwner(held, wanted)) continue;
    if (held.type == F_WRLCK || wanted.type == F_WRLCK) return &held;
  }
  return nullptr;
}

// Puts `lock` in place of whatever its owner held in the range: splits at the ends, merges with neighbours of its type.
void Replace(Locks& locks, const RecordLock& lock) {
  std::vector<RecordLock> result;
  RecordLock merged = lock;
  for (const RecordLock& held : locks.records) {
    if (!SameOwner(held, lock)) {
      result.push_back(held);
      continue;
    }
    bool touches = (merged.start == 0 || held.end >= merged.start - 1) && (held.start == 0 || held.start - 1 <= merged.end);
    if (held.type == lock.type && touches) {
      merged.start = std::min(merged.start, held.start);
      merged.end = std::max(merged.end, held.end);
      continue;
    }
    if (held.end < lock.start || held.start > lock.end) {
      result.push_back(held);
      continue;
    }
    if (held.start < lock.start) {
      result.push_back(held);
      result.back().end = lock.start - 1;
    }
    if (held.end > lock.end) {
      result.push_back(held);
      result.back().start = lock.end + 1;
    }
  }
  if (lock.type != F_UNLCK) result.push_back(merged);
  std::stable_sort(result.begin(), result.end(), [](const RecordLock& a, const RecordLock& b) { return a.start < b.start; });
  locks.records = std::move(result);
}

// POSIX owners that wait, and for whom: to refuse what would wait in a circle. A threaded owner may wait for several; the
// last one counts, as a circle of the others is noticed when it closes.
auto& WaitsFor() {
  static auto* map = new absl::flat_hash_map<const void*, const void*>;
  return *map;
}

bool WouldDeadlock(const void* waiter, const void* holder) {
  constexpr int kMaxSteps = 10;  // as Linux: longer chains are not followed
  for (int i = 0; i < kMaxSteps; i++) {
    if (holder == waiter) return true;
    auto it = WaitsFor().find(holder);
    if (it == WaitsFor().end()) return false;
    holder = it->second;
  }
  return false;
}

Result<bool> TryFlock(Locks& locks, const void* owner, bool exclusive) {
  for (const Whole& held : locks.whole) {
    if (held.owner != owner && (held.exclusive || exclusive)) return Errno::kEAGAIN;
  }
  locks.whole.push_back({owner, exclusive});
  return true;
}

}  // namespace

Result<RecordLock> RecordLockRange(FileDescription& file, int type, int whence, int64_t start, int64_t length) {
  if (type != F_RDLCK && type != F_WRLCK && type != F_UNLCK) return Errno::kEINVAL;
  int64_t base = 0;
  switch (whence) {
    case SEEK_SET:
      break;
    case SEEK_CUR:
      base = static_cast<int64_t>(file.offset());
      break;
    case SEEK_END:
      base = static_cast<int64_t>(TRY(file.Stat()).size);
      break;
    default:
      return Errno::kEINVAL;
  }
  int64_t first;
  if (__builtin_add_overflow(base, start, &first)) return Errno::kEOVERFLOW;
  if (first < 0) return Errno::kEINVAL;
  int64_t last = INT64_MAX;
  if (length > 0) {
    if (__builtin_add_overflow(first, length - 1, &last)) return Errno::kEOVERFLOW;
  } else if (length < 0) {
    // The bytes before `first`.
    if (__builtin_add_overflow(first, length, &last) || last < 0) return Errno::kEINVAL;
    std::swap(first, last);
    last--;
  }
  RecordLock lock;
  lock.type = static_cast<int16_t>(type);
  lock.start = static_cast<uint64_t>(first);
  lock.end = static_cast<uint64_t>(last);
  return lock;
}

Result<void> Flock(FileDescription& file, int operation) {
  RefPtr<FileDescription> keep(&file);
  Locks& locks = Of(file.inode());
  const bool nonblocking = (operation & LOCK_NB) != 0;
  const int kind = operation & ~LOCK_NB;
  if (kind != LOCK_SH && kind != LOCK_EX && kind != LOCK_UN) return Errno::kEINVAL;

  // A conversion first gives up what is held: not atomic, flock(2).
  auto held = std::find_if(locks.whole.begin(), locks.whole.end(), [&file](const Whole& l) { return l.owner == &file; });
  if (held != locks.whole.end()) {
    if (kind != LOCK_UN && held->exclusive == (kind == LOCK_EX)) return {};
    locks.whole.erase(held);
    locks.Released();
  }
  if (kind == LOCK_UN) return {};
  auto attempt = [&]() -> Result<bool> { return TryFlock(locks, &file, kind == LOCK_EX); };
  if (nonblocking) {
    TRY(attempt());
  } else {
    TRY(base::BlockUntil<bool>(locks.released, EPOLLOUT, base::kNoDeadline, attempt));
  }
  return {};
}

Result<void> SetRecordLock(FileDescription& file, const RecordLock& lock, bool wait) {
  RefPtr<FileDescription> keep(&file);
  Locks& locks = Of(file.inode());
  if (lock.type == F_UNLCK) {
    Replace(locks, lock);
    locks.Released();
    return {};
  }
  auto attempt = [&]() -> Result<bool> {
    if (const RecordLock* other = Conflict(locks, lock)) {
      if (!wait || lock.ofd || other->ofd) return Errno::kEAGAIN;
      if (WouldDeadlock(lock.owner, other->owner)) return Errno::kEDEADLK;
      WaitsFor()[lock.owner] = other->owner;
      return Errno::kEAGAIN;
    }
    Replace(locks, lock);
    // A write lock turned into a read lock lets readers in.
    locks.Released();
    return true;
  };
  if (!wait) {
    TRY(attempt());
    return {};
  }
  locks.blocked.push_back(&lock);
  Result<bool> done = base::BlockUntil<bool>(locks.released, EPOLLOUT, base::kNoDeadline, attempt);
  std::erase(locks.blocked, &lock);
  if (!lock.ofd) WaitsFor().erase(lock.owner);
  if (!done.ok()) return done.error();
  return {};
}

std::optional<RecordLock> GetRecordLock(FileDescription& file, const RecordLock& lock) {
  Locks* locks = IfAny(file.inode());
  if (locks == nullptr) return std::nullopt;
  const RecordLock* other = Conflict(*locks, lock);
  if (other == nullptr) return std::nullopt;
  return *other;
}

namespace {
template <class Match>
void Release(Inode& inode, Match match) {
  Locks* locks = IfAny(inode);
  if (locks == nullptr) return;
  if (std::erase_if(locks->records, match) > 0) locks->Released();
}
}  // namespace

void ReleasePosixLocks(FileDescription& file, const void* owner) {
  if (!file.path().dentry || !file.path().dentry->inode()) return;
  Release(file.inode(), [owner](const RecordLock& lock) { return !lock.ofd && lock.owner == owner; });
}

void ReleaseDescriptionLocks(FileDescription& file) {
  Locks* locks = IfAny(file.inode());
  if (locks == nullptr) return;
  Release(file.inode(), [&file](const RecordLock& lock) { return lock.ofd && lock.owner == &file; });
  if (std::erase_if(locks->whole, [&file](const Whole& lock) { return lock.owner == &file; }) > 0) locks->Released();
}

void ForEachLock(const Inode& inode, absl::FunctionRef<void(const LockInfo&)> visit) {
  const Locks* locks = IfAny(inode);
  if (locks == nullptr) return;
  for (const Whole& held : locks->whole) {
    RecordLock lock;
    lock.type = held.exclusive ? F_WRLCK : F_RDLCK;
    lock.owner = held.owner;
    visit({LockInfo::Kind::kFlock, lock, false});
  }
  auto kind = [](const RecordLock& lock) { return lock.ofd ? LockInfo::Kind::kOfd : LockInfo::Kind::kPosix; };
  for (const RecordLock& lock : locks->records) visit({kind(lock), lock, false});
  for (const RecordLock* lock : locks->blocked) visit({kind(*lock), *lock, true});
}

}  // namespace vfs
