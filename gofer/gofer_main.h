#pragma once

// The gofer process: one a container, the only process that touches the container's host files. The command line forks, then calls
// GoferMain, which opens the exports, locks itself in (gofer/sandbox.h) and serves the protocol until the other end of the socket is gone.

#include <string>
#include <vector>

namespace gofer {

struct Export {
  std::string host_path;  // opened following symbolic links: trusted configuration. A directory, regular file or anything else
  bool read_only = false;
};

struct GoferConfig {
  int socket_fd = -1;  // SOCK_SEQPACKET; owned from now on
  std::vector<Export> exports;  // index 0 is the root file system, others are bind mounts
  int log_fd = -1;  // kept open for the log; -1: none
  // A signal for when the parent dies, 0 for none: a `create` command exits before its container, and the socket's end tells anyway.
  int parent_death_signal = 0;
  // Tests that run without privileges turn it off.
  bool sandbox = true;
};

// Needs a single-threaded process with CAP_SYS_ADMIN. Exits 0 at the end of the socket, 1 when it cannot start (logged), 2 after a malformed request.
[[noreturn]] void GoferMain(GoferConfig config);

}  // namespace gofer
