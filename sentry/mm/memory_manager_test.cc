#include "sentry/mm/memory_manager.h"

#include <gtest/gtest.h>

#include "sentry/mm/testing/fake_file.h"
#include "sentry/mm/testing/fake_platform.h"

namespace mm {
namespace {

using testing::FakeCpu;
using testing::FakeFile;
using testing::FakePlatform;

constexpr int kReadWrite = PROT_READ | PROT_WRITE;

class MemoryManagerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    testing::SetUpMemory();
    allocated_before_ = base::MemoryFile::Get().allocated_bytes();
    memory_ = *MemoryManager::Create(platform_);
    memory_->SetLayout(0x7ffe00000000);
  }
  void TearDown() override {
    memory_.reset();
    EXPECT_EQ(base::MemoryFile::Get().allocated_bytes(), allocated_before_);
  }

  Result<uint64_t> MapAnonymous(uint64_t length, int prot = kReadWrite, int flags = 0, uint64_t address = 0) {
    if ((flags & MAP_TYPE) == 0) flags |= MAP_PRIVATE;
    return memory_->Map({.address = address, .length = length, .prot = prot, .flags = flags | MAP_ANONYMOUS});
  }
  Result<uint64_t> MapFile(const RefPtr<FakeFile>& file, uint64_t length, int prot, int flags, uint64_t offset = 0) {
    return memory_->Map({.length = length, .prot = prot, .flags = flags, .file = file, .offset = offset});
  }
  size_t VmaCount() {
    size_t count = 0;
    memory_->ForEachVma([&](const VmaInfo&) {
      count++;
      return true;
    });
    return count;
  }

  FakePlatform platform_;
  uint64_t allocated_before_ = 0;
  RefPtr<MemoryManager> memory_;
};

TEST_F(MemoryManagerTest, AnonymousMemoryNeverFaults) {
  uint64_t address = *MapAnonymous(1 << 20);
  FakeCpu cpu(*memory_);
  EXPECT_EQ(*cpu.Load(address), 0);
  EXPECT_TRUE(cpu.Store(address + 12345, 7).ok());
  EXPECT_EQ(*cpu.Load(address + 12345), 7);
  EXPECT_EQ(cpu.faults, 0);
  EXPECT_EQ(*memory_->Read<uint8_t>(address + 12345), 7);
  EXPECT_TRUE(memory_->Unmap(address, 1 << 20).ok());
  EXPECT_EQ(cpu.Load(address).error(), Errno::kEFAULT);
  EXPECT_EQ(memory_->Read<uint8_t>(address).error(), Errno::kEFAULT);
}

TEST_F(MemoryManagerTest, RecycledPagesAreZero) {
  uint64_t address = *MapAnonymous(65536);
  std::string junk(65536, 'x');
  ASSERT_TRUE(memory_->CopyOut(address, junk.data(), junk.size()).ok());
  ASSERT_TRUE(memory_->Unmap(address, 65536).ok());
  address = *MapAnonymous(65536);
  ASSERT_TRUE(memory_->CopyIn(junk.data(), address, junk.size()).ok());
  EXPECT_EQ(junk, std::string(65536, '\0'));
}

TEST_F(MemoryManagerTest, MmapErrors) {
  EXPECT_EQ(MapAnonymous(0).error(), Errno::kEINVAL);
  EXPECT_EQ(MapAnonymous(UINT64_MAX).error(), Errno::kENOMEM);
  EXPECT_EQ(MapAnonymous(uint64_t{1} << 47).error(), Errno::kENOMEM);
  EXPECT_EQ(MapAnonymous(4096, kReadWrite, MAP_FIXED, 0x10001).error(), Errno::kEINVAL);
  EXPECT_EQ(MapAnonymous(4096, kReadWrite, MAP_FIXED, 0x7fff00000000).error(), Errno::kENOMEM);
  EXPECT_EQ(MapAnonymous(4096, kReadWrite, MAP_FIXED, 0x1000).error(), Errno::kEPERM);
  EXPECT_EQ(memory_->Map({.length = 4096, .prot = 1, .flags = MAP_ANONYMOUS}).error(), Errno::kEINVAL);
  auto read_only = MakeRef<FakeFile>("x", O_RDONLY);
  EXPECT_EQ(MapFile(read_only, 4096, kReadWrite, MAP_SHARED).error(), Errno::kEACCES);
  EXPECT_TRUE(MapFile(read_only, 4096, kReadWrite, MAP_PRIVATE).ok());
  EXPECT_EQ(MapFile(read_only, 4096, PROT_READ, MAP_PRIVATE, 1).error(), Errno::kEINVAL);
  EXPECT_EQ(MapFile(read_only, 4096, PROT_READ, 0).error(), Errno::kEINVAL);
  EXPECT_EQ(MapFile(read_only, 4096, PROT_READ, MAP_PRIVATE, uint64_t{0} - 4096).error(), Errno::kEOVERFLOW);
  EXPECT_EQ(MapFile(MakeRef<FakeFile>("x", O_WRONLY), 4096, PROT_READ, MAP_PRIVATE).error(), Errno::kEACCES);
  EXPECT_EQ(MapFile(read_only, 4096, PROT_READ, MAP_SHARED_VALIDATE | 0x80000).error(), Errno::kEOPNOTSUPP);
}

