#pragma once

// The bytes of an I/O request as spans of this process's memory: mostly app memory that the caller has pinned
// (sentry/mm), which the app may be changing at the same time, and which may be a file mapping that shrinks. So: copy
// once, through CopyIn/CopyOut here, never read twice.

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "absl/container/inlined_vector.h"
#include "base/result.h"

namespace base {

// memcpy that survives SIGBUS and SIGSEGV on either side: returns the number of bytes that were copied before the fault.
// Needs InstallSafeCopyHandler, once a process.
size_t SafeCopy(void* to, const void* from, size_t size);
size_t SafeZero(void* to, size_t size);
void InstallSafeCopyHandler();

class IoVec {
 public:
  IoVec() = default;
  IoVec(void* base, size_t size) { Append(base, size); }

  void Append(void* base, size_t size);
  void Clear() {
    slices_.clear();
    size_ = 0;
  }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  // For preadv(2) and the like; at most `count()` entries.
  const iovec* data() const { return slices_.data(); }
  int count() const { return static_cast<int>(slices_.size()); }

  // A part of it.
  IoVec Slice(size_t offset, size_t length) const;

  // Copies `size` bytes from `from` into the spans, beginning `offset` bytes in. Returns how many arrived (less only when
  // the end or a fault was met).
  size_t Write(size_t offset, const void* from, size_t size) const;
  // Copies out of the spans.
  size_t Read(size_t offset, void* to, size_t size) const;
  size_t Zero(size_t offset, size_t size) const;

 private:
  absl::InlinedVector<iovec, 2> slices_;
  size_t size_ = 0;
};

}  // namespace base

using base::IoVec;
