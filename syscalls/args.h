#pragma once

// How a system call argument is decoded from its register and printed by --strace: both follow from the parameter types of
// the handler. Registers carry 64 bits; a 32-bit parameter takes the low half, as Linux does.

#include <fmt/core.h>

#include <cstdint>
#include <string>
#include <type_traits>

#include "base/user_memory.h"
#include "sentry/kernel/task.h"

namespace syscalls {

using kernel::Task;

// A file descriptor.
struct FdArg {
  int value;
  operator int() const { return value; }  // NOLINT(google-explicit-constructor)
};
// A directory descriptor or AT_FDCWD.
struct DirFdArg {
  int value;
  operator int() const { return value; }  // NOLINT(google-explicit-constructor)
};
// A path name.
struct PathArg {
  UserAddress address;
  // EFAULT, ENAMETOOLONG.
  Result<std::string> Read(Task& task) const { return task.mm().CopyInString(address, PATH_MAX); }
};
// Flags, modes: printed in hexadecimal or octal.
struct FlagsArg {
  uint64_t value;
  operator int() const { return static_cast<int>(value); }  // NOLINT(google-explicit-constructor)
};
struct ModeArg {
  uint32_t value;
  operator uint32_t() const { return value; }  // NOLINT(google-explicit-constructor)
};
struct SignalArg {
  int value;
  operator int() const { return value; }  // NOLINT(google-explicit-constructor)
};

// A structure that the application passes in, takes out, or both. Null where the call allows it: check `null()`.
template <class T>
struct InArg {
  UserAddress address;
  bool null() const { return address == 0; }
  Result<T> Read(Task& task) const { return task.mm().Read<T>(address); }
};
template <class T>
struct OutArg {
  UserAddress address;
  bool null() const { return address == 0; }
  Result<void> Write(Task& task, const T& value) const { return task.mm().Write<T>(address, value); }
};
template <class T>
struct InOutArg {
  UserAddress address;
  bool null() const { return address == 0; }
  Result<T> Read(Task& task) const { return task.mm().Read<T>(address); }
  Result<void> Write(Task& task, const T& value) const { return task.mm().Write<T>(address, value); }
};

template <class T>
struct ArgTraits {
  static_assert(std::is_integral_v<T>);
  static T Decode(uint64_t raw) { return static_cast<T>(raw); }
  static std::string Format(Task&, uint64_t raw) {
    if constexpr (sizeof(T) == 8 && std::is_unsigned_v<T>) {
      return raw > 0xffff ? fmt::format("{:#x}", raw) : fmt::format("{}", raw);
    } else {
      return fmt::format("{}", static_cast<T>(raw));
    }
  }
};
template <>
struct ArgTraits<FdArg> {
  static FdArg Decode(uint64_t raw) { return {static_cast<int>(raw)}; }
  static std::string Format(Task&, uint64_t raw) { return fmt::format("{}", static_cast<int>(raw)); }
};
template <>
struct ArgTraits<DirFdArg> {
  static DirFdArg Decode(uint64_t raw) { return {static_cast<int>(raw)}; }
  static std::string Format(Task&, uint64_t raw) {
    return static_cast<int>(raw) == AT_FDCWD ? "AT_FDCWD" : fmt::format("{}", static_cast<int>(raw));
  }
};
template <>
struct ArgTraits<PathArg> {
  static PathArg Decode(uint64_t raw) { return {raw}; }
  static std::string Format(Task& task, uint64_t raw) {
    if (raw == 0) return "NULL";
    Result<std::string> path = PathArg{raw}.Read(task);
    return path.ok() ? fmt::format("\"{}\"", *path) : fmt::format("{:#x}", raw);
  }
};
template <>
struct ArgTraits<FlagsArg> {
  static FlagsArg Decode(uint64_t raw) { return {raw}; }
  static std::string Format(Task&, uint64_t raw) { return fmt::format("{:#x}", raw); }
};
template <>
struct ArgTraits<ModeArg> {
  static ModeArg Decode(uint64_t raw) { return {static_cast<uint32_t>(raw)}; }
  static std::string Format(Task&, uint64_t raw) { return fmt::format("{:#o}", static_cast<uint32_t>(raw)); }
};
template <>
struct ArgTraits<SignalArg> {
  static SignalArg Decode(uint64_t raw) { return {static_cast<int>(raw)}; }
  static std::string Format(Task&, uint64_t raw) { return fmt::format("{}", static_cast<int>(raw)); }
};
template <class A>
struct AddressTraits {
  static A Decode(uint64_t raw) { return A{raw}; }
  static std::string Format(Task&, uint64_t raw) { return raw == 0 ? "NULL" : fmt::format("{:#x}", raw); }
};
template <class T>
struct ArgTraits<InArg<T>> : AddressTraits<InArg<T>> {};
template <class T>
struct ArgTraits<OutArg<T>> : AddressTraits<OutArg<T>> {};
template <class T>
struct ArgTraits<InOutArg<T>> : AddressTraits<InOutArg<T>> {};

}  // namespace syscalls
