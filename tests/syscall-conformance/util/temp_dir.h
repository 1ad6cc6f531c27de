#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>

namespace conformance {

// A fresh directory under $TMPDIR (or /tmp), removed with everything in it.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  const std::string& path() const { return path_; }
  const char* c_str() const { return path_.c_str(); }
  // The path of an entry, which need not exist.
  std::string operator/(std::string_view name) const { return path_ + "/" + std::string(name); }

  // Creates (or truncates) a file and returns its path.
  std::string File(std::string_view name, std::string_view content = "", mode_t mode = 0644) const;

 private:
  std::string path_;
};

// Whole-file helpers; on failure they add a test failure and return what they have.
std::string ReadFile(const std::string& path);
void WriteFile(const std::string& path, std::string_view content, mode_t mode = 0644);

// Everything that is left in a descriptor, until end of file or an error.
std::string ReadAll(int fd);

}  // namespace conformance
