#include "vfs/file_lock.h"

#include <gtest/gtest.h>
#include <sys/file.h>

#include "base/fiber.h"
#include "vfs/fs/tmpfs/tmpfs.h"
#include "vfs/testing/world.h"

namespace vfs {
namespace {

RefPtr<FileSystem> NewTmpfs() {
  auto creds = MakeRef<Credentials>();
  return tmpfs::TmpFileSystem::Create("tmpfs", "", *creds).value();
}

// Two descriptions of one file, and owners as processes would be.
struct Locks : ::testing::Test {
  Locks() {
    RunOnFiber([this] {
      w = std::make_unique<World>(NewTmpfs());
      w->WriteFile("/file", "0123456789");
      a = w->Open("/file", O_RDWR).value();
      b = w->Open("/file", O_RDWR).value();
    });
  }
  ~Locks() override {
    RunOnFiber([this] {
      a.reset();
      b.reset();
      w.reset();
    });
  }

  static RecordLock Lock(int type, uint64_t start, uint64_t end, const void* owner) {
    RecordLock lock;
    lock.type = static_cast<int16_t>(type);
    lock.start = start;
    lock.end = end;
    lock.owner = owner;
    return lock;
  }
  Errno Set(int type, uint64_t start, uint64_t end, const void* owner, bool wait = false) {
    return ErrorOf(SetRecordLock(*a, Lock(type, start, end, owner), wait));
  }
  // "w0-3 r5-9 " of an owner.
  std::string Held(const void* owner) {
    std::string text;
    ForEachLock(a->inode(), [&](const LockInfo& info) {
      if (info.lock.owner != owner || info.blocked) return;
      text += info.lock.type == F_WRLCK ? "w" : "r";
      text += std::to_string(info.lock.start) + "-";
      text += info.lock.end == RecordLock::kLockToEof ? "" : std::to_string(info.lock.end);
      text += ' ';
    });
    return text;
  }