TEST_F(MemoryManagerTest, HintsAndFixed) {
  EXPECT_EQ(*MapAnonymous(4096, kReadWrite, 0, 0x500000123), 0x500000000u);
  EXPECT_NE(*MapAnonymous(4096, kReadWrite, 0, 0x500000000), 0x500000000u);
  EXPECT_EQ(MapAnonymous(8192, kReadWrite, MAP_FIXED_NOREPLACE, 0x4fffff000).error(), Errno::kEEXIST);
  ASSERT_TRUE(memory_->Write<uint8_t>(0x500000000, 9).ok());
  EXPECT_EQ(*MapAnonymous(8192, PROT_READ, MAP_FIXED, 0x4fffff000), 0x4fffff000u);
  EXPECT_EQ(*memory_->Read<uint8_t>(0x500000000), 0);
  EXPECT_LT(*MapAnonymous(4096, kReadWrite, MAP_32BIT), uint64_t{0x80000000});
}

TEST_F(MemoryManagerTest, TopDownAndMerged) {
  uint64_t first = *MapAnonymous(4096);
  uint64_t second = *MapAnonymous(4096);
  EXPECT_EQ(second, first - 4096);
  EXPECT_EQ(VmaCount(), 1u);
  EXPECT_TRUE(memory_->Protect(first, 4096, PROT_READ).ok());
  EXPECT_EQ(VmaCount(), 2u);
  EXPECT_TRUE(memory_->Protect(first, 4096, kReadWrite).ok());
  EXPECT_EQ(VmaCount(), 1u);
}

TEST_F(MemoryManagerTest, ProtectNoneCostsNothingUntilAccessible) {
  uint64_t before = base::MemoryFile::Get().allocated_bytes();
  uint64_t address = *MapAnonymous(uint64_t{64} << 30, PROT_NONE);
  EXPECT_EQ(base::MemoryFile::Get().allocated_bytes(), before);
  FakeCpu cpu(*memory_);
  EXPECT_EQ(cpu.Load(address).error(), Errno::kEACCES);
  ASSERT_TRUE(memory_->Protect(address + 4096, 65536, kReadWrite).ok());
  EXPECT_EQ(base::MemoryFile::Get().allocated_bytes(), before + 65536);
  EXPECT_TRUE(cpu.Store(address + 4096, 1).ok());
  EXPECT_EQ(cpu.Load(address).error(), Errno::kEACCES);
  EXPECT_EQ(cpu.Store(address + 4096 + 65536, 1).error(), Errno::kEACCES);
}

TEST_F(MemoryManagerTest, HugeReservationsFillByChunks) {
  uint64_t address = *MapAnonymous(uint64_t{16} << 40, kReadWrite, MAP_NORESERVE);
  FakeCpu cpu(*memory_);
  EXPECT_TRUE(cpu.Store(address + (uint64_t{5} << 40), 1).ok());
  EXPECT_EQ(*cpu.Load(address + (uint64_t{5} << 40)), 1);
  EXPECT_EQ(*cpu.Load(address), 0);
}

TEST_F(MemoryManagerTest, ProtectErrors) {
  uint64_t address = *MapAnonymous(3 * 4096);
  EXPECT_EQ(memory_->Protect(address + 1, 4096, PROT_READ).error(), Errno::kEINVAL);
  EXPECT_EQ(memory_->Protect(address, 4096, 0x100).error(), Errno::kEINVAL);
  ASSERT_TRUE(memory_->Unmap(address + 4096, 4096).ok());
  EXPECT_EQ(memory_->Protect(address, 3 * 4096, PROT_READ).error(), Errno::kENOMEM);
  FakeCpu cpu(*memory_);
  EXPECT_EQ(cpu.Store(address, 1).error(), Errno::kEACCES);  // done as far as the hole
  EXPECT_TRUE(cpu.Store(address + 8192, 1).ok());
  auto file = MakeRef<FakeFile>(std::string(4096, 'a'), O_RDONLY);
  uint64_t mapped = *MapFile(file, 4096, PROT_READ, MAP_SHARED);
  EXPECT_EQ(memory_->Protect(mapped, 4096, kReadWrite).error(), Errno::kEACCES);
}

