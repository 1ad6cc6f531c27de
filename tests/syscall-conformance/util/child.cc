#include "util/child.h"

#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

namespace conformance {
namespace {

testing::AssertionResult Describe(int status) {
  auto result = testing::AssertionFailure();
  if (WIFEXITED(status)) return result << "exited with " << WEXITSTATUS(status);
  if (WIFSIGNALED(status)) {
    return result << "killed by signal " << WTERMSIG(status) << " (" << strsignal(WTERMSIG(status))
                  << ")";
  }
  return result << "wait status " << status;
}

}  // namespace

pid_t Fork(const std::function<int()>& body) {
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid != 0) {
    EXPECT_NE(pid, -1) << "fork: " << strerror(errno);
    return pid;
  }
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(98);
  alarm(8);
  _exit(body());
}

int Wait(pid_t pid) {
  int status = -1;
  pid_t waited;
  do {
    waited = waitpid(pid, &status, 0);
  } while (waited == -1 && errno == EINTR);
  EXPECT_EQ(waited, pid) << "waitpid: " << strerror(errno);
  return status;
}

int RunChild(const std::function<int()>& body) {
  const pid_t pid = Fork(body);
  return pid > 0 ? Wait(pid) : -1;
}

void ChildCheckFailed(const char* file, int line, const char* what, int error) {
  char text[512];
  int length = snprintf(text, sizeof(text), "%s:%d: child: %s is false, errno %d (%s)\n", file,
                        line, what, error, strerror(error));
  if (write(STDERR_FILENO, text, length) < 0) _exit(97);
  _exit(99);
}

testing::AssertionResult Exited(int status, int code) {
  if (WIFEXITED(status) && WEXITSTATUS(status) == code) return testing::AssertionSuccess();
  return Describe(status) << ", expected exit with " << code;
}

testing::AssertionResult Killed(int status, int signal) {
  if (WIFSIGNALED(status) && WTERMSIG(status) == signal) return testing::AssertionSuccess();
  return Describe(status) << ", expected death by " << strsignal(signal);
}

}  // namespace conformance
