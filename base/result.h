#pragma once

// Result<T>: a T or an Errno. Dropping one is a compiler warning. TRY(expr) yields the value or returns the error from
// the enclosing function, which must itself return a Result.
//
//   Result<uint64_t> Size(Inode& inode) {
//     Attributes attr = TRY(inode.Stat());
//     if (attr.size < 0) return Errno::kEOVERFLOW;
//     return attr.size;
//   }

#include <cstdint>
#include <cstdlib>
#include <new>
#include <type_traits>
#include <utility>

#include "base/errno.h"

namespace base {

template <class T>
class [[nodiscard]] Result {
 public:
  using value_type = T;

  Result(Errno error) : error_(error) {}  // NOLINT(google-explicit-constructor)
  template <class U = T, class = std::enable_if_t<std::is_constructible_v<T, U&&> &&
                                                  !std::is_same_v<std::decay_t<U>, Result> &&
                                                  !std::is_same_v<std::decay_t<U>, Errno>>>
  Result(U&& value) : value_(std::forward<U>(value)), error_{} {}  // NOLINT

  Result(Result&& other) noexcept : error_(other.error_) {
    if (ok()) new (&value_) T(std::move(other.value_));
  }
  Result(const Result& other) : error_(other.error_) {
    if (ok()) new (&value_) T(other.value_);
  }
  Result& operator=(Result&& other) noexcept {
    if (this != &other) {
      if (ok()) value_.~T();
      error_ = other.error_;
      if (ok()) new (&value_) T(std::move(other.value_));
    }
    return *this;
  }
  ~Result() {
    if (ok()) value_.~T();
  }

  bool ok() const { return error_ == Errno{}; }
  explicit operator bool() const { return ok(); }
  Errno error() const { return error_; }

  // Aborts without a value: a wrong Sentry must stop, not guess.
  T& value() & {
    if (!ok()) abort();
    return value_;
  }
  const T& value() const& {
    if (!ok()) abort();
    return value_;
  }
  T&& value() && {
    if (!ok()) abort();
    return std::move(value_);
  }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }
  T value_or(T fallback) && { return ok() ? std::move(value_) : std::move(fallback); }

 private:
  union {
    T value_;
  };
  Errno error_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  using value_type = void;

  Result() = default;
  Result(Errno error) : error_(error) {}  // NOLINT(google-explicit-constructor)

  bool ok() const { return error_ == Errno{}; }
  explicit operator bool() const { return ok(); }
  Errno error() const { return error_; }
  void value() const {
    if (!ok()) abort();
  }

 private:
  Errno error_{};
};

}  // namespace base

using base::Result;

#define RUNSC_CONCAT_(a, b) a##b
#define RUNSC_CONCAT(a, b) RUNSC_CONCAT_(a, b)

#define RUNSC_TRY_(result, expr)       \
  __extension__({                      \
    auto&& result = (expr);            \
    if (!result.ok()) [[unlikely]]     \
      return result.error();           \
    std::move(result).value();         \
  })

// The value of a Result, or `return error` from the enclosing function.
#define TRY(expr) RUNSC_TRY_(RUNSC_CONCAT(try_result_, __COUNTER__), expr)

// Aborts unless the Result is ok: for what cannot fail here.
#define CHECK_OK(expr)      \
  do {                      \
    if (!(expr).ok()) abort(); \
  } while (0)