TEST_F(MemoryManagerTest, BrkGrowsAndShrinks) {
  EXPECT_EQ(memory_->Brk(0), 0u);
  memory_->start_brk = memory_->brk = 0x600000000;
  EXPECT_EQ(memory_->Brk(0), 0x600000000u);
  EXPECT_EQ(memory_->Brk(0x600000010), 0x600000010u);
  FakeCpu cpu(*memory_);
  EXPECT_TRUE(cpu.Store(0x600000000, 5).ok());
  for (int i = 1; i < 100; i++) EXPECT_EQ(memory_->Brk(0x600000000 + i * 0x21000), 0x600000000u + i * 0x21000);
  EXPECT_EQ(VmaCount(), 1u);
  EXPECT_TRUE(cpu.Store(0x600020000, 5).ok());
  EXPECT_EQ(memory_->Brk(0x600001000), 0x600001000u);
  EXPECT_EQ(cpu.Load(0x600020000).error(), Errno::kEFAULT);
  EXPECT_EQ(memory_->Brk(0x600021000), 0x600021000u);
  EXPECT_EQ(*cpu.Load(0x600020000), 0);
  EXPECT_EQ(memory_->Brk(0x5ffff0000), 0x600021000u);
  ASSERT_EQ(*MapAnonymous(4096, kReadWrite, MAP_FIXED, 0x600022000), 0x600022000u);
  EXPECT_EQ(memory_->Brk(0x600024000), 0x600021000u);
}

TEST_F(MemoryManagerTest, PrivateFileMapping) {
  std::string content(3 * 4096 + 100, 'f');
  auto file = MakeRef<FakeFile>(content, O_RDONLY);
  uint64_t address = *MapFile(file, 6 * 4096, PROT_READ, MAP_PRIVATE);
  FakeCpu cpu(*memory_);
  EXPECT_EQ(*cpu.Load(address + 3 * 4096 + 99), 'f');
  EXPECT_EQ(*cpu.Load(address + 3 * 4096 + 100), 0);
  EXPECT_EQ(cpu.faults, 0);
  EXPECT_EQ(cpu.Load(address + 4 * 4096).error(), Errno::kENXIO);
  EXPECT_EQ(*memory_->Read<uint8_t>(address + 5), 'f');
  EXPECT_EQ(memory_->Read<uint8_t>(address + 4 * 4096).error(), Errno::kEFAULT);
  EXPECT_EQ(memory_->Write<uint8_t>(address, 1).error(), Errno::kEFAULT);

  ASSERT_TRUE(memory_->Protect(address, 6 * 4096, kReadWrite).ok());
  EXPECT_TRUE(cpu.Store(address + 4096, 'w').ok());
  EXPECT_EQ(*memory_->Read<uint8_t>(address + 4096), 'w');
  EXPECT_EQ(*cpu.Load(address + 4097), 'f');
  EXPECT_EQ(file->mappable->Content(), content);
  EXPECT_TRUE(memory_->Write<uint8_t>(address + 8192, 'z').ok());
  EXPECT_EQ(*cpu.Load(address + 8192), 'z');
}

TEST_F(MemoryManagerTest, SmallWritableFileMappingIsCopiedAtOnce) {
  auto file = MakeRef<FakeFile>(std::string(5000, 'd'), O_RDONLY);
  uint64_t address = *MapFile(file, 4 * 4096, kReadWrite, MAP_PRIVATE);
  FakeCpu cpu(*memory_);
  EXPECT_TRUE(cpu.Store(address, 'e').ok());
  EXPECT_EQ(*cpu.Load(address + 4999), 'd');
  EXPECT_EQ(*cpu.Load(address + 5000), 0);
  EXPECT_EQ(cpu.faults, 0);
  EXPECT_EQ(cpu.Load(address + 8192).error(), Errno::kENXIO);
}

TEST_F(MemoryManagerTest, SharedFileMapping) {
  auto file = MakeRef<FakeFile>(std::string(2 * 4096, 's'), O_RDWR);
  uint64_t address = *MapFile(file, 2 * 4096, PROT_READ, MAP_SHARED);
  EXPECT_EQ(file->mappable->writable, 1);
  FakeCpu cpu(*memory_);
  EXPECT_EQ(*cpu.Load(address), 's');
  EXPECT_EQ(cpu.Store(address, 1).error(), Errno::kEACCES);
  ASSERT_TRUE(memory_->Protect(address, 4096, kReadWrite).ok());
  EXPECT_TRUE(cpu.Store(address, 't').ok());
  EXPECT_EQ(file->mappable->Content()[0], 't');
  EXPECT_TRUE(memory_->Write<uint8_t>(address + 1, 'u').ok());
  EXPECT_EQ(file->mappable->Content()[1], 'u');
  EXPECT_EQ(file->mappable->writable, 1);
  ASSERT_TRUE(memory_->Unmap(address, 4096).ok());
  EXPECT_EQ(file->mappable->writable, 1);
  ASSERT_TRUE(memory_->Unmap(address + 4096, 4096).ok());
  EXPECT_EQ(file->mappable->writable, 0);
  EXPECT_TRUE(file->mappable->mappers.empty());
}