  std::unique_ptr<World> w;
  RefPtr<FileDescription> a, b;
  int one = 0, two = 0, three = 0;
};

TEST_F(Locks, FlockBetweenDescriptions) {
  RunOnFiber([this] {
    EXPECT_EQ(ErrorOf(Flock(*a, LOCK_SH)), Errno{});
    EXPECT_EQ(ErrorOf(Flock(*b, LOCK_SH | LOCK_NB)), Errno{});
    EXPECT_EQ(ErrorOf(Flock(*a, LOCK_EX | LOCK_NB)), Errno::kEAGAIN);
    EXPECT_EQ(ErrorOf(Flock(*b, LOCK_UN)), Errno{});
    EXPECT_EQ(ErrorOf(Flock(*a, LOCK_EX | LOCK_NB)), Errno{});
    EXPECT_EQ(ErrorOf(Flock(*b, LOCK_SH | LOCK_NB)), Errno::kEAGAIN);
    EXPECT_EQ(ErrorOf(Flock(*b, LOCK_MAND)), Errno::kEINVAL);
    a.reset();  // the last reference
    EXPECT_EQ(ErrorOf(Flock(*b, LOCK_EX | LOCK_NB)), Errno{});
  });
}

TEST_F(Locks, FlockBlocksUntilReleased) {
  Errno result = Errno::kEIO;
  RunOnFiber([&] {
    EXPECT_EQ(ErrorOf(Flock(*a, LOCK_EX)), Errno{});
    base::Fiber::Start([&] { result = ErrorOf(Flock(*b, LOCK_EX)); });
  });
  EXPECT_EQ(result, Errno::kEIO);
  RunOnFiber([&] { CHECK_OK(Flock(*a, LOCK_UN)); });
  EXPECT_EQ(result, Errno{});
}

TEST_F(Locks, InterruptedWaits) {
  Errno flock = Errno{}, record = Errno{};
  base::Fiber* fibers[2];
  RunOnFiber([&] {
    EXPECT_EQ(ErrorOf(Flock(*a, LOCK_EX)), Errno{});
    EXPECT_EQ(Set(F_WRLCK, 0, 10, &one), Errno{});
    fibers[0] = base::Fiber::Start([&] { flock = ErrorOf(Flock(*b, LOCK_SH)); });
    fibers[1] = base::Fiber::Start([&] { record = Set(F_WRLCK, 5, 5, &two, true); });
  });
  RunOnFiber([&] {
    for (base::Fiber* fiber : fibers) fiber->Interrupt();
  });
  EXPECT_EQ(flock, Errno::kERESTARTSYS);
  EXPECT_EQ(record, Errno::kERESTARTSYS);
  EXPECT_EQ(Held(&two), "");
}

TEST_F(Locks, RangesSplitAndMerge) {
  RunOnFiber([this] {
    EXPECT_EQ(Set(F_WRLCK, 0, 99, &one), Errno{});
    EXPECT_EQ(Set(F_UNLCK, 10, 19, &one), Errno{});
    EXPECT_EQ(Held(&one), "w0-9 w20-99 ");
    EXPECT_EQ(Set(F_RDLCK, 30, 39, &one), Errno{});
    EXPECT_EQ(Held(&one), "w0-9 w20-29 r30-39 w40-99 ");
    EXPECT_EQ(Set(F_WRLCK, 10, 19, &one), Errno{});
    EXPECT_EQ(Held(&one), "w0-29 r30-39 w40-99 ");
    EXPECT_EQ(Set(F_WRLCK, 25, 60, &one), Errno{});
    EXPECT_EQ(Held(&one), "w0-99 ");
    EXPECT_EQ(Set(F_WRLCK, 100, RecordLock::kLockToEof, &one), Errno{});
    EXPECT_EQ(Held(&one), "w0- ");
    EXPECT_EQ(Set(F_UNLCK, 0, RecordLock::kLockToEof, &one), Errno{});
    EXPECT_EQ(Held(&one), "");
  });
}

TEST_F(Locks, ConflictsBetweenOwners) {
  RunOnFiber([this] {
    EXPECT_EQ(Set(F_RDLCK, 0, 9, &one), Errno{});
    EXPECT_EQ(Set(F_RDLCK, 5, 14, &two), Errno{});
    EXPECT_EQ(Set(F_WRLCK, 5, 7, &one), Errno::kEAGAIN);
    EXPECT_EQ(Set(F_WRLCK, 0, 4, &one), Errno{});
    EXPECT_FALSE(GetRecordLock(*a, Lock(F_WRLCK, 0, 4, &one)).has_value());
    EXPECT_EQ(GetRecordLock(*a, Lock(F_RDLCK, 0, 9, &two))->type, F_WRLCK);
    ReleasePosixLocks(*b, &one);
    EXPECT_EQ(Held(&one), "");
    EXPECT_EQ(Held(&two), "r5-14 ");
    // Locks of a description go with it, not with a process.
    RecordLock ofd = Lock(F_WRLCK, 20, 29, b.get());
    ofd.ofd = true;
    EXPECT_EQ(ErrorOf(SetRecordLock(*b, ofd, false)), Errno{});
    EXPECT_EQ(Set(F_RDLCK, 25, 25, &one), Errno::kEAGAIN);
    ReleasePosixLocks(*b, b.get());
    EXPECT_EQ(Set(F_RDLCK, 25, 25, &one), Errno::kEAGAIN);
    b.reset();
    EXPECT_EQ(Set(F_RDLCK, 25, 25, &one), Errno{});
  });
}

TEST_F(Locks, CirclesAreRefused) {
  Errno first = Errno::kEIO, second = Errno::kEIO, third = Errno::kEIO;
  RunOnFiber([&] {
    EXPECT_EQ(Set(F_WRLCK, 1, 1, &one), Errno{});
    EXPECT_EQ(Set(F_WRLCK, 2, 2, &two), Errno{});
    EXPECT_EQ(Set(F_WRLCK, 3, 3, &three), Errno{});
    base::Fiber::Start([&] { first = Set(F_WRLCK, 2, 2, &one, true); });
    base::Fiber::Start([&] { second = Set(F_WRLCK, 3, 3, &two, true); });
    base::Fiber::Start([&] { third = Set(F_WRLCK, 1, 1, &three, true); });
  });
  EXPECT_EQ(first, Errno::kEIO);
  EXPECT_EQ(second, Errno::kEIO);
  EXPECT_EQ(third, Errno::kEDEADLK);
  RunOnFiber([&] { ReleasePosixLocks(*a, &three); });
  EXPECT_EQ(second, Errno{});
  EXPECT_EQ(first, Errno::kEIO);
  RunOnFiber([&] { ReleasePosixLocks(*a, &two); });
  EXPECT_EQ(first, Errno{});
}

TEST_F(Locks, RangesAsAsked) {
  RunOnFiber([this] {
    RecordLock lock = RecordLockRange(*a, F_WRLCK, SEEK_END, -3, 0).value();
    EXPECT_EQ(lock.start, 7u);
    EXPECT_EQ(lock.end, RecordLock::kLockToEof);
    a->set_offset(5);
    lock = RecordLockRange(*a, F_RDLCK, SEEK_CUR, 1, -3).value();
    EXPECT_EQ(lock.start, 3u);
    EXPECT_EQ(lock.end, 5u);
    EXPECT_EQ(ErrorOf(RecordLockRange(*a, F_RDLCK, SEEK_SET, -1, 1)), Errno::kEINVAL);
    EXPECT_EQ(ErrorOf(RecordLockRange(*a, F_RDLCK, SEEK_SET, 1, -2)), Errno::kEINVAL);
    EXPECT_EQ(ErrorOf(RecordLockRange(*a, F_RDLCK, SEEK_CUR, INT64_MAX, 1)), Errno::kEOVERFLOW);
    EXPECT_EQ(ErrorOf(RecordLockRange(*a, F_RDLCK, 9, 0, 1)), Errno::kEINVAL);
    EXPECT_EQ(ErrorOf(RecordLockRange(*a, 7, SEEK_SET, 0, 1)), Errno::kEINVAL);
    EXPECT_EQ(RecordLockRange(*a, F_RDLCK, SEEK_SET, INT64_MAX, 1)->end, uint64_t{INT64_MAX});
  });
}

}  // namespace
}  // namespace vfs
