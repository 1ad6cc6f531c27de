#pragma once

// For tests of both ends: a real gofer in a forked process on a temporary directory.

#include <sys/types.h>

#include <string>
#include <string_view>

#include "base/fd.h"
#include "gofer/gofer_main.h"

namespace gofer {

// A directory under $TMPDIR or /tmp, removed with all below it.
class TempDirectory {
 public:
  TempDirectory();
  ~TempDirectory();
  TempDirectory(const TempDirectory&) = delete;
  TempDirectory& operator=(const TempDirectory&) = delete;

  const std::string& path() const { return path_; }
  std::string operator/(std::string_view name) const { return path_ + "/" + std::string(name); }
  void Write(std::string_view name, std::string_view contents) const;
  std::string Read(std::string_view name) const;
  void Mkdir(std::string_view name) const;
  bool Exists(std::string_view name) const;

 private:
  std::string path_;
};

// A forked gofer; killed with the object.
class TestGofer {
 public:
  // `max_files`: its RLIMIT_NOFILE, unless 0.
  explicit TestGofer(std::vector<Export> exports, bool sandbox = true, size_t max_files = 0);
  ~TestGofer();
  TestGofer(const TestGofer&) = delete;
  TestGofer& operator=(const TestGofer&) = delete;

  int socket() const { return socket_.get(); }
  Fd TakeSocket() { return std::move(socket_); }
  pid_t pid() const { return pid_; }
  void Kill();
  // Waits for it to end by itself; the exit status, or 128 + the signal.
  int Wait();

 private:
  Fd socket_;
  pid_t pid_;
};

}  // namespace gofer