TEST_F(MemoryManagerTest, TruncationIsSeen) {
  auto file = MakeRef<FakeFile>(std::string(3 * 4096, 's'), O_RDWR);
  uint64_t address = *MapFile(file, 3 * 4096, kReadWrite, MAP_SHARED);
  FakeCpu cpu(*memory_);
  EXPECT_TRUE(memory_->Write<uint8_t>(address + 8192, 'u').ok());
  file->mappable->Truncate(4096);
  EXPECT_EQ(*cpu.Load(address), 's');
  EXPECT_EQ(cpu.Load(address + 4096).error(), Errno::kENXIO);
  EXPECT_EQ(memory_->Read<uint8_t>(address + 8192).error(), Errno::kEFAULT);
  // Behind the Sentry's back (another host process): no crash either.
  uint64_t other = *MapFile(file, 4096, kReadWrite, MAP_SHARED);
  EXPECT_EQ(*memory_->Read<uint8_t>(other), 's');
  ASSERT_EQ(ftruncate(file->mappable->fd(), 0), 0);
  EXPECT_EQ(memory_->Read<uint8_t>(other).error(), Errno::kEFAULT);
  EXPECT_EQ(cpu.Load(other).error(), Errno::kENXIO);
}

TEST_F(MemoryManagerTest, SharedAnonymousIsSharedAfterFork) {
  uint64_t address = *MapAnonymous(8192, kReadWrite, MAP_SHARED);
  RefPtr<MemoryManager> child = *memory_->Fork();
  FakeCpu cpu(*memory_), child_cpu(*child);
  EXPECT_TRUE(cpu.Store(address, 3).ok());
  EXPECT_EQ(*child_cpu.Load(address), 3);
  EXPECT_TRUE(child->Write<uint8_t>(address, 4).ok());
  EXPECT_EQ(*cpu.Load(address), 4);
  EXPECT_EQ(*memory_->GetFutexKey(address, true), *child->GetFutexKey(address, true));
  EXPECT_FALSE(*memory_->GetFutexKey(address, false) == *child->GetFutexKey(address, false));
}

TEST_F(MemoryManagerTest, ForkCopiesOnWrite) {
  uint64_t address = *MapAnonymous(64 * 4096);
  FakeCpu cpu(*memory_);
  for (int i = 0; i < 64; i++) ASSERT_TRUE(cpu.Store(address + i * 4096, static_cast<uint8_t>(i)).ok());
  RefPtr<MemoryManager> child = *memory_->Fork();
  FakeCpu child_cpu(*child);
  EXPECT_TRUE(cpu.Store(address + 4096, 100).ok());
  EXPECT_EQ(cpu.faults, 1);
  EXPECT_EQ(*child_cpu.Load(address + 4096), 1);
  EXPECT_TRUE(child_cpu.Store(address + 2 * 4096, 200).ok());
  EXPECT_EQ(*cpu.Load(address + 2 * 4096), 2);
  EXPECT_TRUE(child->Write<uint8_t>(address + 40 * 4096, 201).ok());
  EXPECT_EQ(*cpu.Load(address + 40 * 4096), 40);
  EXPECT_EQ(*child_cpu.Load(address + 40 * 4096), 201);
  child.reset();
  // The rest is taken back without copies.
  uint64_t allocated = base::MemoryFile::Get().allocated_bytes();
  for (int i = 0; i < 64; i++) ASSERT_TRUE(cpu.Store(address + i * 4096, 9).ok());
  EXPECT_EQ(base::MemoryFile::Get().allocated_bytes(), allocated);
  EXPECT_LE(cpu.faults, 8);
}

TEST_F(MemoryManagerTest, ForkHintSavesFaults) {
  uint64_t address = *MapAnonymous(1 << 20);
  FakeCpu cpu(*memory_);
  uint64_t stack_pointer = address + 0x80010;
  ASSERT_TRUE(cpu.Store(stack_pointer, 1).ok());
  RefPtr<MemoryManager> child = *memory_->Fork({.stack_pointer = stack_pointer});
  FakeCpu child_cpu(*child);
  EXPECT_TRUE(cpu.Store(stack_pointer, 2).ok());
  EXPECT_EQ(*child_cpu.Load(stack_pointer), 1);
  EXPECT_TRUE(child_cpu.Store(stack_pointer, 3).ok());
  EXPECT_EQ(*cpu.Load(stack_pointer), 2);
  EXPECT_EQ(cpu.faults + child_cpu.faults, 0);
}

TEST_F(MemoryManagerTest, ChildrenGetWhatEarlierOnesTouched) {
  // Pieces that neither merge nor lie next to each other.
  std::vector<uint64_t> areas;
  for (int i = 0; i < 20; i++) {
    areas.push_back(*MapAnonymous(kPageSize));
    ASSERT_TRUE(memory_->Write<int>(areas.back(), i).ok());
    (void)*MapAnonymous(kPageSize, PROT_NONE);
  }
  for (int round = 0; round < 3; round++) {
    RefPtr<MemoryManager> child = *memory_->Fork();
    FakeCpu cpu(*child);
    EXPECT_EQ(cpu.space().maps, round == 0 ? 0 : 2);
    EXPECT_EQ(*cpu.Load(areas[3]), 3);
    EXPECT_EQ(*cpu.Load(areas[17]), 17);
    EXPECT_EQ(cpu.faults, round == 0 ? 2 : 0);
    EXPECT_EQ(cpu.space().maps, 2);
    EXPECT_EQ(*child->Read<int>(areas[5]), 5);  // the Sentry needs no mapping
    EXPECT_TRUE(child->Protect(areas[6], kPageSize, PROT_READ).ok());
    if (round < 2) continue;
    EXPECT_EQ(*cpu.Load(areas[6]), 6);
    EXPECT_TRUE(cpu.Store(areas[17], 9).ok());
    EXPECT_EQ(*memory_->Read<int>(areas[17]), 17);
  }
}

