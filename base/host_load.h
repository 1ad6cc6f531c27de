#pragma once

// How many processors of the host are idle, for whoever thinks of using one just to be quick. From /proc/loadavg, proc_loadavg(5).

namespace base {

class HostLoad {
 public:
  // Opens what is read, while files can still be opened; again at will. Without it nothing is known.
  static void Prepare();
  // How many processors have nothing to do, the caller's not being one of them; negative: so many threads wait for one.
  // 1 us. INT_MAX when that is not known: without Prepare, without /proc, or when this process may not use all processors,
  // since the figure is of all.
  static int IdleProcessors();
};

}  // namespace base
