#pragma once

// A file for unit tests: a memfd of the host, mapped and read as the gofer's files are.

#include <string>

#include "base/fd.h"
#include "vfs/file_description.h"

namespace mm::testing {

class FakeMappable : public vfs::Mappable {
 public:
  explicit FakeMappable(std::string_view content);
  Result<Pages> Translate(uint64_t offset, uint64_t length, bool write) override;
  Result<size_t> Read(void* to, uint64_t offset, size_t length) override;
  Result<uint64_t> Size() override;
  Result<void> Sync(uint64_t, uint64_t) override {
    syncs++;
    return {};
  }
  Result<void> AddWritable() override {
    writable++;
    return {};
  }
  void RemoveWritable() override { writable--; }
  void AddMapper(Mapper* mapper) override { mappers.push_back(mapper); }
  void RemoveMapper(Mapper* mapper) override { std::erase(mappers, mapper); }

  void Truncate(uint64_t size);  // and tells the mappers
  std::string Content();
  int fd() const { return fd_.get(); }

  int writable = 0, syncs = 0, translations = 0, reads = 0;
  std::vector<Mapper*> mappers;

 private:
  Fd fd_;
};

class FakeFile : public vfs::FileDescription {
 public:
  // `flags`: O_RDONLY, O_RDWR...
  FakeFile(std::string_view content, int flags);

  Result<size_t> ReadAt(const IoVec& to, uint64_t offset, int rwf_flags) override;
  Result<vfs::Attributes> Stat() override;
  Result<RefPtr<vfs::Mappable>> Map() override { return RefPtr<vfs::Mappable>(mappable); }

  const RefPtr<FakeMappable> mappable;
};

}  // namespace mm::testing
