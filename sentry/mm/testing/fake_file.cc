#include "sentry/mm/testing/fake_file.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "base/log.h"
#include "base/memory_file.h"

namespace mm::testing {

FakeMappable::FakeMappable(std::string_view content) : fd_(memfd_create("fake", MFD_CLOEXEC)) {
  CHECK(fd_.valid());
  CHECK(pwrite(fd_.get(), content.data(), content.size(), 0) == static_cast<ssize_t>(content.size()));
}

Result<uint64_t> FakeMappable::Size() {
  struct stat st;
  CHECK(fstat(fd_.get(), &st) == 0);
  return static_cast<uint64_t>(st.st_size);
}

Result<vfs::Mappable::Pages> FakeMappable::Translate(uint64_t offset, uint64_t length, bool) {
  translations++;
  uint64_t end = base::PageUp(TRY(Size()));
  if (offset >= end) return Errno::kENXIO;
  return Pages{.fd = fd_.get(), .offset = offset, .length = std::min(length, end - offset)};
}

Result<size_t> FakeMappable::Read(void* to, uint64_t offset, size_t length) {
  reads++;
  ssize_t n = pread(fd_.get(), to, length, static_cast<off_t>(offset));
  CHECK(n >= 0);
  memset(static_cast<char*>(to) + n, 0, length - static_cast<size_t>(n));
  return static_cast<size_t>(n);
}

void FakeMappable::Truncate(uint64_t size) {
  uint64_t old = *Size();
  CHECK(ftruncate(fd_.get(), static_cast<off_t>(size)) == 0);
  if (size >= old) return;
  auto told = mappers;
  for (Mapper* mapper : told) mapper->InvalidateMappings(base::PageUp(size), UINT64_MAX);
}

std::string FakeMappable::Content() {
  std::string content(*Size(), '\0');
  CHECK(pread(fd_.get(), content.data(), content.size(), 0) == static_cast<ssize_t>(content.size()));
  return content;
}

FakeFile::FakeFile(std::string_view content, int flags) : mappable(MakeRef<FakeMappable>(content)) {
  Init({}, flags, nullptr);
}

Result<vfs::Attributes> FakeFile::Stat() {
  struct stat st;
  if (fstat(mappable->fd(), &st) != 0) return Errno::kEIO;
  vfs::Attributes attributes;
  attributes.dev = st.st_dev;
  attributes.ino = st.st_ino;
  attributes.size = static_cast<uint64_t>(st.st_size);
  return attributes;
}

Result<size_t> FakeFile::ReadAt(const IoVec& to, uint64_t offset, int) {
  ssize_t n = preadv(mappable->fd(), to.data(), to.count(), static_cast<off_t>(offset));
  if (n < 0) return Errno::kEIO;
  return static_cast<size_t>(n);
}

}  // namespace mm::testing
