// Assertions on the result of a system call. The call is evaluated once; errno is that of the call.
//   EXPECT_OK(call)        the result is not -1
//   EXPECT_ERRNO(call, E)  the result is -1 (or MAP_FAILED) and errno is E
#pragma once

#include <errno.h>
#include <string.h>

#include <cstdint>

#include "gtest/gtest.h"

namespace conformance {

template <typename T>
bool IsFailure(const T& result) {
  if constexpr (requires { static_cast<long>(result); }) {
    return static_cast<long>(result) == -1;
  } else {
    return reinterpret_cast<intptr_t>(result) == -1;
  }
}

template <typename Call>
testing::AssertionResult Succeeds(const char* expression, Call call) {
  const auto result = call();
  const int error = errno;
  if (!IsFailure(result)) return testing::AssertionSuccess();
  return testing::AssertionFailure()
         << expression << " failed with errno " << error << " (" << strerror(error) << ")";
}

template <typename Call>
testing::AssertionResult FailsWith(const char* expression, const char* wanted_name, Call call,
                                   int wanted) {
  const auto result = call();
  const int error = errno;
  if (!IsFailure(result)) {
    return testing::AssertionFailure()
           << expression << " returned " << (intptr_t)result << ", expected errno " << wanted_name;
  }
  if (error == wanted) return testing::AssertionSuccess();
  return testing::AssertionFailure() << expression << " failed with errno " << error << " ("
                                     << strerror(error) << "), expected " << wanted_name;
}

}  // namespace conformance

// The shape of gtest's own assertions, so that a message can be streamed into them.
#define CONFORMANCE_CHECK(failure, verdict)                   \
  GTEST_AMBIGUOUS_ELSE_BLOCKER_                               \
  if (const ::testing::AssertionResult outcome = verdict)     \
    ;                                                         \
  else                                                        \
    failure(outcome.message())

#define CONFORMANCE_CALL(call) \
  [&] {                        \
    errno = 0;                 \
    return (call);             \
  }

#define EXPECT_OK(call) \
  CONFORMANCE_CHECK(GTEST_NONFATAL_FAILURE_, ::conformance::Succeeds(#call, CONFORMANCE_CALL(call)))
#define ASSERT_OK(call) \
  CONFORMANCE_CHECK(GTEST_FATAL_FAILURE_, ::conformance::Succeeds(#call, CONFORMANCE_CALL(call)))
#define EXPECT_ERRNO(call, wanted)           \
  CONFORMANCE_CHECK(GTEST_NONFATAL_FAILURE_, \
                    ::conformance::FailsWith(#call, #wanted, CONFORMANCE_CALL(call), wanted))