TEST_F(MemoryManagerTest, LibrariesAreMappedOnceTheyAreComplete) {
  auto file = MakeRef<FakeFile>(std::string(16 * kPageSize, 'l'), O_RDONLY);
  FakeCpu cpu(*memory_);
  uint64_t base = *MapFile(file, 16 * kPageSize, PROT_READ, MAP_PRIVATE | MAP_DENYWRITE);
  auto segment = [&](uint64_t page, uint64_t pages, int prot) {
    ASSERT_TRUE(memory_
                    ->Map({.address = base + page * kPageSize,
                           .length = pages * kPageSize,
                           .prot = prot,
                           .flags = MAP_PRIVATE | MAP_FIXED | MAP_DENYWRITE,
                           .file = file,
                           .offset = page * kPageSize})
                    .ok());
  };
  segment(4, 6, PROT_READ | PROT_EXEC);
  segment(10, 2, PROT_READ);
  EXPECT_EQ(cpu.space().maps + cpu.space().unmaps, 0);
  segment(12, 4, kReadWrite);
  EXPECT_EQ(cpu.space().maps, 4);
  EXPECT_EQ(cpu.space().unmaps, 0);
  for (uint64_t page = 0; page < 16; page++) EXPECT_EQ(*cpu.Load(base + page * kPageSize), 'l');
  EXPECT_EQ(cpu.faults, 0);
  // One that has no data is mapped when it is touched.
  uint64_t other = *MapFile(file, 16 * kPageSize, PROT_READ, MAP_PRIVATE | MAP_DENYWRITE);
  EXPECT_EQ(*cpu.Load(other + kPageSize), 'l');
  EXPECT_EQ(*cpu.Load(other + 9 * kPageSize), 'l');
  EXPECT_EQ(cpu.faults, 1);
}

TEST_F(MemoryManagerTest, ForksLearnWhatIsWritten) {
  uint64_t address = *MapAnonymous(1 << 20);
  FakeCpu cpu(*memory_);
  for (uint64_t i = 0; i < 1 << 20; i += 4096) ASSERT_TRUE(cpu.Store(address + i, 1).ok());
  int faults = 0;
  for (uint8_t round = 0; round < 5; round++) {
    RefPtr<MemoryManager> child = *memory_->Fork();
    FakeCpu child_cpu(*child);
    cpu.faults = 0;
    for (uint64_t at : {address, address + 0x30000, address + 0x80000}) {
      EXPECT_TRUE(child_cpu.Store(at, 100 + round).ok());
      EXPECT_EQ(*cpu.Load(at), round == 0 ? 1 : round - 1);
      EXPECT_TRUE(cpu.Store(at, round).ok());
      EXPECT_EQ(*child_cpu.Load(at), 100 + round);
    }
    faults = cpu.faults + child_cpu.faults;
    EXPECT_EQ(faults, round == 0 ? 6 : 0);
  }
}

TEST_F(MemoryManagerTest, ForksLearnWhatOnlyChildrenWrite) {
  uint64_t address = *MapAnonymous(1 << 20);
  FakeCpu cpu(*memory_);
  for (uint64_t i = 0; i < 1 << 20; i += 4096) ASSERT_TRUE(cpu.Store(address + i, 1).ok());
  // Each round can bring up one more page, since a fault brings its neighbours along.
  for (int round = 0; round < 8; round++) {
    RefPtr<MemoryManager> child = *memory_->Fork();
    FakeCpu child_cpu(*child);
    for (uint64_t at : {address + 0x30000, address + 0x31000, address + 0x33000}) {
      EXPECT_TRUE(child_cpu.Store(at, 100).ok());
      EXPECT_EQ(*child_cpu.Load(at + 4096), 1);
    }
    EXPECT_EQ(*cpu.Load(address + 0x31000), 1);
    if (round < 5) continue;
    EXPECT_EQ(child_cpu.faults, 0);
    EXPECT_EQ(child_cpu.space().maps, 2);  // the copies in one piece, and what is behind them
  }
}

TEST_F(MemoryManagerTest, PrivateDataThatIsWrittenTwiceIsCopiedInLargerPieces) {
  std::string content;
  for (char c = 0; c < 120; c++) content += std::string(2 * kPageSize, c);
  auto file = MakeRef<FakeFile>(content, O_RDONLY);
  uint64_t base = *MapFile(file, content.size(), kReadWrite, MAP_PRIVATE);
  FakeCpu cpu(*memory_);
  for (uint64_t at = 0; at < content.size(); at += kPageSize) {
    ASSERT_TRUE(cpu.Store(base + at, 'w').ok());
    EXPECT_EQ(*cpu.Load(base + at + 1), at / (2 * kPageSize));
  }
  EXPECT_LE(cpu.faults, 7);
}

