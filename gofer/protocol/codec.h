#pragma once

// Bounded reading and writing of messages. A Reader never looks past the end: what is not there is a null or an empty result, and the caller
// treats the message as malformed. A Writer refuses what does not fit.

#include <cstring>
#include <optional>
#include <string_view>
#include <type_traits>

#include "gofer/protocol/protocol.h"

namespace gofer {

class Reader {
 public:
  Reader(const char* data, size_t size) : at_(data), left_(size) {}

  template <class T>
  std::optional<T> Take() {
    static_assert(std::is_trivially_copyable_v<T> && alignof(T) == 1);
    if (left_ < sizeof(T)) return std::nullopt;
    T value;
    memcpy(&value, at_, sizeof value);
    Skip(sizeof value);
    return value;
  }
  std::optional<std::string_view> TakeBytes(size_t size) {
    if (left_ < size) return std::nullopt;
    std::string_view bytes(at_, size);
    Skip(size);
    return bytes;
  }
  // A length byte and that many bytes. Not checked otherwise.
  std::optional<std::string_view> TakeName() {
    if (left_ < 1) return std::nullopt;
    size_t size = static_cast<unsigned char>(*at_);
    Skip(1);
    return TakeBytes(size);
  }
  std::string_view Rest() const { return {at_, left_}; }
  bool AtEnd() const { return left_ == 0; }

 private:
  void Skip(size_t size) {
    at_ += size;
    left_ -= size;
  }
  const char* at_;
  size_t left_;
};

class Writer {
 public:
  Writer(char* data, size_t capacity) : data_(data), capacity_(capacity) {}

  template <class T>
  bool Put(const T& value) {
    static_assert(std::is_trivially_copyable_v<T> && alignof(T) == 1);
    return PutBytes(&value, sizeof value);
  }
  bool PutBytes(const void* bytes, size_t size) {
    if (size > room()) return false;
    if (size != 0) memcpy(data_ + size_, bytes, size);
    size_ += size;
    return true;
  }
  bool PutName(std::string_view name) {
    if (name.size() > kMaxName || name.size() + 1 > room()) return false;
    data_[size_++] = static_cast<char>(name.size());
    return PutBytes(name.data(), name.size());
  }

  // Reserves space to be filled by Fill: for headers whose contents are known last.
  template <class T>
  size_t Reserve() {
    size_t at = size_;
    Put(T{});
    return at;
  }
  template <class T>
  void Fill(size_t at, const T& value) {
    if (at + sizeof value <= size_) memcpy(data_ + at, &value, sizeof value);
  }

  char* data() const { return data_; }
  char* end() const { return data_ + size_; }
  void Advance(size_t size) { size_ += size <= room() ? size : room(); }
  size_t size() const { return size_; }
  size_t room() const { return capacity_ - size_; }
  void Truncate(size_t size) { size_ = size <= size_ ? size : size_; }

 private:
  char* data_;
  size_t capacity_;
  size_t size_ = 0;
};

// Whether `name` may be used as one component beneath a directory.
inline bool ValidName(std::string_view name) {
  return !name.empty() && name.size() <= kMaxName && name != "." && name != ".." &&
         name.find('/') == std::string_view::npos && name.find('\0') == std::string_view::npos;
}

}  // namespace gofer
