#pragma once

// What the kernel implements for files that are about processes; each is called once at start-up.

namespace kernel {

// Makes the kernel the owner of terminals (vfs/terminal.h).
void RegisterTerminalOwner();
// Makes it the source of signalfd's signals (vfs/signal_source.h).
void RegisterSignalSource();

}  // namespace kernel
