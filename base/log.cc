#include "base/log.h"


#include <time.h>
#include <unistd.h>

#include "absl/debugging/stacktrace.h"

namespace base {

LogLevel log_level = LogLevel::kOff;
std::string (*fatal_context)() = nullptr;

namespace {
int log_fd = -1;
std::string log_tag;  // NOLINT: one string, set once

// One write a line, so that lines of several processes on one file do not mix.
void WriteLine(const char* level, std::string_view message) {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  std::string line = fmt::format("{}.{:06} {} {} {}] {}\n", now.tv_sec, now.tv_nsec / 1000, level, log_tag, gettid(), message);
  int fd = log_fd >= 0 ? log_fd : STDERR_FILENO;
  [[maybe_unused]] ssize_t n = write(fd, line.data(), line.size());
}
}  // namespace

void LogInit(LogLevel level, int fd, const std::string& tag) {
  log_level = level;
  log_fd = fd;
  log_tag = tag;
}

void LogWrite(LogLevel level, std::string_view message) {
  WriteLine(level == LogLevel::kWarning ? "W" : level == LogLevel::kInfo ? "I" : "D", message);
}

void Fatal(const char* file, int line, const char* what) {
  std::string message = fmt::format("fatal: {} at {}:{}", what, file, line);
  if (fatal_context != nullptr) message += " " + fatal_context();
  void* frames[32];
  int depth = absl::GetStackTrace(frames, 32, 1);
  // Addresses, for addr2line(1): a symbolizer opens files, for which the Sentry's filter kills before a word is written.
  message += " stack:";
  for (int i = 0; i < depth; i++) message += fmt::format(" {}", frames[i]);
  WriteLine("F", message);
  abort();
}

}  // namespace base
