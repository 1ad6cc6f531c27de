// epoll(7)
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <atomic>

#include "util/check.h"
#include "util/child.h"
#include "util/clock.h"
#include "util/fd.h"
#include "util/memory.h"
#include "util/signals.h"
#include "util/temp_dir.h"

namespace conformance {
namespace {

struct Epoll : testing::Test {
  Epoll() {
    int ends[2];
    EXPECT_OK(pipe(ends));
    reader.Reset(ends[0]);
    writer.Reset(ends[1]);
  }
  int Control(int op, int fd, uint32_t events, uint64_t data = 0) {
    epoll_event event = {.events = events, .data = {.u64 = data}};
    return epoll_ctl(epoll, op, fd, &event);
  }
  // The number of ready events; the first is in `event`.
  int Poll(int timeout = 0) {
    event = {};
    return epoll_wait(epoll, &event, 1, timeout);
  }
  void Put(const char* text = "x") {
    EXPECT_EQ(write(writer, text, strlen(text)), static_cast<ssize_t>(strlen(text)));
  }
  void Take() {
    char c;
    EXPECT_EQ(read(reader, &c, 1), 1);
  }

  Fd epoll{epoll_create1(0)}, reader, writer;
  epoll_event event;
};

TEST_F(Epoll, LevelTriggeredReportsUntilDrained) {
  ASSERT_OK(Control(EPOLL_CTL_ADD, reader, EPOLLIN, 0x1122334455667788));
  EXPECT_EQ(Poll(), 0);
  Put();
  for (int i = 0; i < 3; i++) {
    EXPECT_EQ(Poll(), 1);
    EXPECT_EQ(event.events, unsigned{EPOLLIN});
    EXPECT_EQ(event.data.u64, 0x1122334455667788u);
  }
  Take();
  EXPECT_EQ(Poll(), 0);
}

TEST_F(Epoll, EdgeTriggeredReportsOncePerArrival) {
  ASSERT_OK(Control(EPOLL_CTL_ADD, reader, EPOLLIN | EPOLLET));
  Put();
  EXPECT_EQ(Poll(), 1);
  EXPECT_EQ(Poll(), 0);
  Put();
  EXPECT_EQ(Poll(), 1) << "more data is a new edge though the old was not read";
  EXPECT_EQ(Poll(), 0);
  Take();
  EXPECT_EQ(Poll(), 0) << "reading is no edge";
}

TEST_F(Epoll, ModifyRearmsAnEdge) {
  ASSERT_OK(Control(EPOLL_CTL_ADD, reader, EPOLLIN | EPOLLET));
  Put();
  EXPECT_EQ(Poll(), 1);
  EXPECT_EQ(Poll(), 0);
  ASSERT_OK(Control(EPOLL_CTL_MOD, reader, EPOLLIN | EPOLLET));
  EXPECT_EQ(Poll(), 1);
}

TEST_F(Epoll, OneshotIsDisabledAfterAnEvent) {
  ASSERT_OK(Control(EPOLL_CTL_ADD, reader, EPOLLIN | EPOLLONESHOT));
  Put();
  EXPECT_EQ(Poll(), 1);
  Put();
  EXPECT_EQ(Poll(), 0);
  ASSERT_OK(Control(EPOLL_CTL_MOD, reader, EPOLLIN | EPOLLONESHOT));
  EXPECT_EQ(Poll(), 1);
}

TEST_F(Epoll, AlreadyReadyIsReportedOnAdd) {
  Put();
  ASSERT_OK(Control(EPOLL_CTL_ADD, reader, EPOLLIN | EPOLLET));
  EXPECT_EQ(Poll(), 1);
}

TEST_F(Epoll, HangupIsReportedUnasked) {
  ASSERT_OK(Control(EPOLL_CTL_ADD, reader, 0));
  writer.Reset();
  EXPECT_EQ(Poll(), 1);
  EXPECT_EQ(event.events, unsigned{EPOLLHUP});
}

TEST_F(Epoll, WriterSeesErrorWithoutReader) {
  ASSERT_OK(Control(EPOLL_CTL_ADD, writer, EPOLLOUT));
  EXPECT_EQ(Poll(), 1);
  EXPECT_EQ(event.events, unsigned{EPOLLOUT});
  reader.Reset();
  EXPECT_EQ(Poll(), 1);
  EXPECT_EQ(event.events, unsigned{EPOLLOUT | EPOLLERR});
}

TEST_F(Epoll, ControlErrors) {
  TempDir dir;
  Fd file(open(dir.File("f").c_str(), O_RDONLY));
  EXPECT_ERRNO(Control(EPOLL_CTL_ADD, file, EPOLLIN), EPERM);
  EXPECT_ERRNO(Control(EPOLL_CTL_ADD, -1, EPOLLIN), EBADF);
  EXPECT_ERRNO(Control(EPOLL_CTL_ADD, epoll, EPOLLIN), EINVAL);
  EXPECT_ERRNO(Control(EPOLL_CTL_MOD, reader, EPOLLIN), ENOENT);
  EXPECT_ERRNO(Control(EPOLL_CTL_DEL, reader, EPOLLIN), ENOENT);
  ASSERT_OK(Control(EPOLL_CTL_ADD, reader, EPOLLIN));
  EXPECT_ERRNO(Control(EPOLL_CTL_ADD, reader, EPOLLIN), EEXIST);
  EXPECT_ERRNO(Control(99, reader, EPOLLIN), EINVAL);
  epoll_event unused = {};
  EXPECT_ERRNO(epoll_ctl(reader, EPOLL_CTL_ADD, writer, &unused), EINVAL);
  EXPECT_ERRNO(epoll_ctl(epoll, EPOLL_CTL_ADD, writer, BadPointer<epoll_event>()), EFAULT);
  EXPECT_OK(epoll_ctl(epoll, EPOLL_CTL_DEL, reader, nullptr));
}

TEST_F(Epoll, WaitErrors) {
  EXPECT_ERRNO(epoll_wait(epoll, &event, 0, 0), EINVAL);
  EXPECT_ERRNO(syscall(SYS_epoll_wait, epoll.get(), &event, -1, 0), EINVAL);
  EXPECT_ERRNO(epoll_wait(reader, &event, 1, 0), EINVAL);
  EXPECT_ERRNO(epoll_wait(-1, &event, 1, 0), EBADF);
  ASSERT_OK(Control(EPOLL_CTL_ADD, reader, EPOLLIN));
  Put();
  EXPECT_ERRNO(epoll_wait(epoll, BadPointer<epoll_event>(), 1, 0), EFAULT);
  EXPECT_ERRNO(syscall(SYS_epoll_create, 0), EINVAL);
  EXPECT_ERRNO(epoll_create1(1), EINVAL);
  Fd cloexec(epoll_create1(EPOLL_CLOEXEC));
  EXPECT_EQ(fcntl(cloexec, F_GETFD), FD_CLOEXEC);
}

TEST_F(Epoll, TimeoutIsKept) {
  ASSERT_OK(Control(EPOLL_CTL_ADD, reader, EPOLLIN));
  int64_t start = NowMs();
  EXPECT_EQ(Poll(60), 0);
  EXPECT_GE(NowMs() - start, 59);
}

TEST_F(Epoll, BlockedWaitWakesOnEvent) {
  ASSERT_OK(Control(EPOLL_CTL_ADD, reader, EPOLLIN));
  std::thread other([this] {
    SleepMs(50);
    Put();
  });
  EXPECT_EQ(Poll(5000), 1);
  other.join();
}

TEST_F(Epoll, BlockedWaitSeesADescriptorAddedLater) {
  std::thread other([this] {
    SleepMs(50);
    Put();
    EXPECT_OK(Control(EPOLL_CTL_ADD, reader, EPOLLIN));
  });
  EXPECT_EQ(Poll(5000), 1);
  other.join();
}

TEST_F(Epoll, RoundRobinWhenMaxEventsIsSmall) {
  Fd events[3];
  for (uint64_t i = 0; i < 3; i++) {
    events[i].Reset(eventfd(1, 0));
    ASSERT_OK(Control(EPOLL_CTL_ADD, events[i], EPOLLIN, i));
  }
  uint64_t seen = 0;
  for (int i = 0; i < 3; i++) {
    EXPECT_EQ(Poll(), 1);
    seen |= 1 << event.data.u64;
  }
  EXPECT_EQ(seen, 7u);
}

TEST_F(Epoll, ClosingTheDescriptorRemovesIt) {
  ASSERT_OK(Control(EPOLL_CTL_ADD, reader, EPOLLIN));
  Put();
  reader.Reset();
  EXPECT_EQ(Poll(), 0);
}

TEST_F(Epoll, DuplicateKeepsTheRegistrationAlive) {
  ASSERT_OK(Control(EPOLL_CTL_ADD, reader, EPOLLIN, 5));
  Fd copy(dup(reader));
  Put();
  reader.Reset();
  EXPECT_EQ(Poll(), 1);
  EXPECT_EQ(event.data.u64, 5u);
}

TEST_F(Epoll, DuplicateCanBeRegisteredToo) {
  Fd copy(dup(reader));
  ASSERT_OK(Control(EPOLL_CTL_ADD, reader, EPOLLIN, 1));
  ASSERT_OK(Control(EPOLL_CTL_ADD, copy, EPOLLIN, 2));
  Put();
  epoll_event events[4];
  EXPECT_EQ(epoll_wait(epoll, events, 4, 0), 2);
}

TEST_F(Epoll, NestedIsReadableWhenInnerHasEvents) {
  Fd outer(epoll_create1(0));
  epoll_event in = {.events = EPOLLIN, .data = {.u64 = 9}};
  ASSERT_OK(epoll_ctl(outer, EPOLL_CTL_ADD, epoll, &in));
  ASSERT_OK(Control(EPOLL_CTL_ADD, reader, EPOLLIN));
  epoll_event out = {};
  EXPECT_EQ(epoll_wait(outer, &out, 1, 0), 0);
  Put();
  EXPECT_EQ(epoll_wait(outer, &out, 1, 1000), 1);
  EXPECT_EQ(out.data.u64, 9u);
  // A cycle is refused.
  EXPECT_ERRNO(Control(EPOLL_CTL_ADD, outer, EPOLLIN), ELOOP);
}

TEST_F(Epoll, PwaitSwapsTheSignalMask) {
  static std::atomic<int> count;
  count = 0;
  ScopedHandler handler(SIGUSR1, +[](int) { count++; });
  ScopedBlock block({SIGUSR1});
  raise(SIGUSR1);
  EXPECT_EQ(Poll(), 0);
  EXPECT_EQ(count, 0);
  sigset_t empty;
  sigemptyset(&empty);
  EXPECT_ERRNO(epoll_pwait(epoll, &event, 1, 5000, &empty), EINTR);
  EXPECT_EQ(count, 1);
}

TEST_F(Epoll, Pwait2HasNanoseconds) {
  timespec timeout = {0, 30'000'000};
  int64_t start = NowMs();
  EXPECT_EQ(syscall(SYS_epoll_pwait2, epoll.get(), &event, 1, &timeout, nullptr, 8), 0);
  EXPECT_GE(NowMs() - start, 29);
  timeout = {0, -1};
  EXPECT_ERRNO(syscall(SYS_epoll_pwait2, epoll.get(), &event, 1, &timeout, nullptr, 8), EINVAL);
}

TEST_F(Epoll, SocketRdhupAndOut) {
  int ends[2];
  ASSERT_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
  Fd a(ends[0]), b(ends[1]);
  ASSERT_OK(Control(EPOLL_CTL_ADD, a, EPOLLIN | EPOLLOUT | EPOLLRDHUP));
  EXPECT_EQ(Poll(), 1);
  EXPECT_EQ(event.events, unsigned{EPOLLOUT});
  ASSERT_OK(shutdown(b, SHUT_WR));
  EXPECT_EQ(Poll(), 1);
  EXPECT_EQ(event.events, unsigned{EPOLLIN | EPOLLOUT | EPOLLRDHUP});
  b.Reset();
  EXPECT_EQ(Poll(), 1);
  EXPECT_EQ(event.events, unsigned{EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLHUP});
}

TEST_F(Epoll, ExclusiveWakesAtLeastOne) {
  std::atomic<int> woken = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; i++) {
    threads.emplace_back([&] {
      Fd own(epoll_create1(0));
      epoll_event in = {.events = EPOLLIN | EPOLLEXCLUSIVE, .data = {.u64 = 0}};
      EXPECT_OK(epoll_ctl(own, EPOLL_CTL_ADD, reader, &in));
      EXPECT_ERRNO(epoll_ctl(own, EPOLL_CTL_MOD, reader, &in), EINVAL);
      epoll_event out;
      if (epoll_wait(own, &out, 1, 300) == 1) woken++;
    });
  }
  SleepMs(100);
  Put();
  for (auto& thread : threads) thread.join();
  EXPECT_GE(woken, 1);
}

}  // namespace
}  // namespace conformance
