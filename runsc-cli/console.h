#pragma once

// Terminals of the host: pairs for containers, handing the master to whoever asked
// (--console-socket), or serving it from the user's own terminal (runsc-cli/foreground.h).

#include <string>

#include "base/fd.h"
#include "sentry/boot/status.h"

namespace cli {

struct Pty {
  Fd master, slave;
};

// `rows` and `columns` 0: the size of our own terminal, if there is one.
boot::StatusOr<Pty> OpenPty(unsigned rows, unsigned columns);

// Sends `master` over the unix socket at `path`, the way container managers expect it.
boot::Status SendConsole(const std::string& path, const Fd& master);

// Puts the terminal on standard input into raw mode while it lives, if there is one.
class RawMode {
 public:
  RawMode();
  ~RawMode();
  RawMode(const RawMode&) = delete;
  RawMode& operator=(const RawMode&) = delete;

 private:
  struct Saved;
  Saved* saved_ = nullptr;
};

}  // namespace cli
