#include "gofer/testing.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/host.h"
#include "base/log.h"

namespace gofer {

namespace {
// The sanitizers' runtime makes system calls that the filter does not know.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kCanBeSandboxed = false;
#else
constexpr bool kCanBeSandboxed = true;
#endif
}  // namespace

TempDirectory::TempDirectory() {
  const char* parent = getenv("TMPDIR");
  path_ = std::string(parent != nullptr ? parent : "/tmp") + "/gofer_test.XXXXXX";
  CHECK(mkdtemp(path_.data()) != nullptr);
  CHECK(chmod(path_.c_str(), 0755) == 0);
}

TempDirectory::~TempDirectory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

void TempDirectory::Write(std::string_view name, std::string_view contents) const {
  std::ofstream(*this / name, std::ios::trunc | std::ios::binary) << contents;
}

std::string TempDirectory::Read(std::string_view name) const {
  std::ostringstream text;
  text << std::ifstream(*this / name, std::ios::binary).rdbuf();
  return text.str();
}

void TempDirectory::Mkdir(std::string_view name) const { CHECK(mkdir((*this / name).c_str(), 0755) == 0); }

bool TempDirectory::Exists(std::string_view name) const {
  struct stat ignored;
  return lstat((*this / name).c_str(), &ignored) == 0;
}

TestGofer::TestGofer(std::vector<Export> exports, bool sandbox, size_t max_files) {
  int pair[2];
  CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
  pid_ = fork();
  CHECK(pid_ >= 0);
  if (pid_ == 0) {
    close(pair[0]);
    if (max_files != 0) {
      rlimit limit{max_files, max_files};
      CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    }
    base::LogInit(base::LogLevel::kWarning, STDERR_FILENO, "gofer");
    GoferMain({.socket_fd = pair[1],
               .exports = std::move(exports),
               .log_fd = STDERR_FILENO,
               .parent_death_signal = SIGKILL,
               .sandbox = sandbox && kCanBeSandboxed});
  }
  close(pair[1]);
  socket_ = Fd(pair[0]);
}

TestGofer::~TestGofer() {
  if (pid_ > 0) {
    Kill();
    (void)Wait();
  }
}

void TestGofer::Kill() { kill(pid_, SIGKILL); }

int TestGofer::Wait() {
  int status = 0;
  CHECK_OK(HOST_RETRY(waitpid(pid_, &status, 0)));
  pid_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace gofer
