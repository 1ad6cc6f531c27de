#include "vfs/fs/epoll/epoll.h"

#include <gtest/gtest.h>
#include <poll.h>

#include "base/event_loop.h"
#include "base/kernel_lock.h"
#include "vfs/fs/anon/eventfd.h"
#include "vfs/fs/pipe/pipe_file.h"
#include "vfs/operations.h"
#include "vfs/poll.h"

namespace epoll {
namespace {

using File = RefPtr<vfs::FileDescription>;

RefPtr<const Credentials> Creds() {
  return RefPtr<const Credentials>(Credentials::Root(MakeRef<base::UserNamespace>(nullptr, 0)));
}
File Event(uint32_t initial = 0) { return anonfs::CreateEvent(initial, 0, Creds()).value(); }
File Epoll() { return CreateEpoll(0, Creds()).value(); }
EpollFile& Of(const File& file) { return *vfs::FileAs<EpollFile>(file.get()); }
void Signal(const File& file, uint64_t value = 1) { ASSERT_TRUE(file->Write(IoVec(&value, 8)).ok()); }
void Drain(const File& file) {
  uint64_t value;
  ASSERT_TRUE(file->Read(IoVec(&value, 8)).ok());
}
Errno Add(const File& epoll, const File& file, uint32_t events, int fd = 3, uint64_t data = 0) {
  return Of(epoll).Control(EPOLL_CTL_ADD, fd, *file, {.events = events, .data = {.u64 = data}}).error();
}
std::vector<std::pair<uint64_t, uint32_t>> Wait(const File& epoll, size_t max = 8) {
  std::vector<epoll_event> out(max);
  out.resize(Of(epoll).Wait(out));
  std::vector<std::pair<uint64_t, uint32_t>> got;
  for (auto& event : out) got.emplace_back(uint64_t{event.data.u64}, uint32_t{event.events});
  return got;
}
using Events = std::vector<std::pair<uint64_t, uint32_t>>;
constexpr Errno kOk{};

TEST(Epoll, LevelTriggered) {
  File epoll = Epoll(), event = Event();
  EXPECT_EQ(Add(epoll, event, EPOLLIN, 3, 42), kOk);
  EXPECT_EQ(Wait(epoll), Events{});
  Signal(event);
  EXPECT_EQ(Wait(epoll), (Events{{42, EPOLLIN}}));
  EXPECT_EQ(Wait(epoll), (Events{{42, EPOLLIN}}));
  Drain(event);
  EXPECT_EQ(Wait(epoll), Events{});
}

TEST(Epoll, EdgeTriggered) {
  File epoll = Epoll(), event = Event(1);
  EXPECT_EQ(Add(epoll, event, EPOLLIN | EPOLLOUT | EPOLLET, 3, 1), kOk);
  EXPECT_EQ(Wait(epoll), (Events{{1, EPOLLIN | EPOLLOUT}}));
  EXPECT_EQ(Wait(epoll), Events{});
  Signal(event);
  EXPECT_EQ(Wait(epoll), (Events{{1, EPOLLIN | EPOLLOUT}}));
}

TEST(Epoll, OneShotIsReArmedByMod) {
  File epoll = Epoll(), event = Event(1);
  EXPECT_EQ(Add(epoll, event, EPOLLIN | EPOLLONESHOT, 3, 1), kOk);
  EXPECT_EQ(Wait(epoll).size(), 1u);
  Signal(event);
  EXPECT_EQ(Wait(epoll), Events{});
  EXPECT_TRUE(Of(epoll).Control(EPOLL_CTL_MOD, 3, *event, {.events = EPOLLIN, .data = {.u64 = 2}}).ok());
  EXPECT_EQ(Wait(epoll), (Events{{2, EPOLLIN}}));
}

TEST(Epoll, FairWhenThereIsMoreThanFits) {
  File epoll = Epoll(), a = Event(1), b = Event(1), c = Event(1);
  Add(epoll, a, EPOLLIN, 3, 1);
  Add(epoll, b, EPOLLIN, 4, 2);
  Add(epoll, c, EPOLLIN, 5, 3);
  EXPECT_EQ(Wait(epoll, 2), (Events{{1, EPOLLIN}, {2, EPOLLIN}}));
  EXPECT_EQ(Wait(epoll, 2), (Events{{3, EPOLLIN}, {1, EPOLLIN}}));
}

TEST(Epoll, ControlErrors) {
  File epoll = Epoll(), event = Event();
  auto control = [&](int op, uint32_t events) {
    return Of(epoll).Control(op, 3, *event, {.events = events, .data = {}}).error();
  };
  EXPECT_EQ(control(EPOLL_CTL_MOD, EPOLLIN), Errno::kENOENT);
  EXPECT_EQ(control(EPOLL_CTL_DEL, 0), Errno::kENOENT);
  EXPECT_EQ(control(EPOLL_CTL_ADD, EPOLLIN), kOk);
  EXPECT_EQ(control(EPOLL_CTL_ADD, EPOLLIN), Errno::kEEXIST);
  EXPECT_EQ(control(99, EPOLLIN), Errno::kEINVAL);
  EXPECT_EQ(control(EPOLL_CTL_MOD, EPOLLIN | EPOLLEXCLUSIVE), Errno::kEINVAL);
  EXPECT_EQ(control(EPOLL_CTL_DEL, 0), kOk);
  EXPECT_EQ(control(EPOLL_CTL_ADD, EPOLLIN | EPOLLEXCLUSIVE | EPOLLONESHOT), Errno::kEINVAL);
  EXPECT_EQ(control(EPOLL_CTL_ADD, EPOLLIN | EPOLLEXCLUSIVE), kOk);
  EXPECT_EQ(control(EPOLL_CTL_MOD, EPOLLIN), Errno::kEINVAL);
  EXPECT_EQ(Add(epoll, epoll, EPOLLIN), Errno::kEINVAL);
  EXPECT_EQ(CreateEpoll(1, Creds()).error(), Errno::kEINVAL);

  class Regular : public vfs::FileDescription {};
  auto regular = MakeRef<Regular>();
  EXPECT_EQ(Add(epoll, regular, EPOLLIN), Errno::kEPERM);
}

TEST(Epoll, ClosedFilesLeave) {
  File epoll = Epoll(), event = Event(1), other = Event(1);
  Add(epoll, event, EPOLLIN, 3, 1);
  Add(epoll, event, EPOLLIN, 4, 2);  // a duplicate descriptor
  Add(epoll, other, EPOLLIN, 5, 3);
  EXPECT_EQ(Wait(epoll).size(), 3u);
  event.reset();
  EXPECT_EQ(Wait(epoll), (Events{{3, EPOLLIN}}));
  epoll.reset();
  Signal(other);
}

TEST(Epoll, Nesting) {
  File inner = Epoll(), outer = Epoll(), event = Event();
  EXPECT_EQ(Add(inner, event, EPOLLIN, 3, 1), kOk);
  EXPECT_EQ(Add(outer, inner, EPOLLIN, 4, 2), kOk);
  EXPECT_EQ(Add(inner, outer, EPOLLIN), Errno::kELOOP);
  EXPECT_EQ(Wait(outer), Events{});
  Signal(event);
  EXPECT_EQ(inner->Readiness(), EventMask{EPOLLIN});
  EXPECT_EQ(Wait(outer), (Events{{2, EPOLLIN}}));
  Drain(event);
  EXPECT_EQ(Wait(outer), Events{});
  EXPECT_EQ(inner->Readiness(), 0u);
}

TEST(Epoll, NestingDepthIsLimited) {
  std::vector<File> chain{Epoll()};
  for (int i = 1; i < kMaxNesting; i++) {
    chain.push_back(Epoll());
    EXPECT_EQ(Add(chain[i], chain[i - 1], EPOLLIN), kOk);
  }
  File top = Epoll();
  EXPECT_EQ(Add(top, chain.back(), EPOLLIN), Errno::kELOOP);
  File bottom = Epoll();
  EXPECT_EQ(Add(chain.front(), bottom, EPOLLIN), Errno::kELOOP);
}

TEST(Epoll, HangUpIsReportedUnasked) {
  File epoll = Epoll();
  pipefs::PipeEnds pipe = pipefs::CreatePipe(0, Creds()).value();
  Add(epoll, pipe.read, 0, 3, 1);
  EXPECT_EQ(Wait(epoll), Events{});
  pipe.write.reset();
  EXPECT_EQ(Wait(epoll), (Events{{1, EPOLLHUP}}));
}

TEST(Epoll, BandsMeanTheSame) {
  File epoll = Epoll(), event = Event();
  Add(epoll, event, EPOLLRDNORM, 3, 1);
  Signal(event);
  EXPECT_EQ(Wait(epoll), (Events{{1, EPOLLRDNORM}}));
}

TEST(Epoll, OneWaiterIsWokenForAnEdge) {
  File epoll = Epoll(), event = Event();
  Add(epoll, event, EPOLLIN | EPOLLET);
  int woken = 0, passes = 0;
  {
    KernelLock::Section section;
    for (int i = 0; i < 3; i++) {
      Fiber::Start([&] {
        epoll_event out[1];
        passes++;
        if (Of(epoll).WaitBlocking(out, base::kNoDeadline).value() == 1) woken++;
      });
    }
  }
  for (int i = 1; i <= 3; i++) {
    KernelLock::Section section;
    Signal(event);
    base::FiberRunner::RunReady();
    EXPECT_EQ(woken, i);
  }
}

TEST(Epoll, ALevelWakesAllWaiters) {
  File epoll = Epoll(), event = Event();
  Add(epoll, event, EPOLLIN);
  int woken = 0;
  {
    KernelLock::Section section;
    for (int i = 0; i < 3; i++) {
      Fiber::Start([&] {
        epoll_event out[1];
        woken += Of(epoll).WaitBlocking(out, base::kNoDeadline).value();
      });
    }
    base::FiberRunner::RunReady();
    Signal(event);
  }
  EXPECT_EQ(woken, 3);
}

TEST(Epoll, ExclusiveTellsOneOfTheWaitingInstances) {
  File idle = Epoll(), first = Epoll(), second = Epoll(), event = Event();
  for (const File& epoll : {idle, first, second}) Add(epoll, event, EPOLLIN | EPOLLET | EPOLLEXCLUSIVE);
  int woken = 0;
  {
    KernelLock::Section section;
    for (const File& epoll : {first, second}) {
      Fiber::Start([&, epoll] {
        epoll_event out[1];
        woken += Of(epoll).WaitBlocking(out, base::kNoDeadline).value();
      });
    }
  }
  {
    KernelLock::Section section;
    Signal(event);
  }
  EXPECT_EQ(woken, 1);  // the idle one did not swallow it
  {
    KernelLock::Section section;
    Signal(event);
  }
  EXPECT_EQ(woken, 2);
}

TEST(Epoll, WaitEndsAtTheDeadlineAndWhenInterrupted) {
  static int64_t now = 1000;
  base::SetClockForTest([] { return now; }, nullptr);
  File epoll = Epoll();
  Result<size_t> timed = Errno::kEIO, interrupted = Errno::kEIO;
  Fiber* fiber;
  {
    KernelLock::Section section;
    Fiber::Start([&] {
      epoll_event out[1];
      timed = Of(epoll).WaitBlocking(out, 2000);
    });
    fiber = Fiber::Start([&] {
      epoll_event out[1];
      interrupted = Of(epoll).WaitBlocking(out, base::kNoDeadline);
    });
  }
  {
    KernelLock::Section section;
    now = 2000;
    base::EventLoop::Get().FireTimers(now);
    fiber->Interrupt();
  }
  EXPECT_EQ(*timed, 0u);
  EXPECT_EQ(interrupted.error(), Errno::kEINTR);
  base::SetClockForTest(nullptr, nullptr);
}

TEST(Poll, BlocksOnSeveralFiles) {
  File a = Event(), b = Event();
  std::vector<vfs::PollEntry> entries{{.file = a, .events = EPOLLIN}, {.file = b, .events = EPOLLIN}, {.ready = POLLNVAL}};
  EXPECT_EQ(*vfs::Poll(entries, 0), 1);
  entries.pop_back();
  EXPECT_EQ(*vfs::Poll(entries, 0), 0);
  Result<int> ready = Errno::kEIO;
  {
    KernelLock::Section section;
    Fiber::Start([&] { ready = vfs::Poll(entries, base::kNoDeadline); });
  }
  EXPECT_FALSE(ready.ok());
  {
    KernelLock::Section section;
    Signal(b);
  }
  EXPECT_EQ(*ready, 1);
  EXPECT_EQ(entries[0].ready, 0u);
  EXPECT_EQ(entries[1].ready, EventMask{EPOLLIN});
}

}  // namespace
}  // namespace epoll
