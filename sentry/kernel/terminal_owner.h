#pragma once

// Makes the kernel the owner of terminals (vfs/terminal.h) and the source of signalfd's signals: called once at start-up.
namespace kernel {
void RegisterTerminalOwner();
}
