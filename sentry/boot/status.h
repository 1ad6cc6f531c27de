#pragma once

// absl::Status for the command line and for start-up: errors that a person reads, as one line. Inside the kernel errors
// are Errno (base/result.h); the conversion goes one way only, here.

#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "base/errno.h"
#include "base/result.h"

namespace boot {

using absl::Status;
using absl::StatusOr;

// "what: No such file or directory".
inline Status ErrnoStatus(Errno error, std::string_view what) {
  std::string text = absl::StrCat(what, ": ", base::ErrnoText(error));
  if (error == Errno::kENOENT) return absl::NotFoundError(text);
  if (error == Errno::kEEXIST) return absl::AlreadyExistsError(text);
  return absl::UnknownError(text);
}

// The same error with "prefix: " before its message.
inline Status Annotate(const Status& status, std::string_view prefix) {
  if (status.ok()) return status;
  return Status(status.code(), absl::StrCat(prefix, ": ", status.message()));
}

template <class T>
Status ToStatus(const StatusOr<T>& value) {
  return value.status();
}
inline Status ToStatus(const Status& status) { return status; }

}  // namespace boot

#define RETURN_IF_ERROR(expr)                              \
  do {                                                     \
    if (auto status_ = (expr); !status_.ok()) [[unlikely]] \
      return ::boot::ToStatus(status_);                    \
  } while (0)

#define RUNSC_ASSIGN_OR_RETURN_(temporary, lhs, expr)    \
  auto temporary = (expr);                               \
  if (!temporary.ok()) [[unlikely]]                      \
    return temporary.status();                           \
  lhs = std::move(temporary).value()
#define ASSIGN_OR_RETURN(lhs, expr) \
  RUNSC_ASSIGN_OR_RETURN_(RUNSC_CONCAT(status_or_, __COUNTER__), lhs, expr)

// The value of a Result, or the error as a Status with `what` before it. Use inside functions that return Status.
#define TRY_HOST(expr, ...)                                            \
  __extension__({                                                      \
    auto&& host_result = (expr);                                       \
    if (!host_result.ok()) [[unlikely]]                                \
      return ::boot::ErrnoStatus(host_result.error(), __VA_ARGS__);    \
    std::move(host_result).value();                                    \
  })
