#pragma once

// Status: success, or an error that a person reads, as one line; for the command line and for
// start-up. Inside the kernel errors are Errno (base/result.h); the conversion goes one way only,
// here. Not absl::Status: the distribution's Abseil has a string_view of its own, and this needs no
// cords.

#include <concepts>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/errno.h"
#include "base/result.h"

namespace boot {

namespace internal {
inline void Append(std::string& out, std::string_view text) { out += text; }
inline void Append(std::string& out, char c) { out += c; }
template <std::integral T>
void Append(std::string& out, T number) {
  out += std::to_string(number);
}
}  // namespace internal

// The texts and numbers one after the other.
template <class... Parts>
std::string StrCat(const Parts&... parts) {
  std::string out;
  (internal::Append(out, parts), ...);
  return out;
}

class [[nodiscard]] Status {
 public:
  Status() = default;  // success
  static Status Error(std::string message, Errno cause = Errno::kEINVAL) {
    Status status;
    status.cause_ = cause;
    status.message_ = std::move(message);
    return status;
  }

  bool ok() const { return cause_ == Errno{}; }
  // What callers may tell apart: kENOENT and kEEXIST above all; EINVAL where nothing better is
  // known.
  Errno cause() const { return cause_; }
  const std::string& message() const { return message_; }
  const Status& status() const { return *this; }

 private:
  Errno cause_{};
  std::string message_;
};

template <class... Parts>
Status Error(const Parts&... parts) {
  return Status::Error(StrCat(parts...));
}

// "what: No such file or directory".
inline Status ErrnoStatus(Errno error, std::string_view what) {
  return Status::Error(StrCat(what, ": ", base::ErrnoText(error)), error);
}

// The same error with "prefix: " before its message.
inline Status Annotate(const Status& status, std::string_view prefix) {
  if (status.ok()) return status;
  return Status::Error(StrCat(prefix, ": ", status.message()), status.cause());
}

// A T or an error.
template <class T>
class [[nodiscard]] StatusOr {
 public:
  StatusOr(Status status) : status_(std::move(status)) {  // NOLINT(google-explicit-constructor)
    if (status_.ok()) abort();
  }
  StatusOr(T value) : value_(std::move(value)) {}  // NOLINT(google-explicit-constructor)

  bool ok() const { return status_.ok(); }
  const Status& status() const { return status_; }
  // Aborts without a value.
  T& value() & { return value_.has_value() ? *value_ : (abort(), *value_); }
  const T& value() const& { return value_.has_value() ? *value_ : (abort(), *value_); }
  T&& value() && { return std::move(value()); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

 private:
  Status status_;
  std::optional<T> value_;
};

}  // namespace boot

#define RETURN_IF_ERROR(expr)                              \
  do {                                                     \
    if (auto status_ = (expr); !status_.ok()) [[unlikely]] \
      return status_.status();                             \
  } while (0)

// The value of a StatusOr, or return its error.
#define TRY_STATUS(expr)              \
  __extension__({                     \
    auto&& status_or = (expr);        \
    if (!status_or.ok()) [[unlikely]] \
      return status_or.status();      \
    std::move(status_or).value();     \
  })

// The value of a Result, or return the error as a Status with `what` before it.
#define TRY_HOST(expr, ...)                                         \
  __extension__({                                                   \
    auto&& host_result = (expr);                                    \
    if (!host_result.ok()) [[unlikely]]                             \
      return ::boot::ErrnoStatus(host_result.error(), __VA_ARGS__); \
    std::move(host_result).value();                                 \
  })
