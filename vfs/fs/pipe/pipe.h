#pragma once

// Pipe: the ring of page-sized buffers behind pipe(2) and FIFOs (pipe(7)). The rules that applications can see follow from
// its shape, as in Linux: a pipe is full when all slots are taken, small writes are appended to the last page when they
// fit whole (so writes up to PIPE_BUF are atomic), a packet (O_DIRECT) is a slot that is read in one go.
// Under the kernel lock. Kept alive by its files and, for a FIFO, by its inode; its contents live as long as any end is open.

#include <memory>
#include <vector>

#include "base/credentials.h"
#include "base/io_vec.h"
#include "base/ref.h"
#include "base/wait_queue.h"
#include "vfs/fs/pipe/page.h"

namespace pipefs {

inline constexpr size_t kDefaultSlots = 16;
inline constexpr size_t kMaxSlots = 256;  // /proc/sys/fs/pipe-max-size: 1 MiB

// A stretch of bytes within one page.
struct Slot {
  PageRef page;
  uint32_t offset = 0;
  uint32_t length = 0;
  bool packet = false;  // its end is the end of a read(2)
  bool merge = false;   // nobody else has the page, so a write may append to it
};

class Pipe : public RefCounted {
 public:
  Pipe() = default;

  // --- both never block. EAGAIN: empty, full. ---
  // 0 when it is empty and has no writers.
  Result<size_t> Read(const IoVec& to);
  // EPIPE without readers (the caller raises SIGPIPE). A short count when not all fits; what fits into PIPE_BUF is never split.
  Result<size_t> Write(const IoVec& from, bool packets);

  bool is_empty() const { return used_ == 0; }
  bool is_full() const { return used_ + reserved_ >= capacity_; }
  size_t bytes() const;                                    // FIONREAD
  size_t capacity_bytes() const { return capacity_ * kPipePage; }  // F_GETPIPE_SZ
  // F_SETPIPE_SZ: rounds up; the new size. EINVAL, EBUSY (holds more), EPERM (above the limit without CAP_SYS_RESOURCE).
  Result<size_t> SetCapacity(uint64_t bytes, const Credentials& creds);

  // --- ends ---
  void AddReader();
  void AddWriter();
  void RemoveReader();
  void RemoveWriter();
  int readers() const { return readers_; }
  int writers() const { return writers_; }
  // How often an end was opened: what the opener of the other end of a FIFO waits for.
  uint32_t reader_opens() const { return reader_opens_; }
  uint32_t writer_opens() const { return writer_opens_; }

  // --- splice: whole slots go in and out without copying ---
  // Takes up to `length` bytes off the front (no more than one packet at a time splits).
  std::vector<Slot> Take(size_t length);
  // Puts what Take gave back in front, after a short write elsewhere.
  void PutBack(std::vector<Slot> slots);
  // Shares the first `length` bytes for tee(2), at most `max_slots` pieces.
  std::vector<Slot> ShareFront(size_t length, size_t max_slots) const;
  // Appends a slot; there must be room or a reservation.
  void Append(Slot slot);
  size_t free_slots() const { return is_full() ? 0 : capacity_ - used_ - reserved_; }
  // Slots kept free for data that is being read from elsewhere with the kernel lock dropped.
  void Reserve(size_t slots) { reserved_ += slots; }
  void Unreserve(size_t slots);
  // Tells waiters after Take and Append.
  void NotifyReaders() {
    if (!queue.empty()) queue.Notify(EPOLLIN);
  }
  void NotifyWriters() {
    if (!queue.empty()) queue.Notify(EPOLLOUT);
  }

  // Readers and writers; told of EPOLLIN at each write, of EPOLLOUT when it was full and is no more, of EPOLLHUP and
  // EPOLLERR when the last writer or reader goes, and of both kinds when an end is opened.
  WaitQueue queue;

 private:
  Slot& At(size_t i) { return ring_[(head_ + i) & (ring_size_ - 1)]; }
  const Slot& At(size_t i) const { return ring_[(head_ + i) & (ring_size_ - 1)]; }
  void Push(Slot slot);
  void PopFront();
  void Resize(size_t ring_size);
  void DropContentsIfUnused();

  std::unique_ptr<Slot[]> ring_;  // made by the first write; a power of two, larger than capacity_ only after PutBack
  size_t ring_size_ = 0;
  size_t head_ = 0;
  size_t used_ = 0;
  size_t reserved_ = 0;
  size_t capacity_ = kDefaultSlots;
  int readers_ = 0, writers_ = 0;
  uint32_t reader_opens_ = 0, writer_opens_ = 0;
};

}  // namespace pipefs
