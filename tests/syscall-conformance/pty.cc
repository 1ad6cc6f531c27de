// pty(7), tty_ioctl(4), job control
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>

#include "util/check.h"
#include "util/child.h"
#include "util/clock.h"
#include "util/fd.h"
#include "util/memory.h"
#include "util/signals.h"

namespace conformance {
namespace {

#define EXPECT_READ(fd, wanted) EXPECT_EQ(Read(fd, wanted), wanted)

struct Pty : testing::Test {
  void SetUp() override {
    master.Reset(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
    ASSERT_OK(master.get());
    ASSERT_OK(unlockpt(master));
    ASSERT_OK(ioctl(master, TIOCGPTN, &number));
    name = "/dev/pts/" + std::to_string(number);
    slave.Reset(open(name.c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC));
    ASSERT_OK(slave.get());
  }
  static std::string Read(int fd) {
    pollfd event = {fd, POLLIN, 0};
    if (poll(&event, 1, 2000) != 1) return "(timeout)";
    char buffer[256];
    ssize_t n = read(fd, buffer, sizeof(buffer));
    return n < 0 ? "(error)" : std::string(buffer, n);
  }
  // What arrives until it is as long as `wanted`: the terminal may pass a text on in parts.
  static std::string Read(int fd, std::string_view wanted) {
    std::string got = Read(fd);
    while (!got.empty() && got.size() < wanted.size() && wanted.starts_with(got)) got += Read(fd);
    return got;
  }
  static void Write(int fd, std::string_view text) {
    EXPECT_EQ(write(fd, text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  void SetFlags(tcflag_t local, tcflag_t output, tcflag_t input) {
    termios t;
    ASSERT_OK(tcgetattr(slave, &t));
    t.c_lflag = local;
    t.c_oflag = output;
    t.c_iflag = input;
    ASSERT_OK(tcsetattr(slave, TCSANOW, &t));
  }
  Fd master, slave;
  unsigned number = 0;
  std::string name;
};

TEST_F(Pty, CanonicalModeGivesLinesAndEchoes) {
  Write(master, "hel");
  pollfd event = {slave, POLLIN, 0};
  EXPECT_EQ(poll(&event, 1, 20), 0) << "no line yet";
  Write(master, "lo\n");
  EXPECT_READ(slave, "hello\n");
  EXPECT_READ(master, "hello\r\n") << "echo, with the newline translated";
}

TEST_F(Pty, EraseAndKillEditTheLine) {
  Write(master, "abx\x7f" "c\n");
  EXPECT_READ(slave, "abc\n");
  Write(master, "wrong\x15right\n");
  EXPECT_READ(slave, "right\n");
}

TEST_F(Pty, EofCharacterEndsARead) {
  Write(master, "abc\x04");
  EXPECT_READ(slave, "abc");
  Write(master, "\x04");
  EXPECT_READ(slave, "");
}

TEST_F(Pty, OutputNewlineBecomesCrlf) {
  Write(slave, "a\nb");
  EXPECT_READ(master, "a\r\nb");
  SetFlags(0, 0, 0);
  Write(slave, "a\nb");
  EXPECT_READ(master, "a\nb");
}

TEST_F(Pty, RawModePassesBytesAtOnce) {
  SetFlags(0, 0, 0);
  Write(master, "x");
  EXPECT_READ(slave, "x");
  Write(master, "\x03\x04\r");
  EXPECT_READ(slave, "\x03\x04\r");
}

TEST_F(Pty, CarriageReturnIsTranslatedByIcrnl) {
  Write(master, "line\r");
  EXPECT_READ(slave, "line\n");
}

TEST_F(Pty, DefaultTermios) {
  termios t;
  ASSERT_OK(tcgetattr(slave, &t));
  EXPECT_EQ(t.c_lflag & (ICANON | ECHO | ISIG), unsigned{ICANON | ECHO | ISIG});
  EXPECT_EQ(t.c_oflag & (OPOST | ONLCR), unsigned{OPOST | ONLCR});
  EXPECT_EQ(t.c_iflag & ICRNL, unsigned{ICRNL});
  EXPECT_EQ(t.c_cc[VINTR], 3);
  EXPECT_EQ(t.c_cc[VEOF], 4);
  EXPECT_EQ(t.c_cc[VERASE], 0x7f);
  EXPECT_EQ(cfgetospeed(&t), speed_t{B38400});
}

TEST_F(Pty, WindowSizeIsSharedAndSignalled) {
  winsize size = {24, 80, 0, 0}, got = {};
  ASSERT_OK(ioctl(master, TIOCSWINSZ, &size));
  ASSERT_OK(ioctl(slave, TIOCGWINSZ, &got));
  EXPECT_EQ(got.ws_row, 24);
  EXPECT_EQ(got.ws_col, 80);
  EXPECT_ERRNO(ioctl(slave, TIOCGWINSZ, BadPointer()), EFAULT);
}

TEST_F(Pty, ClosedMasterHangsUpTheSlave) {
  master.Reset();
  char c;
  EXPECT_EQ(read(slave, &c, 1), 0);
  EXPECT_ERRNO(write(slave, "x", 1), EIO);
  pollfd event = {slave, POLLIN | POLLOUT, 0};
  EXPECT_EQ(poll(&event, 1, 0), 1);
  EXPECT_TRUE(event.revents & POLLHUP);
}

TEST_F(Pty, MasterReadAfterLastSlaveCloseIsEio) {
  Write(slave, "last");
  slave.Reset();
  EXPECT_READ(master, "last");
  char c;
  EXPECT_ERRNO(read(master, &c, 1), EIO);
}

TEST_F(Pty, SlaveIsATtyWithADeviceNumber) {
  EXPECT_TRUE(isatty(slave));
  struct stat st;
  ASSERT_OK(stat(name.c_str(), &st));
  EXPECT_TRUE(S_ISCHR(st.st_mode));
  EXPECT_EQ(st.st_rdev, (136u << 8) + number);
  char path[64];
  ASSERT_EQ(ttyname_r(slave, path, sizeof(path)), 0);
  EXPECT_EQ(path, name);
}

TEST_F(Pty, LockedSlaveCannotBeOpened) {
  Fd other(posix_openpt(O_RDWR | O_NOCTTY));
  unsigned n;
  ASSERT_OK(ioctl(other, TIOCGPTN, &n));
  EXPECT_ERRNO(open(("/dev/pts/" + std::to_string(n)).c_str(), O_RDWR | O_NOCTTY), EIO);
}

TEST_F(Pty, PacketModePrefixesAByte) {
  int on = 1;
  ASSERT_OK(ioctl(master, TIOCPKT, &on));
  Write(slave, "x");
  EXPECT_READ(master, std::string("\0x", 2));
}

TEST_F(Pty, FlushDiscardsInput) {
  Write(master, "gone\n");
  SleepMs(10);
  ASSERT_OK(tcflush(slave, TCIFLUSH));
  Write(master, "kept\n");
  EXPECT_READ(slave, "kept\n");
}

TEST_F(Pty, VminVtimeTimesOut) {
  termios t;
  ASSERT_OK(tcgetattr(slave, &t));
  t.c_lflag = 0;
  t.c_cc[VMIN] = 0;
  t.c_cc[VTIME] = 1;
  ASSERT_OK(tcsetattr(slave, TCSANOW, &t));
  int64_t start = NowMs();
  char c;
  EXPECT_EQ(read(slave, &c, 1), 0);
  EXPECT_GE(NowMs() - start, 80);
}

// The child becomes a session leader with the slave as its controlling terminal.
struct JobControl : Pty {
  pid_t Leader(const std::function<int()>& body) {
    return Fork([&] {
      CHILD_CHECK(setsid() > 0);
      CHILD_CHECK(ioctl(slave, TIOCSCTTY, 0) == 0);
      master.Reset();
      return body();
    });
  }
};

TEST_F(JobControl, ControlCInterruptsTheForegroundGroup) {
  pid_t pid = Leader([&] {
    Write(slave, "r");
    for (;;) pause();
    return 0;
  });
  EXPECT_READ(master, "r");
  Write(master, "\x03");
  EXPECT_KILLED(Wait(pid), SIGINT);
}

TEST_F(JobControl, ControlZStopsAndBackslashQuits) {
  pid_t pid = Leader([&] {
    // A child in a group of its own that is not orphaned, so that SIGTSTP works.
    pid_t job = Fork([&] {
      setpgid(0, 0);
      signal(SIGTTOU, SIG_IGN);
      CHILD_CHECK(tcsetpgrp(slave, getpid()) == 0);
      Write(slave, "r");
      for (;;) pause();
      return 0;
    });
    int status;
    CHILD_CHECK(waitpid(job, &status, WUNTRACED) == job && WIFSTOPPED(status));
    CHILD_CHECK(WSTOPSIG(status) == SIGTSTP);
    CHILD_CHECK(kill(job, SIGCONT) == 0);
    Write(slave, "c");
    CHILD_CHECK(waitpid(job, &status, 0) == job && WIFSIGNALED(status));
    return WTERMSIG(status) == SIGQUIT ? 0 : 1;
  });
  EXPECT_READ(master, "r");
  Write(master, "\x1a");
  std::string echo = Read(master);
  if (echo.find('c') == std::string::npos) echo += Read(master);
  EXPECT_NE(echo.find('c'), std::string::npos) << echo;
  Write(master, "\x1c");
  EXPECT_EXITED(Wait(pid), 0);
}

TEST_F(JobControl, BackgroundReadStopsWithSigttin) {
  pid_t pid = Leader([&] {
    pid_t job = Fork([&] {
      setpgid(0, 0);
      char c;
      return static_cast<int>(read(slave, &c, 1));
    });
    int status;
    CHILD_CHECK(waitpid(job, &status, WUNTRACED) == job);
    CHILD_CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTTIN);
    kill(job, SIGKILL);
    waitpid(job, &status, 0);
    return 0;
  });
  EXPECT_EXITED(Wait(pid), 0);
}

TEST_F(JobControl, BackgroundReadWithSigttinIgnoredIsEio) {
  pid_t pid = Leader([&] {
    int status = RunChild([&] {
      setpgid(0, 0);
      signal(SIGTTIN, SIG_IGN);
      char c;
      CHILD_ERRNO(read(slave, &c, 1), EIO);
      return 0;
    });
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
  });
  EXPECT_EXITED(Wait(pid), 0);
}

TEST_F(JobControl, ForegroundGroupIsReportedAndChecked) {
  pid_t pid = Leader([&] {
    CHILD_CHECK(tcgetpgrp(slave) == getpid());
    CHILD_CHECK(tcgetsid(slave) == getpid());
    CHILD_ERRNO(tcsetpgrp(slave, 0x7ffffff0), ESRCH);
    CHILD_ERRNO(tcsetpgrp(slave, -1), EINVAL);
    int fd = open("/dev/tty", O_RDWR);
    CHILD_CHECK(fd >= 0);
    CHILD_CHECK(write(fd, "tty", 3) == 3);
    return 0;
  });
  EXPECT_READ(master, "tty");
  EXPECT_EXITED(Wait(pid), 0);
  EXPECT_ERRNO(tcgetpgrp(slave), ENOTTY) << "not the terminal of this session";
}

TEST_F(JobControl, MasterCloseSendsHangup) {
  pid_t pid = Leader([&] {
    Write(slave, "r");
    for (;;) pause();
    return 0;
  });
  EXPECT_READ(master, "r");
  master.Reset();
  EXPECT_KILLED(Wait(pid), SIGHUP);
}

TEST_F(JobControl, ResizeSendsSigwinch) {
  pid_t pid = Leader([&] {
    ScopedHandler handler(SIGWINCH, +[](int) { _exit(7); });
    Write(slave, "r");
    for (;;) pause();
    return 0;
  });
  EXPECT_READ(master, "r");
  winsize size = {50, 132, 0, 0};
  ASSERT_OK(ioctl(master, TIOCSWINSZ, &size));
  EXPECT_EXITED(Wait(pid), 7);
}

TEST_F(JobControl, NocttyOpenDoesNotTakeTheTerminal) {
  EXPECT_EXITED(RunChild([&] {
                  CHILD_CHECK(setsid() > 0);
                  Fd with(open(name.c_str(), O_RDWR | O_NOCTTY));
                  CHILD_ERRNO(open("/dev/tty", O_RDWR), ENXIO);
                  Fd without(open(name.c_str(), O_RDWR));
                  CHILD_CHECK(open("/dev/tty", O_RDWR) >= 0);
                  return 0;
                }),
                0);
}

}  // namespace
}  // namespace conformance
