#include "runsc-cli/report.h"

#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/host.h"
#include "sentry/boot/json_reader.h"

namespace cli {

std::string Rfc3339Now() {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  tm utc;
  gmtime_r(&now.tv_sec, &utc);
  char text[64];
  size_t n = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
  snprintf(text + n, sizeof text - n, ".%09ldZ", now.tv_nsec);
  return text;
}

void ReportError(const Options& options, std::string_view message) {
  // One line whatever it holds.
  std::string line(message);
  for (char& c : line) {
    if (c == '\n') c = ' ';
  }
  std::string text = boot::StrCat("runsc: ", line, "\n");
  (void)HOST(write(STDERR_FILENO, text.data(), text.size()));
  if (options.log.empty()) return;
  Fd file(open(options.log.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644));
  if (!file.valid()) return;
  auto quoted = [](const std::string& value) {
    return boot::Json(value).dump(-1, ' ', false, boot::Json::error_handler_t::replace);
  };
  if (options.log_json) {
    text = boot::StrCat(R"({"level":"error","msg":)", quoted(line), R"(,"time":)",
                        quoted(Rfc3339Now()), "}\n");
  } else {
    text = boot::StrCat("time=", quoted(Rfc3339Now()), " level=error msg=", quoted(line), "\n");
  }
  (void)HOST(write(file.get(), text.data(), text.size()));
}

int OpenDebugLog(const Options& options, std::string_view command, std::string_view id) {
  if (!options.debug || options.debug_log.empty()) return -1;
  std::string path = options.debug_log;
  if (path.ends_with("/")) path += "runsc.log.%TIMESTAMP%.%ID%.%COMMAND%.txt";
  auto replace = [&path](std::string_view key, std::string_view value) {
    for (size_t at; (at = path.find(key)) != path.npos;) path.replace(at, key.size(), value);
  };
  time_t now = time(nullptr);
  tm local;
  localtime_r(&now, &local);
  char stamp[32];
  strftime(stamp, sizeof stamp, "%Y%m%d-%H%M%S", &local);
  replace("%TIMESTAMP%", stamp);
  replace("%COMMAND%", command);
  replace("%ID%", id);
  // Above 2: a process that was started without stdio must not get the log as its container's
  // standard output.
  Fd file(open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644));
  if (!file.valid()) return -1;
  return fcntl(file.get(), F_DUPFD_CLOEXEC, 3);
}

}  // namespace cli
