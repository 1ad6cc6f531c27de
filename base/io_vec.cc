#include "base/io_vec.h"

#include <algorithm>

namespace base {

void IoVec::Append(void* base, size_t size) {
  if (size == 0) return;
  size_ += size;
  if (!slices_.empty() && static_cast<char*>(slices_.back().iov_base) + slices_.back().iov_len == base) {
    slices_.back().iov_len += size;
    return;
  }
  slices_.push_back({base, size});
}

IoVec IoVec::Slice(size_t offset, size_t length) const {
  IoVec part;
  for (const iovec& slice : slices_) {
    if (offset >= slice.iov_len) {
      offset -= slice.iov_len;
      continue;
    }
    size_t take = std::min(length, slice.iov_len - offset);
    part.Append(static_cast<char*>(slice.iov_base) + offset, take);
    length -= take;
    offset = 0;
    if (length == 0) break;
  }
  return part;
}

namespace {
// Calls copy(span, offset in the caller's buffer, length) -> copied for each piece of [offset, offset + size).
template <class Copy>
size_t ForPieces(const iovec* slices, int count, size_t offset, size_t size, Copy copy) {
  size_t done = 0;
  for (int i = 0; i < count && done < size; i++) {
    if (offset >= slices[i].iov_len) {
      offset -= slices[i].iov_len;
      continue;
    }
    size_t take = std::min(size - done, slices[i].iov_len - offset);
    size_t copied = copy(static_cast<char*>(slices[i].iov_base) + offset, done, take);
    done += copied;
    if (copied < take) break;
    offset = 0;
  }
  return done;
}
}  // namespace

size_t IoVec::Write(size_t offset, const void* from, size_t size) const {
  return ForPieces(data(), count(), offset, size, [from](char* span, size_t done, size_t take) {
    return SafeCopy(span, static_cast<const char*>(from) + done, take);
  });
}

size_t IoVec::Read(size_t offset, void* to, size_t size) const {
  return ForPieces(data(), count(), offset, size, [to](char* span, size_t done, size_t take) {
    return SafeCopy(static_cast<char*>(to) + done, span, take);
  });
}

size_t IoVec::Zero(size_t offset, size_t size) const {
  return ForPieces(data(), count(), offset, size, [](char* span, size_t, size_t take) { return SafeZero(span, take); });
}

}  // namespace base
