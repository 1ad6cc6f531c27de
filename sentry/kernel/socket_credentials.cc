// Who is calling, as sockets hand it on: SO_PEERCRED and SCM_CREDENTIALS, unix(7).

#include "sentry/kernel/kernel.h"
#include "sentry/kernel/terminal_owner.h"
#include "vfs/socket.h"

namespace kernel {

void RegisterSocketCredentials() {
  vfs::Socket::SetCurrentCredentials([] {
    Task* task = Task::CurrentOrNull();
    if (task == nullptr) return vfs::SocketCredentials{};
    const Credentials& creds = *task->creds();
    // On the wire the number is that of the root namespace; the receiver translates it into its own.
    return vfs::SocketCredentials{
        .pid = task->thread_group().tgid(*task->kernel().pid_ns), .uid = creds.euid, .gid = creds.egid};
  });
}

}  // namespace kernel
