#pragma once

// What /dev holds in a container. Devices are opened through vfs/special_file.h wherever their nodes are, so the same
// functions serve a devtmpfs mount and the tmpfs on /dev that OCI specifications ask for.

#include "vfs/inode.h"
#include "vfs/path_walk.h"

namespace devtmpfs {

// null, zero, full, random, urandom (mem(4), random(4)): registers their openers. Terminals (tty 5:0, console 5:1) are registered by who has
// terminals.
void RegisterMemoryDevices();

// A fresh file system with all nodes, links and directories. `options` are those of tmpfs.
Result<RefPtr<vfs::FileSystem>> Create(std::string source, std::string_view options, const Credentials& creds);

// Makes the nodes and links in the directory at `context.start`, as runc does in a container's /dev: null, zero, full, random, urandom, tty,
// ptmx -> pts/ptmx, fd, stdin, stdout, stderr, core; what is there already stays.
Result<void> Populate(const vfs::WalkContext& context);

// Makes "devtmpfs" known to mount(2), and RegisterMemoryDevices.
void Register();

}  // namespace devtmpfs
