#include "vfs/terminal.h"

#include <sys/ioctl.h>

namespace vfs {

Result<uint64_t> Terminal::JobControlIoctl(uint32_t request, uint64_t argument, const IoctlContext& context,
                                           TerminalOwner::Side side, bool readable) {
  TerminalOwner* who = owner();
  if (who == nullptr) return Errno::kENOTTY;
  switch (request) {
    case TIOCSCTTY:
      TRY(who->SetControlling(argument == 1, readable));
      return uint64_t{0};
    case TIOCNOTTY:
      TRY(who->GiveUp());
      return uint64_t{0};
    case TIOCGPGRP:
      TRY(context.memory.Write(argument, TRY(who->ForegroundGroup(side))));
      return uint64_t{0};
    case TIOCSPGRP:
      TRY(who->CheckAccess(TerminalOwner::Access::kChange));
      TRY(who->SetForegroundGroup(side, TRY(context.memory.Read<int>(argument))));
      return uint64_t{0};
    case TIOCGSID:
      TRY(context.memory.Write(argument, TRY(who->Session(side))));
      return uint64_t{0};
    default:
      return Errno::kENOTTY;
  }
}

}  // namespace vfs
