// poll(2), select(2), epoll_create(2), epoll_ctl(2), epoll_wait(2).

#include <poll.h>
#include <sys/select.h>

#include "sentry/kernel/kernel.h"
#include "syscalls/handlers.h"
#include "syscalls/time_util.h"
#include "vfs/fs/epoll/epoll.h"
#include "vfs/poll.h"

namespace syscalls {

namespace {

constexpr EventMask kAlways = POLLERR | POLLHUP | POLLNVAL;

// Fills in `revents`. Returns how many entries have some.
Result<uint64_t> DoPoll(Task& task, UserAddress fds_address, uint32_t count, int64_t deadline) {
  if (count > task.thread_group().Limit(RLIMIT_NOFILE)) return Errno::kEINVAL;
  std::vector<pollfd> fds(count);
  TRY(task.mm().CopyIn(fds.data(), fds_address, count * sizeof(pollfd)));
  std::vector<vfs::PollEntry> entries(count);
  bool invalid = false;
  for (uint32_t i = 0; i < count; i++) {
    if (fds[i].fd < 0) continue;
    Result<RefPtr<vfs::FileDescription>> file = task.GetIoFile(fds[i].fd);
    if (!file.ok()) {
      entries[i].ready = POLLNVAL;
      invalid = true;
      continue;
    }
    entries[i].file = std::move(file).value();
    entries[i].events = static_cast<uint16_t>(fds[i].events);
  }
  TRY(vfs::Poll(entries, invalid ? 0 : deadline));
  uint64_t ready = 0;
  for (uint32_t i = 0; i < count; i++) {
    fds[i].revents = static_cast<short>(entries[i].ready & (static_cast<uint16_t>(fds[i].events) | kAlways));
    ready += fds[i].revents != 0;
    TRY(task.mm().Write<short>(fds_address + i * sizeof(pollfd) + offsetof(pollfd, revents), fds[i].revents));
  }
  return ready;
}

// The mask that ppoll and the like put in place while they wait. PrepareReturn restores the old one.
Result<void> ApplyTemporaryMask(Task& task, UserAddress set, size_t size) {
  if (set == 0) return {};
  task.SetTemporaryMask(TRY(ReadSignalSet(task, set, size)));
  return {};
}

}  // namespace

Result<uint64_t> SysPoll(Task& task, UserAddress fds, uint32_t count, int timeout) {
  int64_t deadline = timeout < 0 ? base::kNoDeadline : timeout == 0 ? 0 : DeadlineIn(timeout * int64_t{1'000'000});
  Result<uint64_t> result = DoPoll(task, fds, count, deadline);
  if (result.ok() || result.error() != Errno::kERESTARTNOHAND) return result;
  task.restart_block = [=](Task& t) -> Result<uint64_t> { return DoPoll(t, fds, count, deadline); };
  return Errno::kERESTART_RESTARTBLOCK;
}

Result<uint64_t> SysPpoll(Task& task, UserAddress fds, uint32_t count, InOutArg<timespec> timeout, UserAddress set, size_t size) {
  int64_t deadline = base::kNoDeadline;
  if (!timeout.null()) deadline = TRY(RelativeDeadline(TRY(timeout.Read(task))));
  TRY(ApplyTemporaryMask(task, set, size));
  Result<uint64_t> result = DoPoll(task, fds, count, deadline);
  if (!timeout.null()) {
    int64_t left = std::max<int64_t>(deadline - base::MonotonicNow(), 0);
    (void)timeout.Write(task, ToTimespec(left)).ok();  // Linux ignores a read-only structure
  }
  return result;
}

namespace {

Result<uint64_t> DoSelect(Task& task, int n, UserAddress sets[3], int64_t deadline) {
  if (n < 0) return Errno::kEINVAL;
  constexpr EventMask kIn = EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR, kOut = EPOLLOUT | EPOLLERR, kExceptional = EPOLLPRI;
  constexpr EventMask kMeaning[3] = {kIn, kOut, kExceptional};
  // Numbers beyond the table are ignored, as Linux does.
  size_t count = std::min(static_cast<size_t>(n), std::max(task.fds()->size(), size_t{1}));
  size_t bytes = (static_cast<size_t>(n) + 63) / 64 * 8, used = (count + 63) / 64 * 8;
  std::vector<uint64_t> in[3], out[3];
  for (int s = 0; s < 3; s++) {
    in[s].resize(used / 8);
    out[s].resize(used / 8);
    if (sets[s] != 0) TRY(task.mm().CopyIn(in[s].data(), sets[s], std::min(used, bytes)));
  }
  std::vector<vfs::PollEntry> entries;
  std::vector<int> numbers;
  for (int fd = 0; fd < n && static_cast<size_t>(fd) < used * 8; fd++) {
    EventMask events = 0;
    for (int s = 0; s < 3; s++) {
      if ((in[s][static_cast<size_t>(fd) / 64] >> (fd % 64) & 1) != 0) events |= kMeaning[s];
    }
    if (events == 0) continue;
    entries.push_back({.file = TRY(task.GetIoFile(fd)), .events = events});
    numbers.push_back(fd);
  }
  Result<int> polled = vfs::Poll(entries, deadline);
  if (!polled.ok()) return polled.error();
  uint64_t ready = 0;
  for (size_t i = 0; i < entries.size(); i++) {
    size_t fd = static_cast<size_t>(numbers[i]);
    for (int s = 0; s < 3; s++) {
      if ((in[s][fd / 64] >> (fd % 64) & 1) == 0 || (entries[i].ready & kMeaning[s]) == 0) continue;
      // EPOLLRDHUP alone is no reason to be readable unless asked for: files that set it also set EPOLLIN.
      out[s][fd / 64] |= uint64_t{1} << (fd % 64);
      ready++;
    }
  }
  for (int s = 0; s < 3; s++) {
    if (sets[s] != 0) TRY(task.mm().CopyOut(sets[s], out[s].data(), std::min(used, bytes)));
  }
  return ready;
}

}  // namespace

Result<uint64_t> SysSelect(Task& task, int n, UserAddress in, UserAddress out, UserAddress exceptional, InOutArg<timeval> timeout) {
  int64_t deadline = base::kNoDeadline;
  if (!timeout.null()) {
    timeval tv = TRY(timeout.Read(task));
    // select(2) of Linux normalises microseconds instead of refusing them.
    if (tv.tv_sec < 0 || tv.tv_usec < 0) return Errno::kEINVAL;
    tv.tv_sec += tv.tv_usec / 1'000'000;
    tv.tv_usec %= 1'000'000;
    deadline = DeadlineIn(TRY(ToNs(tv)));
  }
  UserAddress sets[3] = {in, out, exceptional};
  Result<uint64_t> result = DoSelect(task, n, sets, deadline);
  if (!timeout.null()) (void)timeout.Write(task, ToTimeval(std::max<int64_t>(deadline - base::MonotonicNow(), 0))).ok();
  return result;
}

Result<uint64_t> SysPselect6(Task& task, int n, UserAddress in, UserAddress out, UserAddress exceptional, InOutArg<timespec> timeout, UserAddress mask) {
  int64_t deadline = base::kNoDeadline;
  if (!timeout.null()) deadline = TRY(RelativeDeadline(TRY(timeout.Read(task))));
  if (mask != 0) {
    struct SetAndSize {
      uint64_t set, size;
    };
    SetAndSize given = TRY(task.mm().Read<SetAndSize>(mask));
    TRY(ApplyTemporaryMask(task, given.set, given.size));
  }
  UserAddress sets[3] = {in, out, exceptional};
  Result<uint64_t> result = DoSelect(task, n, sets, deadline);
  if (!timeout.null()) (void)timeout.Write(task, ToTimespec(std::max<int64_t>(deadline - base::MonotonicNow(), 0))).ok();
  return result;
}

// --- epoll ---

Result<uint64_t> SysEpollCreate1(Task& task, FlagsArg flags) {
  if ((flags.value & ~uint64_t{EPOLL_CLOEXEC}) != 0) return Errno::kEINVAL;
  return static_cast<uint64_t>(TRY(task.InstallFd(TRY(epoll::CreateEpoll(flags, task.creds())), flags != 0)));
}
Result<uint64_t> SysEpollCreate(Task& task, int size) {
  if (size <= 0) return Errno::kEINVAL;
  return SysEpollCreate1(task, {0});
}

Result<uint64_t> SysEpollCtl(Task& task, FdArg epfd, int operation, FdArg fd, InArg<epoll_event> event) {
  epoll_event given = {};
  if (operation != EPOLL_CTL_DEL) given = TRY(event.Read(task));
  RefPtr<vfs::FileDescription> file = TRY(task.GetIoFile(epfd));
  RefPtr<vfs::FileDescription> target = TRY(task.GetIoFile(fd));
  auto* instance = vfs::FileAs<epoll::EpollFile>(file.get());
  if (target->wait_queue() == nullptr) return Errno::kEPERM;
  if (instance == nullptr || instance == target.get()) return Errno::kEINVAL;
  TRY(instance->Control(operation, fd, *target, given));
  return 0;
}

namespace {

Result<uint64_t> EpollWait(Task& task, int epfd, UserAddress events, int max, int64_t deadline) {
  if (max <= 0 || static_cast<size_t>(max) > INT_MAX / sizeof(epoll_event)) return Errno::kEINVAL;
  RefPtr<vfs::FileDescription> file = TRY(task.GetIoFile(epfd));
  auto* instance = vfs::FileAs<epoll::EpollFile>(file.get());
  if (instance == nullptr) return Errno::kEINVAL;
  epoll_event few[16];
  std::vector<epoll_event> many;
  std::span<epoll_event> out(few, static_cast<size_t>(std::min(max, 16)));
  if (max > 16) {
    many.resize(static_cast<size_t>(std::min(max, 4096)));
    out = many;
  }
  size_t n = TRY(instance->WaitBlocking(out, deadline));
  TRY(task.mm().CopyOut(events, out.data(), n * sizeof(epoll_event)));
  return n;
}

}  // namespace

Result<uint64_t> SysEpollWait(Task& task, FdArg epfd, UserAddress events, int max, int timeout) {
  int64_t deadline = timeout < 0 ? base::kNoDeadline : timeout == 0 ? 0 : DeadlineIn(timeout * int64_t{1'000'000});
  Result<uint64_t> result = EpollWait(task, epfd, events, max, deadline);
  // epoll_wait(2) is never restarted: signal(7).
  if (!result.ok() && result.error() == Errno::kERESTARTSYS) return Errno::kEINTR;
  return result;
}

Result<uint64_t> SysEpollPwait(Task& task, FdArg epfd, UserAddress events, int max, int timeout, UserAddress set, size_t size) {
  TRY(ApplyTemporaryMask(task, set, size));
  return SysEpollWait(task, epfd, events, max, timeout);
}

Result<uint64_t> SysEpollPwait2(Task& task, FdArg epfd, UserAddress events, int max, InArg<timespec> timeout, UserAddress set, size_t size) {
  int64_t deadline = base::kNoDeadline;
  if (!timeout.null()) deadline = TRY(RelativeDeadline(TRY(timeout.Read(task))));
  TRY(ApplyTemporaryMask(task, set, size));
  Result<uint64_t> result = EpollWait(task, epfd, events, max, deadline);
  if (!result.ok() && result.error() == Errno::kERESTARTSYS) return Errno::kEINTR;
  return result;
}

}  // namespace syscalls
