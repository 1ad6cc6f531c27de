#include "base/fd.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/host.h"

namespace base {

void Fd::reset() {
  // close(2) releases the descriptor even when it reports an error, so there is nothing to retry.
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

Result<Fd> Fd::Dup() const { return Fd(TRY(HOST(::fcntl(fd_, F_DUPFD_CLOEXEC, 0)))); }

}  // namespace base
