#pragma once

#include <errno.h>
#include <signal.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>

#include "util/check.h"

namespace conformance {

// Forks a child that runs `body` and exits with what it returns. The child has a time limit of its
// own and dies with its parent, so nothing outlives a failing test. Returns -1 if fork fails.
pid_t Fork(const std::function<int()>& body);

// Waits for the child and returns its wait status; adds a test failure if it cannot be waited for.
int Wait(pid_t pid);

// Fork and Wait.
int RunChild(const std::function<int()>& body);

// Prints a failed check of a child to stderr, where the parent's test output goes too, and exits.
[[noreturn]] void ChildCheckFailed(const char* file, int line, const char* what, int error);

// An assertion of the wait status, in words when it fails.
testing::AssertionResult Exited(int status, int code);
testing::AssertionResult Killed(int status, int signal);

}  // namespace conformance

// In a child gtest's assertions would only change the child's copy of the result.
#define CHILD_CHECK(condition)                                                              \
  do {                                                                                      \
    errno = 0;                                                                              \
    if (!(condition)) ::conformance::ChildCheckFailed(__FILE__, __LINE__, #condition, errno); \
  } while (0)
#define CHILD_ERRNO(call, wanted) CHILD_CHECK((call) == -1 && errno == (wanted))

#define EXPECT_EXITED(status, code) \
  CONFORMANCE_CHECK(GTEST_NONFATAL_FAILURE_, ::conformance::Exited(status, code))
#define EXPECT_KILLED(status, signal) \
  CONFORMANCE_CHECK(GTEST_NONFATAL_FAILURE_, ::conformance::Killed(status, signal))
