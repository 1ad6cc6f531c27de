#pragma once

// The bytes of a regular file: extents of pages in the memory file, holes between them. Also what mmap(2) maps.
//
// An extent covers up to 64 consecutive pages of the file with consecutive pages of the memory file. It may reserve more
// than is in use (growing files get ever larger extents), so a bit a page says which ones hold data: only those count
// against the file system's size, in st_blocks, and as data for lseek(2). A page without its bit reads as zeroes, and so
// does everything between the end of the file and the end of its last page.

#include <vector>

#include "absl/container/btree_map.h"
#include "base/io_vec.h"
#include "base/memory_file.h"
#include "vfs/fs/tmpfs/space.h"
#include "vfs/mappable.h"

namespace tmpfs {

class FileData final : public vfs::Mappable {
 public:
  explicit FileData(RefPtr<Space> space) : space_(std::move(space)) {}
  ~FileData() override;

  uint64_t size() const { return size_; }
  uint64_t data_pages() const { return data_pages_; }

  // Reads up to the end of the file. EFAULT when the first byte cannot be stored.
  Result<size_t> ReadAt(const IoVec& to, uint64_t offset) const;
  // Writes, growing the file. ENOSPC, EFBIG, EPERM (seals); a part counts as success.
  Result<size_t> WriteAt(const IoVec& from, uint64_t offset);
  Result<void> SetSize(uint64_t size);

  // fallocate(2).
  Result<void> Allocate(uint64_t offset, uint64_t length, bool keep_size);
  Result<void> PunchHole(uint64_t offset, uint64_t length);
  Result<void> ZeroRange(uint64_t offset, uint64_t length, bool keep_size);

  // lseek(2) SEEK_DATA, SEEK_HOLE: ENXIO at or beyond the end.
  Result<uint64_t> SeekData(uint64_t offset) const;
  Result<uint64_t> SeekHole(uint64_t offset) const;

  // File seals, fcntl(2) F_ADD_SEALS.
  uint32_t seals = 0;
  int writable_mappings() const { return writable_mappings_; }

  // --- Mappable ---
  Result<Pages> Translate(uint64_t offset, uint64_t length, bool write) override;
  Result<size_t> Read(void* to, uint64_t offset, size_t length) override;
  Result<uint64_t> Size() override { return size_; }
  uint64_t populate_ahead() const override { return uint64_t{1} << 20; }
  Result<void> AddWritable() override;
  void RemoveWritable() override { writable_mappings_--; }
  void AddMapper(Mapper* mapper) override { mappers_.push_back(mapper); }
  void RemoveMapper(Mapper* mapper) override;

 private:
  static constexpr uint32_t kMaxExtentPages = 64;
  struct Extent {
    uint64_t offset = 0;    // in the memory file
    uint32_t pages = 0;
    uint64_t present = 0;   // bit i: page i holds data
  };
  using Extents = absl::btree_map<uint64_t, Extent>;  // by first page of the file

  // The extent that covers `page`, or end().
  Extents::iterator Find(uint64_t page);
  Extents::const_iterator Find(uint64_t page) const { return const_cast<FileData*>(this)->Find(page); }
  // Reserves pages from `page` on, where there are none: `wanted` of them or fewer, more if the file seems to grow. The
  // caller is about to write `whole` pages completely: when that is all, *raw says that they are not zeroed.
  Result<Extents::iterator> Reserve(uint64_t page, uint64_t wanted, uint64_t whole, bool* raw);
  // Reserves all missing pages of a range, in as few pieces of the memory file as possible.
  Result<void> ReserveRange(uint64_t first, uint64_t end);
  // Marks pages of an extent as holding data. ENOSPC.
  Result<void> MarkPresent(Extent& extent, uint32_t first, uint32_t count);
  void DropPages(uint64_t first, uint64_t end);
  void ZeroBytes(uint64_t offset, uint64_t end);  // where there is data
  void Grow(uint64_t size);
  void Invalidate(uint64_t offset, uint64_t end);

  const RefPtr<Space> space_;
  uint64_t size_ = 0;
  Extents extents_;
  uint64_t data_pages_ = 0;
  bool mapped_ = false;  // was ever: there may be bytes behind the end
  int writable_mappings_ = 0;
  std::vector<Mapper*> mappers_;
};

}  // namespace tmpfs