TEST_F(MemoryManagerTest, StackGrowsDown) {
  memory_->limit_stack = 1 << 20;
  uint64_t top = 0x7ffff0000000 - 0x200000000;
  ASSERT_TRUE(MapAnonymous(8192, kReadWrite, MAP_GROWSDOWN | MAP_FIXED, top - 8192).ok());
  FakeCpu cpu(*memory_);
  EXPECT_TRUE(cpu.Store(top - 300000, 1).ok());
  EXPECT_EQ(*cpu.Load(top - 300000), 1);
  EXPECT_TRUE(memory_->Write<uint8_t>(top - (1 << 20), 1).ok());
  EXPECT_EQ(cpu.Store(top - (1 << 20) - 1, 1).error(), Errno::kEFAULT);
}

TEST_F(MemoryManagerTest, CopyAcrossPieces) {
  uint64_t address = *MapAnonymous(4 * 4096);
  ASSERT_TRUE(memory_->Protect(address + 2 * 4096, 4096, PROT_READ).ok());
  std::string data(3 * 4096, 'q');
  EXPECT_EQ(memory_->CopyOut(address, data.data(), data.size()).error(), Errno::kEFAULT);
  EXPECT_EQ(memory_->CopyOutPartial(address, data.data(), data.size()), 2u * 4096);
  EXPECT_EQ(memory_->CopyOutPartial(address, data.data(), data.size(), true), 3u * 4096);
  std::string back(4 * 4096, '\0');
  EXPECT_TRUE(memory_->CopyIn(back.data(), address, back.size()).ok());
  EXPECT_EQ(back.substr(0, 3 * 4096), data);
  EXPECT_EQ(memory_->CopyInPartial(back.data(), address + 3 * 4096, 8192), 4096u);
}

TEST_F(MemoryManagerTest, Strings) {
  uint64_t address = *MapAnonymous(4096);
  std::string text(300, 's');
  ASSERT_TRUE(memory_->CopyOut(address + 4096 - 301, text.c_str(), 301).ok());
  EXPECT_EQ(*memory_->CopyInString(address + 4096 - 301, 4096), text);
  EXPECT_EQ(memory_->CopyInString(address + 4096 - 301, 300).error(), Errno::kENAMETOOLONG);
  EXPECT_EQ(*memory_->CopyInString(address + 4096 - 301, 301), text);
  ASSERT_TRUE(memory_->Write<uint8_t>(address + 4095, 'x').ok());
  EXPECT_EQ(memory_->CopyInString(address + 4096 - 301, 4096).error(), Errno::kEFAULT);
  auto file = MakeRef<FakeFile>(std::string(4090, 'a') + std::string("long\0", 5) + std::string(10, 'b'), O_RDONLY);
  uint64_t mapped = *MapFile(file, 8192, PROT_READ, MAP_PRIVATE);
  EXPECT_EQ(*memory_->CopyInString(mapped + 4089, 100), "along");
  EXPECT_EQ(memory_->CopyInString(mapped, 4000).error(), Errno::kENAMETOOLONG);
}

TEST_F(MemoryManagerTest, PinnedPagesOutliveTheirMapping) {
  uint64_t address = *MapAnonymous(8192);
  Pinned pinned = memory_->Pin(address + 4000, 200, true).value();
  EXPECT_EQ(pinned.size(), 200u);
  ASSERT_TRUE(memory_->Unmap(address, 8192).ok());
  uint64_t other = *MapAnonymous(8192);
  EXPECT_EQ(pinned.io().Write(0, std::string(200, 'p').data(), 200), 200u);
  EXPECT_EQ(*memory_->Read<uint8_t>(other + 4000), 0);
  EXPECT_EQ(memory_->Pin(address + 8192, 10, true).error(), Errno::kEFAULT);
  EXPECT_EQ(memory_->Pin(other + 8000, 1000, false)->size(), 192u);
}

TEST_F(MemoryManagerTest, ForkDoesNotStealPagesFromInput) {
  uint64_t address = *MapAnonymous(4 * 4096);
  Pinned pinned = memory_->Pin(address + 4096, 4096, true).value();
  RefPtr<MemoryManager> child = *memory_->Fork();
  FakeCpu cpu(*memory_);
  EXPECT_TRUE(cpu.Store(address + 4096, 1).ok());
  EXPECT_EQ(pinned.io().Write(10, "x", 1), 1u);
  EXPECT_EQ(*cpu.Load(address + 4096), 1);
  EXPECT_EQ(*cpu.Load(address + 4106), 'x');
  EXPECT_EQ(*child->Read<uint8_t>(address + 4106), 0);
  Pinned moved = std::move(pinned);
  child.reset();
  memory_.reset();
  moved = Pinned();
}

