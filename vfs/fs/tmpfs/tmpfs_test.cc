#include "vfs/fs/tmpfs/tmpfs.h"

#include <gtest/gtest.h>
#include <linux/falloc.h>
#include <sys/mman.h>

#include <random>

#include "base/event_loop.h"
#include "base/memory_file.h"
#include "vfs/fs/tmpfs/memfd.h"
#include "vfs/fs/tmpfs/shared_anonymous.h"
#include "vfs/testing/world.h"

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

namespace tmpfs {
namespace {

using namespace vfs;  // NOLINT: the harness
using base::MemoryFile;

RefPtr<FileSystem> New(std::string_view options = "") {
  auto creds = MakeRef<Credentials>();
  return TmpFileSystem::Create("tmpfs", options, *creds).value();
}

size_t WriteAt(FileDescription& file, uint64_t offset, std::string_view text) {
  return file.WriteAt(IoVec(const_cast<char*>(text.data()), text.size()), offset, 0).value();
}

std::string ReadAt(FileDescription& file, uint64_t offset, size_t length) {
  std::string text(length, '?');
  text.resize(file.ReadAt(IoVec(text.data(), length), offset, 0).value());
  return text;
}

TEST(Tmpfs, DataAcrossManyExtents) {
  RunOnFiber([] {
    World w(New());
    RefPtr<FileDescription> file = w.Open("/file", O_RDWR | O_CREAT).value();
    // Pieces of uneven size, front to back.
    std::string all;
    for (size_t i = 0; all.size() < 3'000'000; i++) {
      std::string piece(1 + (i * 7919) % 20011, static_cast<char>('a' + i % 26));
      EXPECT_EQ(WriteAll(*file, piece), piece.size());
      all += piece;
    }
    file->set_offset(0);
    EXPECT_TRUE(ReadAll(*file) == all);
    EXPECT_EQ(file->Stat()->size, all.size());
    EXPECT_EQ(file->Stat()->blocks, base::PageUp(all.size()) / 512);
    // Over what is there, at odd places.
    for (uint64_t at : {uint64_t{1}, uint64_t{4095}, uint64_t{262143}, uint64_t{1'000'001}}) {
      WriteAt(*file, at, "0123456789");
      all.replace(at, 10, "0123456789");
    }
    EXPECT_TRUE(ReadAt(*file, 0, all.size() + 10) == all);
  });
}

TEST(Tmpfs, SparseFiles) {
  RunOnFiber([] {
    World w(New());
    RefPtr<FileDescription> file = w.Open("/file", O_RDWR | O_CREAT).value();
    constexpr uint64_t kFar = uint64_t{1} << 40;
    WriteAt(*file, kFar, "far");
    WriteAt(*file, 10 * 4096, "near");
    EXPECT_EQ(file->Stat()->size, kFar + 3);
    EXPECT_EQ(file->Stat()->blocks, 16u);
    EXPECT_EQ(ReadAt(*file, 10 * 4096 - 2, 8), std::string("\0\0near\0\0", 8));
    EXPECT_EQ(ReadAt(*file, kFar - 1, 10), std::string("\0far", 4));
    EXPECT_EQ(*file->Seek(0, SEEK_DATA), 10 * 4096);
    EXPECT_EQ(*file->Seek(10 * 4096 + 5, SEEK_DATA), 10 * 4096 + 5);
    EXPECT_EQ(*file->Seek(10 * 4096, SEEK_HOLE), 11 * 4096);
    EXPECT_EQ(*file->Seek(11 * 4096, SEEK_DATA), static_cast<int64_t>(kFar));
    EXPECT_EQ(*file->Seek(static_cast<int64_t>(kFar), SEEK_HOLE), static_cast<int64_t>(kFar + 3));
    EXPECT_EQ(ErrorOf(file->Seek(static_cast<int64_t>(kFar + 3), SEEK_DATA)), Errno::kENXIO);
    EXPECT_EQ(ErrorOf(file->Seek(-1, SEEK_HOLE)), Errno::kENXIO);
    EXPECT_EQ(*file->Seek(0, SEEK_HOLE), 0);
  });
}

TEST(Tmpfs, TruncationZeroesAndFrees) {
  RunOnFiber([] {
    World w(New());
    uint64_t before = MemoryFile::Get().allocated_bytes();
    {
      RefPtr<FileDescription> file = w.Open("/file", O_RDWR | O_CREAT).value();
      WriteAt(*file, 0, std::string(100'000, 'x'));
      CHECK_OK(file->Truncate(5000));
      CHECK_OK(file->Truncate(100'000));
      EXPECT_EQ(ReadAt(*file, 4990, 20), std::string(10, 'x') + std::string(10, '\0'));
      EXPECT_EQ(file->Stat()->blocks, 16u);
      EXPECT_EQ(ErrorOf(file->Truncate(UINT64_MAX)), Errno::kEFBIG);
    }
    CHECK_OK(Unlink(w.context, "/file"));
    EXPECT_EQ(MemoryFile::Get().allocated_bytes(), before);
  });
}

TEST(Tmpfs, Fallocate) {
  RunOnFiber([] {
    World w(New());
    RefPtr<FileDescription> file = w.Open("/file", O_RDWR | O_CREAT).value();
    CHECK_OK(file->Allocate(FALLOC_FL_KEEP_SIZE, 0, 20'000));
    EXPECT_EQ(file->Stat()->size, 0u);
    EXPECT_EQ(file->Stat()->blocks, 40u);
    CHECK_OK(file->Allocate(0, 0, 20'000));
    EXPECT_EQ(file->Stat()->size, 20'000u);
    WriteAt(*file, 0, std::string(20'000, 'x'));
    EXPECT_EQ(ErrorOf(file->Allocate(FALLOC_FL_PUNCH_HOLE, 0, 10)), Errno::kEOPNOTSUPP);
    CHECK_OK(file->Allocate(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 100, 8200));
    EXPECT_EQ(file->Stat()->blocks, 32u);
    std::string expected = std::string(100, 'x') + std::string(8200, '\0') + std::string(20'000 - 8300, 'x');
    EXPECT_TRUE(ReadAt(*file, 0, 20'000) == expected);
    EXPECT_EQ(*file->Seek(0, SEEK_HOLE), 4096);
    EXPECT_EQ(*file->Seek(4096, SEEK_DATA), 8192);
    CHECK_OK(file->Allocate(FALLOC_FL_ZERO_RANGE, 19'000, 3000));
    EXPECT_EQ(file->Stat()->size, 22'000u);
    EXPECT_EQ(ReadAt(*file, 18'999, 2), std::string("x\0", 2));
    EXPECT_EQ(ErrorOf(file->Allocate(FALLOC_FL_COLLAPSE_RANGE, 0, 4096)), Errno::kEOPNOTSUPP);
  });
}

TEST(Tmpfs, SizeLimit) {
  RunOnFiber([] {
    World w(New("size=16k,nr_inodes=3"));
    RefPtr<FileDescription> file = w.Open("/file", O_RDWR | O_CREAT).value();
    std::string text(100'000, 'x');
    EXPECT_EQ(WriteAt(*file, 0, text), 16384u);
    EXPECT_EQ(ErrorOf(file->WriteAt(IoVec(text.data(), 1), 16384, 0)), Errno::kENOSPC);
    EXPECT_EQ(WriteAt(*file, 0, "y"), 1u);
    EXPECT_EQ(ErrorOf(file->Allocate(0, 0, 20'000)), Errno::kENOSPC);
    EXPECT_EQ(w.ns->root()->fs()->StatFs()->f_bavail, 0u);
    CHECK_OK(file->Truncate(4096));
    EXPECT_EQ(w.ns->root()->fs()->StatFs()->f_bavail, 3u);
    w.Mkdir("/d");
    EXPECT_EQ(ErrorOf(Mkdir(w.context, "/e", 0755)), Errno::kENOSPC);
    CHECK_OK(Rmdir(w.context, "/d"));
    Dentry::SetCacheLimit(0);
    Dentry::SetCacheLimit(32768);
    EXPECT_EQ(ErrorOf(Mkdir(w.context, "/e", 0755)), Errno{});
    EXPECT_EQ(w.ns->root()->fs()->MountOptions(), "size=16k,nr_inodes=3");
  });
}

TEST(Tmpfs, Options) {
  RunOnFiber([] {
    World w(New("mode=0750,uid=5,gid=6,size=1m,huge=never"));
    EXPECT_EQ(w.Stat("/")->mode, S_IFDIR | 0750u);
    EXPECT_EQ(w.Stat("/")->uid, 5u);
    EXPECT_EQ(w.Stat("/")->gid, 6u);
    EXPECT_EQ(w.ns->root()->fs()->StatFs()->f_blocks, 256u);
    auto creds = MakeRef<Credentials>();
    for (const char* bad : {"size=x", "mode=9", "uid=-1", "nonsense", "size=", "gid=4294967295"}) {
      EXPECT_EQ(ErrorOf(TmpFileSystem::Create("t", bad, *creds)), Errno::kEINVAL) << bad;
    }
  });
}

TEST(Tmpfs, DirectoriesKeepPositionsWhileTheyChange) {
  RunOnFiber([] {
    World w(New());
    for (int i = 0; i < 100; i++) w.WriteFile("/f" + std::to_string(i), "");
    RefPtr<FileDescription> dir = w.Open("/", O_RDONLY).value();
    std::vector<std::string> seen;
    int64_t middle = 0;
    // A few at a time, removing what was seen and what was not.
    for (int round = 0; round < 200; round++) {
      int left = 3;
      size_t before = seen.size();
      CHECK_OK(dir->ReadDir([&](const DirectoryEntry& entry) {
        if (left-- == 0) return false;
        seen.emplace_back(entry.name);
        if (seen.size() == 50) middle = entry.next_offset;
        return true;
      }));
      if (seen.size() == before) break;
      if (seen.back()[0] == 'f') CHECK_OK(Unlink(w.context, "/" + seen.back()));
      w.WriteFile("/new", "");
      CHECK_OK(Unlink(w.context, "/new"));
    }
    std::sort(seen.begin(), seen.end());
    EXPECT_EQ(std::unique(seen.begin(), seen.end()), seen.end());
    EXPECT_EQ(seen.size(), 102u);
    CHECK_OK(dir->Seek(middle, SEEK_SET));
    size_t rest = 0;
    CHECK_OK(dir->ReadDir([&](const DirectoryEntry&) { return ++rest > 0; }));
    EXPECT_GT(rest, 0u);
    EXPECT_LT(rest, 52u);
  });
}

TEST(Tmpfs, MappingsSeeWritesAndTruncation) {
  RunOnFiber([] {
    struct Watcher : Mappable::Mapper {
      void InvalidateMappings(uint64_t offset, uint64_t length) override {
        from = offset;
        size = length;
      }
      uint64_t from = 0, size = 0;
    } watcher;
    World w(New());
    RefPtr<FileDescription> file = w.Open("/file", O_RDWR | O_CREAT).value();
    CHECK_OK(file->Truncate(1'000'000));
    RefPtr<Mappable> map = file->Map().value();
    map->AddMapper(&watcher);
    Mappable::Pages pages = map->Translate(0, 1 << 20, true).value();
    EXPECT_TRUE(pages.in_memory_file);
    EXPECT_EQ(pages.length, base::PageUp(1'000'000));  // in one piece
    MemoryFile::Get().IncRef(pages.offset, pages.length);
    char* memory = MemoryFile::Get().At(pages.offset);
    WriteAt(*file, 70'000, "hello");
    EXPECT_EQ(std::string(memory + 70'000, 5), "hello");
    memory[999'999] = 'e';
    memory[1'000'000] = 'z';  // behind the end
    EXPECT_EQ(ReadAt(*file, 999'999, 10), "e");
    CHECK_OK(file->Truncate(1'000'010));
    EXPECT_EQ(ReadAt(*file, 999'999, 3), std::string("e\0\0", 3));
    memory[1'000'012] = 'z';
    WriteAt(*file, 1'000'014, "w");
    EXPECT_EQ(ReadAt(*file, 1'000'011, 4), std::string("\0\0\0w", 4));
    CHECK_OK(file->Truncate(8192));
    EXPECT_EQ(watcher.from, 8192u);
    EXPECT_EQ(ErrorOf(map->Translate(8192, 4096, false)), Errno::kENXIO);
    // A page that was let go while mapped is not what the file gets next.
    memory[8192] = 'q';
    CHECK_OK(file->Truncate(12288));
    EXPECT_EQ(ReadAt(*file, 8192, 1), std::string("\0", 1));
    map->RemoveMapper(&watcher);
    MemoryFile::Get().DecRef(pages.offset, pages.length);
  });
}

// Random writes, truncations, holes and writes through a mapping against a plain string.
// The source of a write ends early, and the memory that the file got was used before.
TEST(Tmpfs, WhatAWriteDoesNotReachIsZero) {
  RunOnFiber([] {
    World w(New());
    RefPtr<FileDescription> file = w.Open("/file", O_RDWR | O_CREAT).value();
    constexpr size_t kSize = 64 * kPageSize;
    EXPECT_EQ(WriteAt(*file, 0, std::string(kSize, 'x')), kSize);
    CHECK_OK(file->Truncate(0));
    char* source = static_cast<char*>(mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    size_t readable = 5 * kPageSize;
    memset(source, 'y', readable);
    ASSERT_EQ(mprotect(source + readable, kSize - readable, PROT_NONE), 0);
    IoVec from(source + 100, kSize - 100);
    from.Append(source, 100);
    EXPECT_EQ(file->WriteAt(from, 0, 0).value(), readable - 100);
    CHECK_OK(file->Truncate(kSize));
    std::string expected = std::string(readable - 100, 'y');
    expected.resize(kSize);
    EXPECT_EQ(ReadAt(*file, 0, kSize), expected);
    RefPtr<Mappable> map = file->Map().value();
    Mappable::Pages pages = map->Translate(0, kSize, false).value();
    EXPECT_EQ(std::string(MemoryFile::Get().At(pages.offset), pages.length), expected.substr(0, pages.length));
    munmap(source, kSize);
  });
}

TEST(Tmpfs, BehavesLikeAString) {
  RunOnFiber([] {
    uint64_t before = MemoryFile::Get().allocated_bytes();
    for (unsigned seed = 1; seed <= 30; seed++) {
      World w(New());
      RefPtr<FileDescription> file = w.Open("/file", O_RDWR | O_CREAT).value();
      RefPtr<Mappable> map = file->Map().value();
      std::mt19937 random(seed);
      auto below = [&random](size_t bound) { return static_cast<size_t>(random() % bound); };
      constexpr size_t kMax = 1'500'000;
      std::string model;
      for (int step = 0; step < 400; step++) {
        size_t at = below(below(3) == 0 ? 20'000 : kMax), length = 1 + below(below(4) == 0 ? 300'000 : 9000);
        switch (below(7)) {
          case 0:
          case 1: {
            std::string piece(length, static_cast<char>('a' + step % 26));
            EXPECT_EQ(WriteAt(*file, at, piece), length);
            if (model.size() < at + length) model.resize(at + length);
            model.replace(at, length, piece);
            break;
          }
          case 2:
            CHECK_OK(file->Truncate(at));
            model.resize(at);
            break;
          case 3:
            CHECK_OK(file->Allocate(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, length));
            for (size_t i = at; i < std::min(model.size(), at + length); i++) model[i] = 0;
            break;
          case 4:
            if (below(2) == 0) {
              CHECK_OK(file->Allocate(0, at, length));
              model.resize(std::max(model.size(), at + length));
            } else {
              CHECK_OK(file->Allocate(FALLOC_FL_KEEP_SIZE, at, length));
            }
            break;
          case 5: {
            Result<Mappable::Pages> pages = map->Translate(base::PageDown(at), base::PageUp(length), true);
            EXPECT_EQ(pages.ok(), base::PageDown(at) < base::PageUp(model.size()));
            if (!pages.ok()) break;
            // A whole page, also behind the end of the file.
            memset(MemoryFile::Get().At(pages->offset), 'M', kPageSize);
            for (size_t i = base::PageDown(at); i < std::min(model.size(), base::PageDown(at) + kPageSize); i++) model[i] = 'M';
            break;
          }
          case 6:
            ASSERT_TRUE(ReadAt(*file, at, length) == (at < model.size() ? model.substr(at, length) : "")) << seed << " " << step;
            break;
        }
        ASSERT_EQ(file->Stat()->size, model.size());
      }
      ASSERT_TRUE(ReadAt(*file, 0, kMax * 2) == model) << seed;
      // What lseek calls a hole is one, and holes and data take turns.
      for (uint64_t at = 0; at < model.size();) {
        Result<int64_t> data = file->Seek(static_cast<int64_t>(at), SEEK_DATA);
        uint64_t end = data.ok() ? static_cast<uint64_t>(*data) : model.size();
        EXPECT_EQ(model.find_first_not_of('\0', at), model.find_first_not_of('\0', std::max(at, end)));
        if (!data.ok()) break;
        at = static_cast<uint64_t>(*file->Seek(*data, SEEK_HOLE));
        ASSERT_GT(at, end);
      }
    }
    EXPECT_EQ(MemoryFile::Get().allocated_bytes(), before);
  });
}

TEST(Tmpfs, TimesFollowWhatHappens) {
  static int64_t now = 1'000'000'000;
  base::SetClockForTest(nullptr, [] { return now; });
  RunOnFiber([] {
    World w(New());
    RefPtr<FileDescription> file = w.Open("/file", O_RDWR | O_CREAT).value();
    now = 2'000'000'000;
    WriteAll(*file, "x");
    EXPECT_EQ(file->Stat()->mtime, now);
    EXPECT_EQ(file->Stat()->atime, 1'000'000'000);
    now = 3'000'000'000;
    ReadAt(*file, 0, 1);
    EXPECT_EQ(file->Stat()->atime, now);  // relatime: it was older than mtime
    now = 4'000'000'000;
    ReadAt(*file, 0, 1);
    EXPECT_EQ(file->Stat()->atime, 3'000'000'000);
    now += int64_t{25} * 3600 * 1'000'000'000;
    ReadAt(*file, 0, 1);
    EXPECT_EQ(file->Stat()->atime, now);
    CHECK_OK(Link(w.context, file->path(), w.context, "/other"));
    EXPECT_EQ(file->Stat()->ctime, now);
    EXPECT_EQ(w.Stat("/")->mtime, now);
  });
  base::SetClockForTest(nullptr, nullptr);
}

TEST(Memfd, Seals) {
  RunOnFiber([] {
    World w(New());
    RefPtr<FileDescription> plain = CreateMemfd("x", false, w.context.creds).value();
    EXPECT_EQ(*GetSeals(*plain), unsigned{F_SEAL_SEAL});
    EXPECT_EQ(ErrorOf(AddSeals(*plain, F_SEAL_GROW)), Errno::kEPERM);
    EXPECT_EQ(plain->LinkName(), "/memfd:x (deleted)");

    RefPtr<FileDescription> file = CreateMemfd("x", true, w.context.creds).value();
    CHECK_OK(file->Truncate(8192));
    CHECK_OK(AddSeals(*file, F_SEAL_SHRINK | F_SEAL_GROW));
    EXPECT_EQ(ErrorOf(file->Truncate(4096)), Errno::kEPERM);
    EXPECT_EQ(ErrorOf(file->Truncate(10'000)), Errno::kEPERM);
    EXPECT_EQ(WriteAt(*file, 8190, "abcd"), 2u);
    char c = 0;
    EXPECT_EQ(ErrorOf(file->WriteAt(IoVec(&c, 1), 8192, 0)), Errno::kEPERM);
    RefPtr<Mappable> map = file->Map().value();
    CHECK_OK(map->AddWritable());
    EXPECT_EQ(ErrorOf(AddSeals(*file, F_SEAL_WRITE)), Errno::kEBUSY);
    CHECK_OK(AddSeals(*file, F_SEAL_FUTURE_WRITE));
    map->RemoveWritable();
    CHECK_OK(AddSeals(*file, F_SEAL_WRITE | F_SEAL_SEAL));
    EXPECT_EQ(ErrorOf(map->AddWritable()), Errno::kEPERM);
    EXPECT_EQ(ErrorOf(file->WriteAt(IoVec(&c, 1), 0, 0)), Errno::kEPERM);
    EXPECT_EQ(ErrorOf(file->Allocate(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096)), Errno::kEPERM);
    EXPECT_EQ(ErrorOf(AddSeals(*file, F_SEAL_GROW)), Errno::kEPERM);
    RefPtr<FileDescription> null = w.Open("/", O_RDONLY).value();
    EXPECT_EQ(ErrorOf(GetSeals(*null)), Errno::kEINVAL);
  });
}

TEST(SharedAnonymous, IsOnePieceAndGivenBack) {
  RunOnFiber([] {
    uint64_t before = MemoryFile::Get().allocated_bytes();
    {
      RefPtr<Mappable> memory = CreateSharedAnonymous(10'000).value();
      EXPECT_EQ(memory->Translate(4096, 1 << 20, true)->length, 8192u);
      EXPECT_EQ(ErrorOf(memory->Translate(12288, 4096, true)), Errno::kENXIO);
    }
    EXPECT_EQ(MemoryFile::Get().allocated_bytes(), before);
    EXPECT_EQ(ErrorOf(CreateSharedAnonymous(0)), Errno::kENOMEM);
    EXPECT_EQ(ErrorOf(CreateSharedAnonymous(UINT64_MAX)), Errno::kENOMEM);
  });
}

}  // namespace
}  // namespace tmpfs
