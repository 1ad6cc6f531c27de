#include "vfs/fs/pipe/splice.h"

#include <algorithm>

#include "vfs/fs/pipe/pipe_file.h"

namespace pipefs {

namespace {

constexpr unsigned kAllFlags = SPLICE_F_MOVE | SPLICE_F_NONBLOCK | SPLICE_F_MORE | SPLICE_F_GIFT;
constexpr size_t kMaxLength = 0x7ffff000;  // MAX_RW_COUNT

Result<size_t> ReadFrom(vfs::FileDescription& in, int64_t* offset, const IoVec& to) {
  if (offset == nullptr) return in.Read(to);
  Result<size_t> n = in.ReadAt(to, *offset, 0);
  if (n.ok()) *offset += *n;
  return n;
}

Result<size_t> WriteTo(vfs::FileDescription& out, int64_t* offset, const IoVec& from) {
  if (offset == nullptr) return out.Write(from);
  Result<size_t> n = out.WriteAt(from, *offset, 0);
  if (n.ok()) *offset += *n;
  return n;
}

// Calls `attempt` until it does something else than EAGAIN. Between calls it waits for both sides, as either may be what
// it lacks.
template <class Attempt>
Result<size_t> BlockOnBoth(WaitQueue* first, EventMask first_mask, WaitQueue* second, EventMask second_mask,
                           Attempt attempt) {
  Result<size_t> result = attempt();
  if (result.ok() || result.error() != Errno::kEAGAIN) return result;
  base::FiberWaiter first_waiter, second_waiter;
  if (first != nullptr) first->Add(first_waiter, first_mask);
  if (second != nullptr) second->Add(second_waiter, second_mask);
  for (;;) {
    result = attempt();
    if (result.ok() || result.error() != Errno::kEAGAIN) return result;
    if (Fiber::Block() == base::WakeReason::kInterrupted) return Errno::kERESTARTSYS;
  }
}

// Whether an operation on the file itself may wait: it may be a pipe, a socket or a terminal.
bool MayWait(const vfs::FileDescription& file) { return !file.nonblocking(); }

// Pipe to file: waits for the first data, then moves what there is.
Result<size_t> SpliceOut(Pipe& from, vfs::FileDescription& out, int64_t* out_offset, size_t length, bool wait_for_data,
                         bool wait_for_out) {
  size_t moved = 0;
  while (moved < length) {
    if (from.is_empty()) {
      if (moved > 0 || from.writers() == 0) break;
      if (!wait_for_data) return Errno::kEAGAIN;
      TRY(base::BlockUntil<void>(from.queue, EPOLLIN, base::kNoDeadline, [&]() -> Result<void> {
        if (from.is_empty() && from.writers() > 0) return Errno::kEAGAIN;
        return {};
      }));
      continue;
    }
    auto attempt = [&]() -> Result<size_t> {
      if (from.is_empty()) return size_t{0};  // taken by somebody else while we waited
      return SpliceTo(from, out, out_offset, length - moved);
    };
    Result<size_t> n = wait_for_out && out.wait_queue() != nullptr
                           ? base::BlockUntil<size_t>(*out.wait_queue(), EPOLLOUT, base::kNoDeadline, attempt)
                           : attempt();
    if (!n.ok()) return moved > 0 ? Result<size_t>(moved) : n;
    moved += *n;
    if (*n == 0 && !from.is_empty()) break;
  }
  return moved;
}

}  // namespace

Result<size_t> SpliceFrom(vfs::FileDescription& in, int64_t* in_offset, Pipe& to, size_t length) {
  if (to.readers() == 0) return Errno::kEPIPE;
  const size_t slots = std::min(to.free_slots(), (length + kPipePage - 1) / kPipePage);
  if (slots == 0) return Errno::kEAGAIN;
  std::vector<PageRef> pages;
  IoVec iov;
  size_t left = length;
  for (size_t i = 0; i < slots; i++) {
    pages.push_back(PageRef::Allocate());
    const size_t size = std::min(left, kPipePage);
    iov.Append(pages.back().data(), size);
    left -= size;
  }
  // Reading may drop the kernel lock; the slots stay ours meanwhile.
  RefPtr<Pipe> keep(&to);
  to.Reserve(slots);
  Result<size_t> got = ReadFrom(in, in_offset, iov);
  if (got.ok()) {
    size_t rest = *got;
    for (size_t i = 0; rest > 0; i++) {
      Slot slot;
      slot.page = std::move(pages[i]);
      slot.length = std::min(rest, kPipePage);
      rest -= slot.length;
      to.Append(std::move(slot));
    }
    if (*got > 0) to.NotifyReaders();
  }
  to.Unreserve(slots);
  return got;
}

Result<size_t> SpliceTo(Pipe& from, vfs::FileDescription& out, int64_t* out_offset, size_t length) {
  if (from.is_empty()) {
    if (from.writers() == 0) return size_t{0};
    return Errno::kEAGAIN;
  }
  RefPtr<Pipe> keep(&from);
  const bool was_full = from.is_full();
  std::vector<Slot> slots = from.Take(length);
  IoVec iov;
  for (const Slot& slot : slots) iov.Append(slot.page.data() + slot.offset, slot.length);
  Result<size_t> wrote = WriteTo(out, out_offset, iov);
  size_t done = wrote.ok() ? *wrote : 0;
  size_t first = 0;
  while (first < slots.size() && done >= slots[first].length) done -= slots[first++].length;
  if (first < slots.size()) {
    slots[first].offset += done;
    slots[first].length -= done;
    slots.erase(slots.begin(), slots.begin() + first);
    from.PutBack(std::move(slots));
    from.NotifyReaders();
  }
  if (was_full && !from.is_full()) from.NotifyWriters();
  return wrote;
}

Result<size_t> SplicePipes(Pipe& from, Pipe& to, size_t length) {
  if (to.readers() == 0) return Errno::kEPIPE;
  if (from.is_empty()) {
    if (from.writers() == 0) return size_t{0};
    return Errno::kEAGAIN;
  }
  const bool was_full = from.is_full();
  size_t moved = 0;
  while (moved < length && !from.is_empty() && !to.is_full()) {
    for (Slot& slot : from.Take(std::min(length - moved, kPipePage))) {
      // Two pieces of slots may come of one page's length.
      if (to.is_full()) {
        std::vector<Slot> rest;
        rest.push_back(std::move(slot));
        from.PutBack(std::move(rest));
        break;
      }
      moved += slot.length;
      to.Append(std::move(slot));
    }
  }
  if (moved == 0) return Errno::kEAGAIN;
  to.NotifyReaders();
  if (was_full && !from.is_full()) from.NotifyWriters();
  return moved;
}

Result<size_t> Splice(vfs::FileDescription& in, int64_t* in_offset, vfs::FileDescription& out, int64_t* out_offset,
                      size_t length, unsigned flags) {
  if (length == 0) return size_t{0};
  if ((flags & ~kAllFlags) != 0) return Errno::kEINVAL;
  if (!in.readable() || !out.writable()) return Errno::kEBADF;
  length = std::min(length, kMaxLength);
  auto* in_pipe = vfs::FileAs<PipeFile>(&in);
  auto* out_pipe = vfs::FileAs<PipeFile>(&out);
  if (in_pipe == nullptr && out_pipe == nullptr) return Errno::kEINVAL;
  if ((in_pipe != nullptr && in_offset != nullptr) || (out_pipe != nullptr && out_offset != nullptr)) return Errno::kESPIPE;
  if ((in_offset != nullptr && *in_offset < 0) || (out_offset != nullptr && *out_offset < 0)) return Errno::kEINVAL;
  const bool wait = (flags & SPLICE_F_NONBLOCK) == 0;

  if (in_pipe != nullptr && out_pipe != nullptr) {
    Pipe& from = in_pipe->pipe();
    Pipe& to = out_pipe->pipe();
    if (&from == &to) return Errno::kEINVAL;
    auto attempt = [&] { return SplicePipes(from, to, length); };
    if (!wait || in.nonblocking() || out.nonblocking()) return attempt();
    return BlockOnBoth(&from.queue, EPOLLIN, &to.queue, EPOLLOUT, attempt);
  }

  if (in_pipe != nullptr) {
    if ((out.flags() & O_APPEND) != 0) return Errno::kEINVAL;
    return SpliceOut(in_pipe->pipe(), out, out_offset, length, wait && MayWait(in), wait && MayWait(out));
  }

  Pipe& to = out_pipe->pipe();
  auto attempt = [&] { return SpliceFrom(in, in_offset, to, length); };
  // Without room it is the pipe that waits; with room, it is `in` (a socket, a terminal), whose own flag counts.
  const bool wait_for_room = wait && MayWait(out);
  for (;;) {
    if (to.is_full() && to.readers() > 0) {
      if (!wait_for_room) return Errno::kEAGAIN;
      TRY(base::BlockUntil<void>(to.queue, EPOLLOUT, base::kNoDeadline, [&]() -> Result<void> {
        if (to.is_full() && to.readers() > 0) return Errno::kEAGAIN;
        return {};
      }));
    }
    if (!wait || !MayWait(in) || in.wait_queue() == nullptr) return attempt();
    Result<size_t> n = BlockOnBoth(in.wait_queue(), EPOLLIN, nullptr, 0, [&]() -> Result<size_t> {
      if (to.is_full() && to.readers() > 0) return size_t{SIZE_MAX};  // filled up meanwhile: back to waiting for room
      return attempt();
    });
    if (!n.ok() || *n != SIZE_MAX) return n;
  }
}

Result<size_t> Tee(vfs::FileDescription& in, vfs::FileDescription& out, size_t length, unsigned flags) {
  if ((flags & ~kAllFlags) != 0) return Errno::kEINVAL;
  if (length == 0) return size_t{0};
  if (!in.readable() || !out.writable()) return Errno::kEBADF;
  auto* in_pipe = vfs::FileAs<PipeFile>(&in);
  auto* out_pipe = vfs::FileAs<PipeFile>(&out);
  if (in_pipe == nullptr || out_pipe == nullptr || &in_pipe->pipe() == &out_pipe->pipe()) return Errno::kEINVAL;
  Pipe& from = in_pipe->pipe();
  Pipe& to = out_pipe->pipe();
  auto attempt = [&]() -> Result<size_t> {
    if (from.is_empty()) {
      if (from.writers() == 0) return size_t{0};
      return Errno::kEAGAIN;
    }
    if (to.readers() == 0) return Errno::kEPIPE;
    if (to.is_full()) return Errno::kEAGAIN;
    size_t shared = 0;
    for (Slot& slot : from.ShareFront(length, to.free_slots())) {
      shared += slot.length;
      to.Append(std::move(slot));
    }
    to.NotifyReaders();
    return shared;
  };
  if ((flags & SPLICE_F_NONBLOCK) != 0 || in.nonblocking() || out.nonblocking()) return attempt();
  return BlockOnBoth(&from.queue, EPOLLIN, &to.queue, EPOLLOUT, attempt);
}

Result<size_t> Vmsplice(vfs::FileDescription& file, const IoVec& memory, unsigned flags) {
  if ((flags & ~kAllFlags) != 0) return Errno::kEINVAL;
  auto* pipe_file = vfs::FileAs<PipeFile>(&file);
  if (pipe_file == nullptr) return Errno::kEBADF;
  if (memory.empty()) return size_t{0};
  Pipe& pipe = pipe_file->pipe();
  const bool writes = file.writable();
  auto attempt = [&] { return writes ? pipe.Write(memory, false) : pipe.Read(memory); };
  if ((flags & SPLICE_F_NONBLOCK) != 0 || file.nonblocking()) return attempt();
  return base::BlockUntil<size_t>(pipe.queue, writes ? EPOLLOUT : EPOLLIN, base::kNoDeadline, attempt);
}

Result<size_t> SendFile(vfs::FileDescription& out, vfs::FileDescription& in, int64_t* in_offset, size_t count) {
  if (!in.readable() || !out.writable()) return Errno::kEBADF;
  if ((out.flags() & O_APPEND) != 0) return Errno::kEINVAL;
  if (in_offset != nullptr && *in_offset < 0) return Errno::kEINVAL;
  count = std::min(count, kMaxLength);
  uint64_t position = in_offset != nullptr ? *in_offset : in.offset();
  constexpr size_t kBuffer = 64 * 1024;
  std::unique_ptr<char[]> buffer(new char[std::min(count, kBuffer)]);
  size_t sent = 0;
  Result<void> status;
  while (sent < count && status.ok()) {
    // Taken by position, so what cannot be written is simply read again.
    Result<size_t> got = in.ReadAt(IoVec(buffer.get(), std::min(count - sent, kBuffer)), position, 0);
    if (!got.ok()) {
      status = got.error() == Errno::kESPIPE ? Errno::kEINVAL : got.error();
      break;
    }
    if (*got == 0) break;
    size_t written = 0;
    while (written < *got && status.ok()) {
      auto attempt = [&] { return out.Write(IoVec(buffer.get() + written, *got - written)); };
      Result<size_t> n = MayWait(out) && out.wait_queue() != nullptr
                             ? base::BlockUntil<size_t>(*out.wait_queue(), EPOLLOUT, base::kNoDeadline, attempt)
                             : attempt();
      if (n.ok()) {
        written += *n;
      } else {
        status = n.error();
      }
    }
    sent += written;
    position += written;
  }
  if (in_offset != nullptr) {
    *in_offset = position;
  } else {
    in.set_offset(position);
  }
  if (sent == 0 && !status.ok()) return status.error();
  return sent;
}

}  // namespace pipefs
