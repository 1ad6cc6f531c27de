#pragma once

// Descriptors of regular files that the gofer gave away, and the bound on how many the Sentry keeps. An inode keeps its descriptors after the
// last close, so that the next open costs nothing; beyond the bound, those that only their inode refers to are closed, least recently
// opened first.

#include <atomic>
#include <cstddef>

#include "base/fd.h"
#include "base/ref.h"

namespace goferfs {

class HostFilePool;

class HostFile : public RefCounted {
 public:
  HostFile(HostFilePool& pool, Fd fd, bool writable);
  ~HostFile() override;

  int fd() const { return fd_.get(); }
  bool writable() const { return writable_; }

  // Cleared when the host's file system turns out not to know RWF_NOWAIT.
  bool try_nowait = true;

 private:
  HostFilePool& pool_;
  const Fd fd_;
  const bool writable_;
};

// What holds host files: a regular inode. An entry of the pool's list.
class HostFileHolder {
 public:
  HostFileHolder() = default;
  HostFileHolder(const HostFileHolder&) = delete;
  HostFileHolder& operator=(const HostFileHolder&) = delete;

 protected:
  virtual ~HostFileHolder();
  // Drops those that nobody else refers to.
  virtual void DropIdleHostFiles() = 0;

 private:
  friend class HostFilePool;
  HostFilePool* pool_ = nullptr;
  HostFileHolder* newer_ = nullptr;
  HostFileHolder* older_ = nullptr;
};

class HostFilePool {
 public:
  explicit HostFilePool(size_t limit);
  HostFilePool(const HostFilePool&) = delete;
  HostFilePool& operator=(const HostFilePool&) = delete;
  ~HostFilePool();

  // `holder` has just been given or has used a host file. May drop those of others.
  void Touch(HostFileHolder& holder);

  size_t open() const { return open_; }
  size_t limit() const { return limit_; }

 private:
  friend class HostFile;
  friend class HostFileHolder;
  void Remove(HostFileHolder& holder);
  void Trim();

  const size_t limit_;
  std::atomic<size_t> open_ = 0;  // the last reference to a host file may go without the kernel lock
  HostFileHolder* newest_ = nullptr;
  HostFileHolder* oldest_ = nullptr;
};

}  // namespace goferfs
