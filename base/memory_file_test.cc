#include "base/memory_file.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstring>
#include <map>
#include <random>
#include <vector>

#include "base/log.h"

namespace base {
namespace {

MemoryFile& File() {
  static bool created = [] {
    CHECK_OK(MemoryFile::Create(uint64_t{1} << 32));
    return true;
  }();
  (void)created;
  return MemoryFile::Get();
}

TEST(MemoryFile, RecycledPagesReadAsZeroes) {
  MemoryFile& file = File();
  uint64_t offset = *file.Allocate(65536);
  memset(file.At(offset), 'x', 3 * kPageSize);
  file.DecRef(offset, 65536);
  MemoryFile::Runs present;
  EXPECT_EQ(*file.Allocate(65536, offset, &present), offset);
  ASSERT_EQ(present.size(), 1u);  // the rest was never touched
  EXPECT_EQ(present[0].offset, offset);
  EXPECT_EQ(present[0].length, 3 * kPageSize);
  EXPECT_EQ(file.At(offset)[100], 0);
  memset(file.At(offset), 'x', 65536);
  file.DecRef(offset, 65536);
  present.clear();
  EXPECT_EQ(*file.Allocate(65536, offset, &present), offset);
  ASSERT_EQ(present.size(), 1u);
  EXPECT_EQ(present[0].length, 65536u);
  EXPECT_EQ(std::string(file.At(offset), 65536), std::string(65536, '\0'));
  file.DecRef(offset, 65536);
}

TEST(MemoryFile, RecycledPiecesReadAsZeroesHoweverManyTheyAre) {
  MemoryFile& file = File();
  for (uint64_t step : {2, 3, 40}) {
    uint64_t length = 1 << 20;
    uint64_t offset = *file.Allocate(length);
    for (uint64_t at = 0; at < length; at += step * kPageSize) memset(file.At(offset + at), 'x', kPageSize);
    file.DecRef(offset, length);
    MemoryFile::Runs present;
    EXPECT_EQ(*file.Allocate(length, offset, &present), offset);
    EXPECT_EQ(std::string(file.At(offset), length), std::string(length, '\0'));
    uint64_t last = offset;
    for (auto run : present) {
      EXPECT_GE(run.offset, last);
      last = run.offset + run.length;
    }
    EXPECT_LE(last, offset + length);
    file.DecRef(offset, length);
    file.Trim();
  }
}

TEST(MemoryFile, TrimGivesPagesBack) {
  MemoryFile& file = File();
  uint64_t offset = *file.Allocate(1 << 20);
  memset(file.At(offset), 'x', 1 << 20);
  uint64_t committed = file.committed_bytes();
  EXPECT_EQ(file.CommittedIn(offset, 1 << 20), 1u << 20);
  file.DecRef(offset, 1 << 20);
  EXPECT_EQ(file.committed_bytes(), committed);
  EXPECT_GE(file.recyclable_bytes(), 1u << 20);
  file.Trim();
  EXPECT_EQ(file.recyclable_bytes(), 0u);
  EXPECT_LE(file.committed_bytes(), committed - (1 << 20));
}

TEST(MemoryFile, CapacityIsALimit) {
  MemoryFile& file = File();
  file.Trim();
  uint64_t before = file.allocated_bytes();
  ASSERT_EQ(before, 0u);
  EXPECT_EQ(file.Allocate(uint64_t{1} << 33).error(), Errno::kENOMEM);
  std::vector<uint64_t> offsets;
  while (true) {
    Result<uint64_t> offset = file.Allocate(uint64_t{1} << 30);
    if (!offset.ok()) break;
    offsets.push_back(*offset);
  }
  EXPECT_EQ(offsets.size(), 4u);
  for (uint64_t offset : offsets) file.DecRef(offset, uint64_t{1} << 30);
  EXPECT_EQ(file.allocated_bytes(), before);
}

TEST(MemoryFile, CopiesHaveTheContent) {
  MemoryFile& file = File();
  std::string content(3 * kPageSize, 'c');
  uint64_t offset = *file.AllocateCopy(content.data(), content.size());
  EXPECT_EQ(std::string(file.At(offset), content.size()), content);
  uint64_t again = *file.AllocateCopy(file.At(offset), content.size());
  EXPECT_EQ(std::string(file.At(again), content.size()), content);
  file.DecRef(offset, content.size());
  file.DecRef(again, content.size());
}

TEST(MemoryFile, FillTakesScatteredBytesAsFarAsTheyCanBeRead) {
  MemoryFile& file = File();
  InstallSafeCopyHandler();
  uint64_t offset = *file.Allocate(4 * kPageSize);
  std::string first(kPageSize + 100, 'a'), second(kPageSize, 'b');
  IoVec from(first.data(), first.size());
  from.Append(second.data(), second.size());
  EXPECT_EQ(file.Fill(offset + 10, from), first.size() + second.size());
  EXPECT_EQ(std::string(file.At(offset + 10), from.size()), first + second);
  EXPECT_EQ(file.At(offset)[9], 0);
  EXPECT_EQ(file.At(offset + 10 + from.size())[0], 0);
  // The second page of the source is not there.
  char* source = static_cast<char*>(mmap(nullptr, 2 * kPageSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  memset(source, 'c', kPageSize);
  ASSERT_EQ(mprotect(source + kPageSize, kPageSize, PROT_NONE), 0);
  EXPECT_EQ(file.Fill(offset, IoVec(source, 2 * kPageSize)), kPageSize);
  EXPECT_EQ(std::string(file.At(offset), kPageSize), std::string(kPageSize, 'c'));
  munmap(source, 2 * kPageSize);
  file.DecRef(offset, 4 * kPageSize);
}

// Counts page by page against a model, over ranges around block borders; what is allocated is zero and nobody else's.
TEST(MemoryFile, RandomOperations) {
  MemoryFile& file = File();
  uint64_t before = file.allocated_bytes();
  std::mt19937_64 random(7);
  std::map<uint64_t, uint32_t> model;  // allocated page -> count
  auto random_range = [&](uint64_t* length) {
    auto it = model.begin();
    std::advance(it, static_cast<long>(random() % model.size()));
    uint64_t start = it->first, pages = 0, want = random() % 4 != 0 ? random() % 20 + 1 : random() % 2000 + 1;
    for (; it != model.end() && it->first == start + pages * kPageSize && pages < want; ++it) pages++;
    *length = pages * kPageSize;
    return start;
  };
  for (int step = 0; step < 4000; step++) {
    uint64_t length;
    if (model.empty() || (model.size() < 20000 && random() % 3 == 0)) {
      length = (random() % 8 != 0 ? random() % 40 + 1 : random() % 3000 + 1) * kPageSize;
      uint64_t near = MemoryFile::kAnywhere;
      if (!model.empty() && random() % 2 == 0) near = model.begin()->first - std::min(model.begin()->first, length);
      uint64_t offset = *file.Allocate(length, near);
      for (uint64_t at = offset; at < offset + length; at += kPageSize) {
        ASSERT_TRUE(model.emplace(at, 1).second);
        if (random() % 16 == 0) {
          ASSERT_EQ(file.At(at)[8], 0);
          file.At(at)[8] = 1;
        }
      }
    } else if (random() % 2 == 0) {
      uint64_t start = random_range(&length);
      file.IncRef(start, length);
      for (uint64_t at = start; at < start + length; at += kPageSize) model[at]++;
    } else {
      uint64_t start = random_range(&length);
      file.DecRef(start, length);
      for (uint64_t at = start; at < start + length; at += kPageSize) {
        if (--model[at] == 0) model.erase(at);
      }
    }
    if (step % 50 == 0) {
      for (auto [at, count] : model) ASSERT_EQ(file.RefCount(at), count);
      ASSERT_EQ(file.allocated_bytes(), before + model.size() * kPageSize);
    }
  }
  for (auto [at, count] : model) {
    while (count-- > 0) file.DecRef(at, kPageSize);
  }
  EXPECT_EQ(file.allocated_bytes(), before);
}

}  // namespace
}  // namespace base
