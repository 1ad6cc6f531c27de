#include "vfs/fs/epoll/epoll.h"

#include <fmt/format.h>

#include <algorithm>

#include "vfs/operations.h"
#include "vfs/poll.h"

namespace epoll {

namespace {

constexpr EventMask kModifiers = EPOLLWAKEUP | EPOLLONESHOT | EPOLLET | EPOLLEXCLUSIVE;
constexpr EventMask kAllowedWithExclusive =
    EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLWAKEUP | EPOLLET | EPOLLEXCLUSIVE;

// A fiber in WaitBlocking. Leaves the queue when told, so that the next event goes to another.
class ExclusiveWaiter : public base::Waiter {
 public:
  ExclusiveWaiter() { exclusive = true; }
  void OnEvent(EventMask) override {
    Remove();
    fiber_->Unpark();
  }

 private:
  Fiber* const fiber_ = Fiber::Current();
};

void EraseOne(std::vector<EpollFile*>& from, EpollFile* file) {
  auto it = std::find(from.begin(), from.end(), file);
  if (it != from.end()) from.erase(it);
}

}  // namespace

struct EpollFile::Item final : base::Waiter, vfs::FileDescription::Hook {
  Item(EpollFile& epoll_file, int descriptor) : epoll(epoll_file), fd(descriptor) {}

  void OnEvent(EventMask) override { epoll.Activate(*this); }
  bool TakesEvent() const override { return !epoll.waiters_.empty(); }
  void OnRelease() override;

  // What is ready now of what was asked for.
  EventMask Ready() const { return vfs::WithBands(target->Readiness()) & event.events & ~kModifiers; }
  bool disabled() const { return (event.events & ~kModifiers) == 0; }  // by EPOLLONESHOT

