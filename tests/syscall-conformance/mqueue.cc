// mq_overview(7)
#include <fcntl.h>
#include <mqueue.h>
#include <poll.h>
#include <sys/syscall.h>

#include "util/check.h"
#include "util/child.h"
#include "util/clock.h"
#include "util/fd.h"
#include "util/interrupt.h"
#include "util/memory.h"
#include "util/signals.h"

namespace conformance {
namespace {

struct Mqueue : testing::Test {
  void SetUp() override { ASSERT_OK(queue.get()); }
  ~Mqueue() override { mq_unlink(name.c_str()); }
  int Send(const char* text, unsigned priority = 0) {
    return mq_send(queue, text, strlen(text), priority);
  }
  std::string Receive(unsigned* priority = nullptr) {
    char buffer[32];
    ssize_t n = mq_receive(queue, buffer, sizeof(buffer), priority);
    return n < 0 ? "(error)" : std::string(buffer, n);
  }
  std::string name = "/conformance-" + std::to_string(getpid());
  mq_attr attributes = {.mq_flags = 0, .mq_maxmsg = 3, .mq_msgsize = 32, .mq_curmsgs = 0};
  Fd queue{mq_open(name.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600, &attributes)};
};

TEST_F(Mqueue, HighestPriorityFirstThenOldest) {
  ASSERT_OK(Send("low", 1));
  ASSERT_OK(Send("high", 9));
  ASSERT_OK(Send("later", 9));
  unsigned priority = 0;
  EXPECT_EQ(Receive(&priority), "high");
  EXPECT_EQ(priority, 9u);
  EXPECT_EQ(Receive(), "later");
  EXPECT_EQ(Receive(), "low");
}

TEST_F(Mqueue, AttributesAndNonblock) {
  ASSERT_OK(Send("x"));
  mq_attr now = {};
  ASSERT_OK(mq_getattr(queue, &now));
  EXPECT_EQ(now.mq_maxmsg, 3);
  EXPECT_EQ(now.mq_msgsize, 32);
  EXPECT_EQ(now.mq_curmsgs, 1);
  now.mq_flags = O_NONBLOCK;
  ASSERT_OK(mq_setattr(queue, &now, nullptr));
  ASSERT_OK(Send("y"));
  ASSERT_OK(Send("z"));
  EXPECT_ERRNO(Send("full"), EAGAIN);
  for (int i = 0; i < 3; i++) Receive();
  char buffer[32];
  EXPECT_ERRNO(mq_receive(queue, buffer, sizeof(buffer), nullptr), EAGAIN);
}

TEST_F(Mqueue, BlockedReceiverWakesAndTimesOut) {
  pid_t pid = Fork([&] { return Receive() == "hello" ? 0 : 1; });
  SleepMs(30);
  ASSERT_OK(Send("hello"));
  EXPECT_EXITED(Wait(pid), 0);
  char buffer[32];
  int64_t at = NowNs(CLOCK_REALTIME) + 50'000'000;
  timespec limit = {at / 1'000'000'000, at % 1'000'000'000};
  EXPECT_ERRNO(mq_timedreceive(queue, buffer, sizeof(buffer), nullptr, &limit), ETIMEDOUT);
  ScopedHandler handler(SIGUSR1, +[](int) {});
  EXPECT_ERRNO(Interrupted([&] { return mq_receive(queue, buffer, sizeof(buffer), nullptr); },
                           [&] { Send("late"); }),
               EINTR);
}

TEST_F(Mqueue, PollAndNotify) {
  pollfd event = {queue, POLLIN | POLLOUT, 0};
  EXPECT_EQ(poll(&event, 1, 0), 1);
  EXPECT_EQ(event.revents, POLLOUT);
  ScopedBlock block({SIGUSR1});
  sigevent notification = {};
  notification.sigev_notify = SIGEV_SIGNAL;
  notification.sigev_signo = SIGUSR1;
  notification.sigev_value.sival_int = 77;
  ASSERT_OK(mq_notify(queue, &notification));
  EXPECT_ERRNO(mq_notify(queue, &notification), EBUSY);
  ASSERT_OK(Send("x"));
  sigset_t set = SignalSet({SIGUSR1});
  siginfo_t info = {};
  timespec limit = {2, 0};
  EXPECT_EQ(sigtimedwait(&set, &info, &limit), SIGUSR1);
  EXPECT_EQ(info.si_code, SI_MESGQ);
  EXPECT_EQ(info.si_int, 77);
  EXPECT_EQ(poll(&event, 1, 0), 1);
  EXPECT_EQ(event.revents, POLLIN | POLLOUT);
}

TEST_F(Mqueue, Errors) {
  char buffer[32];
  EXPECT_ERRNO(mq_open(name.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600, nullptr), EEXIST);
  EXPECT_ERRNO(mq_open("/conformance-none", O_RDWR), ENOENT);
  EXPECT_ERRNO(mq_open("/", O_RDWR | O_CREAT, 0600, nullptr), ENOENT);
  EXPECT_ERRNO(mq_receive(queue, buffer, 31, nullptr), EMSGSIZE);
  EXPECT_ERRNO(mq_send(queue, std::string(33, 'x').data(), 33, 0), EMSGSIZE);
  EXPECT_ERRNO(mq_send(queue, "x", 1, 32768), EINVAL);
  EXPECT_ERRNO(mq_unlink("/conformance-none"), ENOENT);
  Fd file(open("/", O_RDONLY));
  EXPECT_ERRNO(mq_send(file, "x", 1, 0), EBADF);
}

}  // namespace
}  // namespace conformance
