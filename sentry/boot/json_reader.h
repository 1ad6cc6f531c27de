#pragma once

// Typed, exception-free access to a JSON document. A reader stands at one object; the first thing
// that does not fit is remembered with its path ("mounts[2].destination: expected a string"),
// everything after it is ignored, so callers read all that they want and look at the status once.

#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#ifndef JSON_NOEXCEPTION
#define JSON_NOEXCEPTION
#endif
#include <nlohmann/json.hpp>

#include "absl/functional/function_ref.h"
#include "sentry/boot/status.h"

namespace boot {

using Json = nlohmann::json;

// Parses `text`; what is wrong with it is said by byte offset.
StatusOr<Json> ParseJson(std::string_view text);

class JsonReader {
 public:
  JsonReader(const Json& object, std::string path, Status& status);

  // Each leaves the target alone when the key is missing or null.
  void String(const char* key, std::string& out) const;
  void Bool(const char* key, bool& out) const;
  void Strings(const char* key, std::vector<std::string>& out) const;
  void StringMap(const char* key, std::map<std::string, std::string>& out) const;
  void Object(const char* key, absl::FunctionRef<void(const JsonReader&)> read) const;
  void Objects(const char* key, absl::FunctionRef<void(const JsonReader&)> read) const;

  template <class T>
  void Integer(const char* key, T& out) const {
    const Json* value = Find(key);
    if (value != nullptr) ReadInteger(*value, key, out);
  }
  template <class T>
  void Integer(const char* key, std::optional<T>& out) const {
    T value{};
    if (Find(key) == nullptr) return;
    Integer(key, value);
    out = value;
  }
  template <class T>
  void Integers(const char* key, std::vector<T>& out) const {
    const Json* array = FindArray(key);
    if (array == nullptr) return;
    for (const Json& item : *array) {
      T value{};
      ReadInteger(item, key, value);
      out.push_back(value);
    }
  }

  bool Has(const char* key) const { return Find(key) != nullptr; }
  // Records an error about `key` of this object ("" for the object itself).
  void Fail(std::string_view key, std::string_view what) const;

 private:
  const Json* Find(const char* key) const;
  const Json* FindArray(const char* key) const;

  template <class T>
  void ReadInteger(const Json& value, const char* key, T& out) const {
    if (value.is_number_unsigned()) {
      uint64_t n = value.get<uint64_t>();
      if (n <= static_cast<uint64_t>(std::numeric_limits<T>::max())) {
        out = static_cast<T>(n);
        return;
      }
    } else if (value.is_number_integer()) {
      int64_t n = value.get<int64_t>();
      if (std::numeric_limits<T>::is_signed &&
          n >= static_cast<int64_t>(std::numeric_limits<T>::min())) {
        out = static_cast<T>(n);  // negative: positive integers are unsigned to the parser
        return;
      }
    } else {
      Fail(key, "expected an integer");
      return;
    }
    Fail(key, "the number is out of range");
  }

  const Json& object_;
  std::string path_;
  Status& status_;
};

}  // namespace boot
