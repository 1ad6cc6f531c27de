#pragma once

// Window: a part of a host file as the Sentry sees it, for reading string literals and other file-backed application
// memory without a host call. Shared by the pieces that it was made for, their copies after fork, and I/O in progress.
// The file may shrink at any time: access it by SafeCopy only.

#include <cstdint>

#include "base/ref.h"
#include "base/result.h"

namespace mm {

class Window : public RefCounted {
 public:
  static Result<RefPtr<Window>> Create(int fd, uint64_t offset, uint64_t length, bool writable);
  ~Window() override;

  char* At(uint64_t offset) const { return base_ + (offset - offset_); }
  bool Covers(uint64_t offset, uint64_t length) const {
    return offset >= offset_ && offset + length <= offset_ + length_;
  }
  bool writable() const { return writable_; }

 private:
  Window(char* base, uint64_t offset, uint64_t length, bool writable)
      : base_(base), offset_(offset), length_(length), writable_(writable) {}

  char* const base_;
  const uint64_t offset_, length_;
  const bool writable_;

  template <class T, class... Args>
  friend RefPtr<T> base::MakeRef(Args&&... args);
};

}  // namespace mm
