#pragma once

// A descriptor of the host that the Sentry was given (a container's standard input and output), with its readiness.
//
// The open file behind it is shared with processes of the host, so its O_NONBLOCK flag is never touched; reading and writing
// ask the host for one call that does not wait (preadv2(2) RWF_NOWAIT, MSG_DONTWAIT), or look with poll(2) first and then
// call with the kernel lock dropped.
//
// Readiness comes from the event thread. The host is asked to tell once, and only when somebody here waits and what he
// waits for does not hold: an idle container costs no wake-ups, and a busy one no host calls that its reads and writes do not make.

#include "base/fd.h"
#include "base/io_vec.h"
#include "base/ref.h"
#include "base/wait_queue.h"

namespace hostfs_fd {

class HostDescriptor : public RefCounted {
 public:
  enum class Type { kFile, kStream, kSocket, kTerminal };  // kFile: regular files and devices that never make wait

  // EBADF, ...
  static Result<RefPtr<HostDescriptor>> Create(Fd fd);
  ~HostDescriptor() override;

  int fd() const { return fd_.get(); }
  Type type() const { return type_; }
  uint32_t mode() const { return mode_; }  // st_mode
  uint64_t dev() const { return dev_; }    // of the host, as are ino and rdev
  uint64_t ino() const { return ino_; }
  uint64_t rdev() const { return rdev_; }
  int flags() const { return flags_; }     // O_ACCMODE, O_APPEND and O_NONBLOCK of the host's open file
  bool waits() const { return type_ != Type::kFile; }

  // At the position of the host's open file. EAGAIN when it would wait. `rwf_flags`: RWF_APPEND and the like.
  Result<size_t> Read(const IoVec& to);
  Result<size_t> Write(const IoVec& from, int rwf_flags);

  EventMask Readiness();
  WaitQueue queue;

 private:
  explicit HostDescriptor(Fd fd) : fd_(std::move(fd)) {}
  Result<size_t> TryRead(const IoVec& to);
  Result<size_t> TryWrite(const IoVec& from);
  // Has the event thread tell `queue` once when any of `events` holds.
  void Arm(EventMask events);
  void OnHostEvent(EventMask events);

  const Fd fd_;
  Type type_ = Type::kFile;
  uint32_t mode_ = 0;
  uint64_t dev_ = 0, ino_ = 0, rdev_ = 0;
  int flags_ = 0;
  bool nowait_ = true;  // the host's file knows RWF_NOWAIT, as far as we know
  bool watched_ = false;
  EventMask armed_ = 0;
};

}  // namespace hostfs_fd
