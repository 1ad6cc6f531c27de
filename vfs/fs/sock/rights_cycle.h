#pragma once

// Descriptors that are on their way between processes (SCM_RIGHTS) are references that nobody's descriptor table shows. Two things
// must not come of that: a chain of sockets in each other's queues must not be destroyed by deep recursion, and a circle of
// them must not stay for ever.

#include <vector>

#include "vfs/file_description.h"

namespace unix_socket {

// How many descriptors may be on their way in all: ETOOMANYREFS beyond.
inline constexpr int64_t kMaxInFlight = 1 << 16;
int64_t InFlight();

// `file` goes into a message, or comes out of one (`by` is 1 or -1).
void CountInFlight(vfs::FileDescription& file, int by);

// Drops the references, one after the other even when one leads to more.
void DropRights(std::vector<RefPtr<vfs::FileDescription>> rights);

// A descriptor of a socket that is on its way was closed: has CollectCycles run soon, on the event thread.
void ScheduleCollection();

// Empties the queues of sockets that only each other's queues refer to.
void CollectCycles();

}  // namespace unix_socket