TEST_F(MemoryManagerTest, Remap) {
  ASSERT_TRUE(MapAnonymous(4096, PROT_READ).ok());  // in the way of growing upwards
  uint64_t address = *MapAnonymous(4 * 4096);
  ASSERT_TRUE(memory_->Write<uint8_t>(address + 3 * 4096, 3).ok());
  EXPECT_EQ(memory_->Remap(address, 4096, 8192, 8, 0).error(), Errno::kEINVAL);
  EXPECT_EQ(memory_->Remap(address, 4096, 8192, MREMAP_FIXED, 0).error(), Errno::kEINVAL);
  EXPECT_EQ(memory_->Remap(address, 4096, 0, 0, 0).error(), Errno::kEINVAL);
  EXPECT_EQ(memory_->Remap(address + 1, 4096, 8192, 0, 0).error(), Errno::kEINVAL);
  EXPECT_EQ(memory_->Remap(0x400000000, 4096, 8192, 0, 0).error(), Errno::kEFAULT);
  EXPECT_EQ(memory_->Remap(address, 5 * 4096, 6 * 4096, MREMAP_MAYMOVE, 0).error(), Errno::kEFAULT);
  EXPECT_EQ(memory_->Remap(address, 0, 4096, MREMAP_MAYMOVE, 0).error(), Errno::kEINVAL);
  EXPECT_EQ(memory_->Remap(address, 4 * 4096, 4 * 4096, MREMAP_MAYMOVE | MREMAP_FIXED, address + 4096).error(),
            Errno::kEINVAL);
  uint64_t moved = *memory_->Remap(address, 4 * 4096, 1 << 20, MREMAP_MAYMOVE, 0);
  EXPECT_NE(moved, address);
  FakeCpu cpu(*memory_);
  EXPECT_EQ(*cpu.Load(moved + 3 * 4096), 3);
  EXPECT_TRUE(cpu.Store(moved + (1 << 20) - 1, 1).ok());
  EXPECT_EQ(cpu.faults, 0);
  EXPECT_EQ(cpu.Load(address).error(), Errno::kEFAULT);
  EXPECT_EQ(*memory_->Remap(moved, 1 << 20, 4 * 4096, 0, 0), moved);
  EXPECT_EQ(*memory_->Remap(moved, 4 * 4096, 8 * 4096, 0, 0), moved);  // there is room again
  EXPECT_EQ(memory_->total_bytes(), 9u * 4096);
  EXPECT_EQ(VmaCount(), 2u);
  // Shared memory may be mapped once more by an old size of 0.
  uint64_t shared = *MapAnonymous(8192, kReadWrite, MAP_SHARED);
  uint64_t twin = *memory_->Remap(shared, 0, 8192, MREMAP_MAYMOVE, 0);
  ASSERT_TRUE(memory_->Write<uint8_t>(shared + 4096, 5).ok());
  EXPECT_EQ(*memory_->Read<uint8_t>(twin + 4096), 5);
}

TEST_F(MemoryManagerTest, Advice) {
  uint64_t address = *MapAnonymous(4 * 4096);
  EXPECT_EQ(memory_->Advise(address, 4096, 12345).error(), Errno::kEINVAL);
  EXPECT_EQ(memory_->Advise(address + 1, 4096, MADV_NORMAL).error(), Errno::kEINVAL);
  EXPECT_TRUE(memory_->Advise(address, 0, MADV_NORMAL).ok());
  ASSERT_TRUE(memory_->Write<uint8_t>(address, 3).ok());
  ASSERT_TRUE(memory_->Advise(address, 4096, MADV_DONTNEED).ok());
  EXPECT_EQ(*memory_->Read<uint8_t>(address), 0);
  uint64_t shared = *MapAnonymous(8192, kReadWrite, MAP_SHARED);
  ASSERT_TRUE(memory_->Write<uint8_t>(shared, 3).ok());
  ASSERT_TRUE(memory_->Advise(shared, 8192, MADV_DONTNEED).ok());
  EXPECT_EQ(*memory_->Read<uint8_t>(shared), 3);
  ASSERT_TRUE(memory_->Advise(shared, 8192, MADV_REMOVE).ok());
  EXPECT_EQ(*memory_->Read<uint8_t>(shared), 0);
  EXPECT_EQ(memory_->Advise(shared, 8192, MADV_FREE).error(), Errno::kEINVAL);
  EXPECT_EQ(memory_->Advise(address, 4096, MADV_REMOVE).error(), Errno::kEINVAL);
  EXPECT_EQ(memory_->Advise(0x300000000, 4096, MADV_POPULATE_READ).error(), Errno::kENOMEM);
  EXPECT_TRUE(memory_->Advise(address, 4 * 4096, MADV_POPULATE_WRITE).ok());
  ASSERT_TRUE(memory_->Lock(address, 4096, 0).ok());
  EXPECT_EQ(memory_->Advise(address, 4096, MADV_DONTNEED).error(), Errno::kEINVAL);
}