  EpollFile& epoll;
  const int fd;
  vfs::FileDescription* target = nullptr;  // alive as long as the item is
  EpollFile* nested = nullptr;             // the target, when it is an epoll file
  epoll_event event = {};
  bool is_ready = false;
  Item* next = nullptr;
  Item* previous = nullptr;
};

void EpollFile::Item::OnRelease() { epoll.Remove(*this); }

void EpollFile::ReadyList::Push(Item* item) {
  item->is_ready = true;
  item->next = nullptr;
  item->previous = last;
  (last != nullptr ? last->next : first) = item;
  last = item;
}

void EpollFile::ReadyList::Remove(Item* item) {
  item->is_ready = false;
  (item->previous != nullptr ? item->previous->next : first) = item->next;
  (item->next != nullptr ? item->next->previous : last) = item->previous;
}

EpollFile::~EpollFile() {
  while (!items_.empty()) Remove(*items_.begin()->second);
}

void EpollFile::WakeOne() {
  if (!waiters_.empty()) waiters_.Notify(EPOLLIN);
}

void EpollFile::Activate(Item& item) {
  if (item.disabled()) return;
  if (!item.is_ready) ready_.Push(&item);
  WakeOne();
  if (!pollers_.empty()) pollers_.Notify(EPOLLIN);
}

void EpollFile::Remove(Item& item) {
  if (item.is_ready) ready_.Remove(&item);
  if (item.nested != nullptr) {
    EraseOne(watching_, item.nested);
    EraseOne(item.nested->watched_by_, this);
  }
  items_.erase(Key(item.target, item.fd));
}

int EpollFile::DepthBelow(uint64_t round) const {
  if (visited_in_ == round) return visited_depth_;
  int depth = 0;
  for (const EpollFile* file : watching_) depth = std::max(depth, file->DepthBelow(round));
  visited_in_ = round;
  return visited_depth_ = depth + 1;
}

int EpollFile::DepthAbove(uint64_t round) const {
  if (visited_in_ == round) return visited_depth_;
  int depth = 0;
  for (const EpollFile* file : watched_by_) depth = std::max(depth, file->DepthAbove(round));
  visited_in_ = round;
  return visited_depth_ = depth + 1;
}

bool EpollFile::Reaches(const EpollFile& target, uint64_t round) const {
  if (this == &target) return true;
  if (visited_in_ == round) return false;
  visited_in_ = round;
  return std::any_of(watching_.begin(), watching_.end(),
                     [&](const EpollFile* file) { return file->Reaches(target, round); });
}

Result<void> EpollFile::Control(int operation, int fd, vfs::FileDescription& file, const epoll_event& event) {
  WaitQueue* queue = file.wait_queue();
  if (queue == nullptr) return Errno::kEPERM;
  if (&file == this) return Errno::kEINVAL;
  auto* nested = vfs::FileAs<EpollFile>(&file);
  const bool exclusive = operation != EPOLL_CTL_DEL && (event.events & EPOLLEXCLUSIVE) != 0;
  if (exclusive) {
    if (operation == EPOLL_CTL_MOD || nested != nullptr || (event.events & ~kAllowedWithExclusive) != 0) {
      return Errno::kEINVAL;
    }
  }
  auto it = items_.find(Key(&file, fd));
  switch (operation) {
    case EPOLL_CTL_ADD: {
      if (nested != nullptr) {
        // Each must still be short of the limit, and no file may come to watch itself.
        if (nested->Reaches(*this, ++last_round_)) return Errno::kELOOP;
        const int above = DepthAbove(++last_round_);
        if (above + nested->DepthBelow(++last_round_) > kMaxNesting) return Errno::kELOOP;
      }
      if (it != items_.end()) return Errno::kEEXIST;
      auto owned = std::make_unique<Item>(*this, fd);
      Item& item = *owned;
      item.target = &file;
      item.nested = nested;
      item.event = event;
      item.event.events |= EPOLLERR | EPOLLHUP;
      item.exclusive = exclusive;
      items_.emplace(Key(&file, fd), std::move(owned));
      if (nested != nullptr) {
        watching_.push_back(nested);
        nested->watched_by_.push_back(this);
      }
      item.LinkTo(file);
      queue->Add(item, vfs::WaitMask(event.events & ~kModifiers));
      if (item.Ready() != 0) Activate(item);
      return {};
    }
    case EPOLL_CTL_MOD: {
      if (it == items_.end()) return Errno::kENOENT;
      Item& item = *it->second;
      if ((item.event.events & EPOLLEXCLUSIVE) != 0) return Errno::kEINVAL;
      item.event = event;
      item.event.events |= EPOLLERR | EPOLLHUP;
      item.mask = vfs::WaitMask(event.events & ~kModifiers);
      if (item.Ready() != 0) Activate(item);
      return {};
    }
    case EPOLL_CTL_DEL:
      if (it == items_.end()) return Errno::kENOENT;
      Remove(*it->second);
      return {};
    default:
      return Errno::kEINVAL;
  }
}

size_t EpollFile::Wait(std::span<epoll_event> out) {
  size_t count = 0;
  ReadyList again;  // level-triggered items that stay ready go behind those that this call did not get to
  while (count < out.size() && ready_.first != nullptr) {
    Item* item = ready_.first;
    ready_.Remove(item);
    const EventMask events = item->Ready();
    if (events == 0) continue;
    out[count].events = events;
    out[count].data = item->event.data;
    count++;
    if ((item->event.events & EPOLLONESHOT) != 0) {
      item->event.events &= kModifiers;
    } else if ((item->event.events & EPOLLET) == 0) {
      again.Push(item);
    }
  }
  while (Item* item = again.first) {
    again.Remove(item);
    ready_.Push(item);
  }
  return count;
}

Result<size_t> EpollFile::WaitBlocking(std::span<epoll_event> out, int64_t deadline_ns) {
  size_t count = Wait(out);
  if (count > 0 || deadline_ns <= 0) {
    // A level-triggered item is still there for the next waiter, who was not told of it.
    if (ready_.first != nullptr) WakeOne();
    return count;
  }
  RefPtr<EpollFile> keep(this);
  ExclusiveWaiter waiter;
  base::WakeReason reason = base::WakeReason::kWoken;
  for (;;) {
    waiters_.Add(waiter, EPOLLIN);
    count = Wait(out);
    if (count > 0 || reason != base::WakeReason::kWoken) break;
    reason = Fiber::Block(deadline_ns);
  }
  waiter.Remove();
  if (ready_.first != nullptr) WakeOne();
  if (count == 0 && reason == base::WakeReason::kInterrupted) return Errno::kEINTR;
  return count;
}

EventMask EpollFile::Readiness() {
  while (Item* item = ready_.first) {
    if (item->Ready() != 0) return EPOLLIN;
    ready_.Remove(item);
  }
  return 0;
}

std::string EpollFile::FdInfo() {
  struct Line {
    RefPtr<vfs::FileDescription> file;
    int fd;
    epoll_event event;
  };
  // Stat may drop the kernel lock, and the items may change meanwhile.
  std::vector<Line> lines;
  for (const auto& [key, item] : items_) {
    lines.push_back({RefPtr<vfs::FileDescription>(item->target), item->fd, item->event});
  }
  std::string info;
  for (const Line& line : lines) {
    vfs::Attributes attributes;
    if (Result<vfs::Attributes> stat = line.file->Stat(); stat.ok()) attributes = *stat;
    info += fmt::format("tfd: {:8} events: {:8x} data: {:16x}  pos:{} ino:{:x} sdev:{:x}\n", line.fd,
                        uint32_t{line.event.events}, uint64_t{line.event.data.u64}, line.file->offset(), attributes.ino,
                        attributes.dev);
  }
  return info;
}

Result<RefPtr<vfs::FileDescription>> CreateEpoll(int flags, RefPtr<const Credentials> creds) {
  if ((flags & ~EPOLL_CLOEXEC) != 0) return Errno::kEINVAL;
  auto file = MakeRef<EpollFile>();
  vfs::InitAnonymous(*file, "anon_inode:[eventpoll]", 0600, O_RDWR, std::move(creds));
  return RefPtr<vfs::FileDescription>(std::move(file));
}

}  // namespace epoll
