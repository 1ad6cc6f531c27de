#include "util/temp_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <system_error>

#include "util/check.h"
#include "util/fd.h"

namespace conformance {

TempDir::TempDir() {
  const char* base = getenv("TMPDIR");
  std::string pattern = std::string(base != nullptr && *base != 0 ? base : "/tmp") + "/confXXXXXX";
  if (mkdtemp(pattern.data()) == nullptr) {
    ADD_FAILURE() << "mkdtemp " << pattern << ": " << strerror(errno);
  }
  // Some tests drop to another user and still need to pass through.
  chmod(pattern.c_str(), 0755);
  path_ = pattern;
}

TempDir::~TempDir() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string TempDir::File(std::string_view name, std::string_view content, mode_t mode) const {
  std::string path = *this / name;
  WriteFile(path, content, mode);
  return path;
}

void WriteFile(const std::string& path, std::string_view content, mode_t mode) {
  Fd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode));
  if (!fd.ok()) {
    ADD_FAILURE() << "open " << path << ": " << strerror(errno);
    return;
  }
  while (!content.empty()) {
    ssize_t n = write(fd, content.data(), content.size());
    if (n <= 0) {
      ADD_FAILURE() << "write " << path << ": " << strerror(errno);
      return;
    }
    content.remove_prefix(n);
  }
}

std::string ReadAll(int fd) {
  std::string all;
  char buffer[4096];
  for (;;) {
    ssize_t n = read(fd, buffer, sizeof(buffer));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return all;
    all.append(buffer, n);
  }
}

std::string ReadFile(const std::string& path) {
  Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.ok()) {
    ADD_FAILURE() << "open " << path << ": " << strerror(errno);
    return "";
  }
  return ReadAll(fd);
}

}  // namespace conformance
