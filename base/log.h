#pragma once

// Logging to the debug log (--debug, --debug-log) by spdlog; silent until LogInit. Not for signal handlers.
//   LOG_INFO("started container {} in {} us", id, us);
// Lines that a guest can provoke without limit use LOG_EVERY_N.

#include <string>

#include <string_view>

#include <fmt/core.h>

namespace base {

enum class LogLevel { kOff, kWarning, kInfo, kDebug };

// Sends what is at or above `level` to `fd`, which the log owns from now on (-1: standard error). `tag` names the process
// ("cli", "sentry", "gofer") in each line.
void LogInit(LogLevel level, int fd, const std::string& tag);

// Checked before a message is formatted; a plain load.
extern LogLevel log_level;
inline bool LogEnabled(LogLevel level) { return log_level >= level; }

void LogWrite(LogLevel level, std::string_view message);

// Writes one line "fatal: ..." with file, line and a stack to the log and to standard error's log descriptor, then aborts.
[[noreturn]] void Fatal(const char* file, int line, const char* what);

// Run first by Fatal: lets the kernel add the task, the system call and the registers to the message.
extern std::string (*fatal_context)();

}  // namespace base

#define LOG_AT(level, ...)                                                            \
  do {                                                                                \
    if (::base::LogEnabled(level)) ::base::LogWrite(level, fmt::format(__VA_ARGS__)); \
  } while (0)
#define LOG_WARNING(...) LOG_AT(::base::LogLevel::kWarning, __VA_ARGS__)
#define LOG_INFO(...) LOG_AT(::base::LogLevel::kInfo, __VA_ARGS__)
#define LOG_DEBUG(...) LOG_AT(::base::LogLevel::kDebug, __VA_ARGS__)

// On in release builds too.
#define CHECK(condition)                                                     \
  do {                                                                       \
    if (!(condition)) [[unlikely]]                                           \
      ::base::Fatal(__FILE__, __LINE__, "check failed: " #condition);        \
  } while (0)
