#include "base/log.h"

#define SPDLOG_NO_EXCEPTIONS
#define SPDLOG_FMT_EXTERNAL
#include <spdlog/details/null_mutex.h>
#include <spdlog/logger.h>
#include <spdlog/sinks/base_sink.h>
#include <time.h>
#include <unistd.h>

#include <memory>

#include "absl/debugging/stacktrace.h"

namespace base {

LogLevel log_level = LogLevel::kOff;
std::string (*fatal_context)() = nullptr;

namespace {
int log_fd = -1;
std::string log_tag;  // NOLINT: one string, set once

// One write a line, so that lines of several processes on one file do not mix; and no look at the time zone, which is a file.
class LineSink final : public spdlog::sinks::base_sink<spdlog::details::null_mutex> {
 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    static constexpr std::string_view kLetters = "TDIWEF";
    timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    std::string line = fmt::format("{}.{:06} {} {} {}] {}\n", now.tv_sec, now.tv_nsec / 1000, kLetters[static_cast<size_t>(message.level)],
                                   log_tag, gettid(), std::string_view(message.payload.data(), message.payload.size()));
    int fd = log_fd >= 0 ? log_fd : STDERR_FILENO;
    [[maybe_unused]] ssize_t n = write(fd, line.data(), line.size());
  }
  void flush_() override {}
};

spdlog::logger& Logger() {
  static auto* logger = [] {
    auto* made = new spdlog::logger("runsc", std::make_shared<LineSink>());
    made->set_level(spdlog::level::trace);  // LogEnabled has decided before a message is made
    return made;
  }();
  return *logger;
}
}  // namespace

void LogInit(LogLevel level, int fd, const std::string& tag) {
  log_level = level;
  log_fd = fd;
  log_tag = tag;
}

void LogWrite(LogLevel level, std::string_view message) {
  spdlog::level::level_enum severity = level == LogLevel::kWarning ? spdlog::level::warn
                                       : level == LogLevel::kInfo  ? spdlog::level::info
                                                                   : spdlog::level::debug;
  Logger().log(severity, spdlog::string_view_t(message.data(), message.size()));
}

void Fatal(const char* file, int line, const char* what) {
  std::string message = fmt::format("fatal: {} at {}:{}", what, file, line);
  if (fatal_context != nullptr) message += " " + fatal_context();
  void* frames[32];
  int depth = absl::GetStackTrace(frames, 32, 1);
  // Addresses, for addr2line(1): a symbolizer opens files, for which the Sentry's filter kills before a word is written.
  message += " stack:";
  for (int i = 0; i < depth; i++) message += fmt::format(" {}", frames[i]);
  Logger().log(spdlog::level::critical, spdlog::string_view_t(message.data(), message.size()));
  abort();
}

}  // namespace base