TEST_F(MemoryManagerTest, LockLimits) {
  uint64_t address = *MapAnonymous(8 * 4096);
  memory_->limit_memlock = 4 * 4096;
  EXPECT_EQ(memory_->Lock(address, 5 * 4096, 0).error(), Errno::kENOMEM);
  EXPECT_TRUE(memory_->Lock(address + 5, 4 * 4096 - 5, 0).ok());
  EXPECT_TRUE(memory_->Lock(address, 4 * 4096, 0).ok());
  EXPECT_EQ(memory_->locked_bytes(), 4u * 4096);
  EXPECT_EQ(memory_->Lock(address, 4096, 8).error(), Errno::kEINVAL);
  EXPECT_EQ(MapAnonymous(4096, kReadWrite, MAP_LOCKED).error(), Errno::kEAGAIN);
  ASSERT_TRUE(memory_->Unmap(address, 4096).ok());
  EXPECT_EQ(memory_->locked_bytes(), 3u * 4096);
  EXPECT_EQ(memory_->Lock(address, 2 * 4096, 0).error(), Errno::kENOMEM);  // not mapped
  memory_->UnlockAll();
  EXPECT_EQ(memory_->locked_bytes(), 0u);
  EXPECT_EQ(memory_->LockAll(0).error(), Errno::kEINVAL);
  EXPECT_EQ(memory_->LockAll(MCL_CURRENT).error(), Errno::kENOMEM);
  memory_->limit_memlock = 0;
  EXPECT_EQ(memory_->Lock(address, 4096, 0).error(), Errno::kEPERM);
}

TEST_F(MemoryManagerTest, MincoreAndResidency) {
  base::MemoryFile::Get().Trim();  // recycled pages would be present
  uint64_t address = *MapAnonymous(4 * 4096);
  ASSERT_TRUE(memory_->Write<uint8_t>(address + 4096, 1).ok());
  std::vector<uint8_t> residency;
  ASSERT_TRUE(memory_->Mincore(address, 4 * 4096, &residency).ok());
  EXPECT_EQ(residency, (std::vector<uint8_t>{0, 1, 0, 0}));
  EXPECT_EQ(memory_->resident_bytes(), 4096u);
  EXPECT_EQ(memory_->Mincore(address + 1, 4096, &residency).error(), Errno::kEINVAL);
  EXPECT_EQ(memory_->Mincore(address, 5 * 4096, &residency).error(), Errno::kENOMEM);
}

TEST_F(MemoryManagerTest, Msync) {
  auto file = MakeRef<FakeFile>(std::string(8192, 's'), O_RDWR);
  uint64_t address = *MapFile(file, 8192, kReadWrite, MAP_SHARED);
  EXPECT_TRUE(memory_->Sync(address, 8192, MS_SYNC).ok());
  EXPECT_EQ(file->mappable->syncs, 1);
  EXPECT_EQ(memory_->Sync(address, 8192, MS_SYNC | MS_ASYNC).error(), Errno::kEINVAL);
  EXPECT_EQ(memory_->Sync(address, 8192, 64).error(), Errno::kEINVAL);
  EXPECT_EQ(memory_->Sync(address, 3 * 8192, MS_ASYNC).error(), Errno::kENOMEM);
}

TEST_F(MemoryManagerTest, AddressSpaceLimits) {
  memory_->limit_as = 1 << 20;
  uint64_t address = *MapAnonymous(1 << 19);
  EXPECT_EQ(MapAnonymous((1 << 19) + 4096).error(), Errno::kENOMEM);
  EXPECT_TRUE(MapAnonymous(1 << 19, kReadWrite, MAP_FIXED, address).ok());
  EXPECT_EQ(memory_->Remap(address, 1 << 19, 2 << 20, MREMAP_MAYMOVE, 0).error(), Errno::kENOMEM);
  memory_->limit_as = UINT64_MAX;
  memory_->limit_data = 1 << 20;
  EXPECT_EQ(MapAnonymous(1 << 20).error(), Errno::kENOMEM);
  EXPECT_TRUE(MapAnonymous(1 << 20, PROT_READ).ok());
}

TEST_F(MemoryManagerTest, AreaCountLimit) {
  uint64_t address = *MapAnonymous(uint64_t{140000} * 4096, PROT_NONE);
  Result<void> result;
  for (uint64_t i = 1; i < 140000 && result.ok(); i += 2) result = memory_->Unmap(address + i * 4096, 4096);
  EXPECT_EQ(result.error(), Errno::kENOMEM);
  EXPECT_EQ(VmaCount(), 65530u);
  EXPECT_EQ(MapAnonymous(4096, PROT_READ).error(), Errno::kENOMEM);
}

TEST_F(MemoryManagerTest, AtomicWords) {
  uint64_t address = *MapAnonymous(4096);
  EXPECT_EQ(memory_->AtomicWord(address + 2, true).error(), Errno::kEINVAL);
  (*memory_->AtomicWord(address + 4, true))->store(77);
  EXPECT_EQ(*memory_->Read<uint32_t>(address + 4), 77u);
  EXPECT_EQ(memory_->AtomicWord(address + 4096, false).error(), Errno::kEFAULT);
}

}  // namespace
}  // namespace mm
