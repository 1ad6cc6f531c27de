#pragma once

// The byte format of ancillary data, cmsg(3).

#include <sys/socket.h>

#include "sentry/kernel/task.h"
#include "vfs/socket.h"

namespace syscalls {

// Parses what sendmsg(2) was given. EINVAL for malformed data, EBADF for descriptors, EPERM for credentials that the caller may not claim.
Result<vfs::ControlMessages> ReadControl(kernel::Task& task, UserAddress address, size_t length);

// Writes `control` into a buffer of `room` bytes, installing descriptors; what does not fit is dropped and MSG_CTRUNC set in `flags`.
// Returns the bytes used.
Result<size_t> WriteControl(kernel::Task& task, vfs::ControlMessages& control, UserAddress address, size_t room, bool cloexec, int* flags);

// Credentials of a peer as `task` may see them.
ucred ToUcred(kernel::Task& task, const vfs::SocketCredentials& credentials);

}  // namespace syscalls
