#include "runsc-cli/console.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include "base/host.h"

namespace cli {

using boot::Status;
using boot::StatusOr;

StatusOr<Pty> OpenPty(unsigned rows, unsigned columns) {
  Pty pty;
  pty.master =
      Fd(TRY_HOST(HOST(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)), "opening a terminal"));
  TRY_HOST(HOST(unlockpt(pty.master.get())), "unlocking a terminal");
  // By the master, not by name: whatever is mounted on /dev/pts here, it is the right one.
  pty.slave = Fd(TRY_HOST(HOST(ioctl(pty.master.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC)),
                          "opening a terminal"));
  winsize size{};
  if (rows != 0 && columns != 0) {
    size.ws_row = static_cast<unsigned short>(rows);
    size.ws_col = static_cast<unsigned short>(columns);
    ioctl(pty.master.get(), TIOCSWINSZ, &size);
  } else if (ioctl(STDIN_FILENO, TIOCGWINSZ, &size) == 0) {
    ioctl(pty.master.get(), TIOCSWINSZ, &size);
  }
  return pty;
}

Status SendConsole(const std::string& path, const Fd& master) {
  sockaddr_un address{.sun_family = AF_UNIX};
  if (path.size() >= sizeof address.sun_path)
    return boot::Error("--console-socket: the path is too long");
  memcpy(address.sun_path, path.data(), path.size());
  std::string what = boot::StrCat("console socket ", path);
  Fd socket(TRY_HOST(HOST(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)), what));
  TRY_HOST(HOST_RETRY(connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address)),
           what);
  // Some data must go along; runtimes send the terminal's name.
  char name[64] = "/dev/ptmx";
  iovec part{name, strlen(name)};
  alignas(cmsghdr) char space[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{
      .msg_iov = &part, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space};
  cmsghdr* control = CMSG_FIRSTHDR(&message);
  *control = {.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
  int fd = master.get();
  memcpy(CMSG_DATA(control), &fd, sizeof fd);
  TRY_HOST(HOST_RETRY(sendmsg(socket.get(), &message, MSG_NOSIGNAL)), what);
  return Status();
}

struct RawMode::Saved {
  termios settings;
};

RawMode::RawMode() {
  termios settings;
  if (tcgetattr(STDIN_FILENO, &settings) != 0) return;
  saved_ = new Saved{settings};
  cfmakeraw(&settings);
  tcsetattr(STDIN_FILENO, TCSANOW, &settings);
}

RawMode::~RawMode() {
  if (saved_ != nullptr) tcsetattr(STDIN_FILENO, TCSANOW, &saved_->settings);
  delete saved_;
}

}  // namespace cli
