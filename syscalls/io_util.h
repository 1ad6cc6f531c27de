#pragma once

// What the I/O calls share: blocking on a description that is not ready, vectors of buffers, limits.

#include <limits.h>
#include <sys/uio.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "base/wait_queue.h"
#include "sentry/kernel/task.h"
#include "vfs/file_description.h"
#include "vfs/socket.h"

namespace syscalls {

using kernel::Task;

// read(2): at most this much in one call.
inline constexpr size_t kMaxTransfer = 0x7ffff000;

using UserRanges = std::vector<std::pair<UserAddress, size_t>>;

// An iovec array. EINVAL for a negative or overflowing length or too many entries; EFAULT. Cut to kMaxTransfer in all.
Result<UserRanges> ReadIovecs(Task& task, UserAddress iov, uint64_t count);
size_t TotalSize(const UserRanges& ranges);
// What is left behind the first `done` bytes.
UserRanges Skip(const UserRanges& ranges, size_t done);

// Repeats `attempt` while it fails with EAGAIN, waiting for `mask` in between, unless the description is non-blocking.
template <class Attempt>
Result<size_t> WhileNotReady(vfs::FileDescription& file, EventMask mask, Attempt attempt) {
  WaitQueue* queue = file.nonblocking() ? nullptr : file.wait_queue();
  if (queue == nullptr) return attempt();
  // socket(7), SO_RCVTIMEO and SO_SNDTIMEO.
  int64_t timeout = 0;
  if (vfs::Socket* socket = file.AsSocket()) timeout = mask == EPOLLIN ? socket->receive_timeout() : socket->send_timeout();
  int64_t deadline = timeout == 0 ? base::kNoDeadline : base::MonotonicNow() + timeout;
  Result<size_t> result = base::BlockUntil<size_t>(*queue, mask, deadline, attempt);
  if (!result.ok() && result.error() == Errno::kERESTARTSYS && timeout != 0) return Errno::kEINTR;
  return result;
}

// One read or write call over `ranges` at the file position (offset < 0) or at `offset`. Writes of streams go on until all
// is written. SIGPIPE and SIGXFSZ are sent here.
Result<uint64_t> ReadFile(Task& task, vfs::FileDescription& file, const UserRanges& ranges, int64_t offset, int rwf_flags);
Result<uint64_t> WriteFile(Task& task, vfs::FileDescription& file, const UserRanges& ranges, int64_t offset, int rwf_flags);

// Gives both files numbers and writes them to `out` as an int[2]; on an error neither keeps one. EMFILE, EFAULT.
Result<void> InstallPair(Task& task, RefPtr<vfs::FileDescription> first, RefPtr<vfs::FileDescription> second, bool cloexec,
                         UserAddress out);

}  // namespace syscalls
