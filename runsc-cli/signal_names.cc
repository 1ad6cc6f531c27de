#include "runsc-cli/signal_names.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

namespace cli {

std::optional<int> ParseSignal(const std::string& text) {
  // Linux numbers real-time signals from 32; libc keeps the first two for itself.
  constexpr int kRtMin = 34, kMax = 64;
  if (!text.empty() && text.find_first_not_of("0123456789") == text.npos && text.size() < 4) {
    int signo = atoi(text.c_str());
    return signo <= kMax ? std::optional<int>(signo) : std::nullopt;
  }
  const char* name = text.c_str();
  if (strncasecmp(name, "SIG", 3) == 0) name += 3;
  if (strncasecmp(name, "RTMIN", 5) == 0 || strncasecmp(name, "RTMAX", 5) == 0) {
    int signo = strncasecmp(name, "RTMIN", 5) == 0 ? kRtMin : kMax;
    if (name[5] != '\0') signo += atoi(name + 5);
    return signo >= kRtMin && signo <= kMax ? std::optional<int>(signo) : std::nullopt;
  }
  if (strcasecmp(name, "IOT") == 0) return SIGABRT;
  if (strcasecmp(name, "POLL") == 0) return SIGIO;
  if (strcasecmp(name, "CLD") == 0) return SIGCHLD;
  for (int signo = 1; signo < 32; signo++) {
    const char* known = sigabbrev_np(signo);
    if (known != nullptr && strcasecmp(known, name) == 0) return signo;
  }
  return std::nullopt;
}

}  // namespace cli
