// brk(2), mremap(2), madvise(2), mlock(2)
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "util/check.h"
#include "util/child.h"
#include "util/fd.h"
#include "util/memory.h"
#include "util/temp_dir.h"

namespace conformance {
namespace {

constexpr int kAnonymous = MAP_PRIVATE | MAP_ANONYMOUS;

TEST(Brk, GrowsZeroedAndShrinks) {
  EXPECT_EXITED(RunChild([] {
                  char* start = reinterpret_cast<char*>(syscall(SYS_brk, 0));
                  char* end = start + 16 * kPage;
                  CHILD_CHECK(syscall(SYS_brk, end) == reinterpret_cast<long>(end));
                  for (char* p = start; p < end; p++) CHILD_CHECK(*p == 0);
                  memset(start, 1, end - start);
                  CHILD_CHECK(syscall(SYS_brk, start) == reinterpret_cast<long>(start));
                  CHILD_CHECK(syscall(SYS_brk, end) == reinterpret_cast<long>(end));
                  CHILD_CHECK(end[-1] == 0);
                  return 0;
                }),
                0);
}

// As malloc trims its heap and grows it again.
TEST(Brk, TrimmedEndComesBackZeroed) {
  constexpr intptr_t kStep = 33 * 4096;
  // Nobody else's allocations in between.
  EXPECT_EXITED(RunChild([] {
                  auto* start = static_cast<unsigned char*>(sbrk(0));
                  for (int round = 0; round < 50; round++) {
                    const intptr_t size = kStep * (1 + round % 5);
                    auto* heap = static_cast<unsigned char*>(sbrk(size));
                    CHILD_CHECK(heap == start);
                    for (intptr_t i = 0; i < size; i++) CHILD_CHECK(heap[i] == 0);
                    for (intptr_t i = round % 7; i < size; i += 100 * (1 + round % 3)) heap[i] = 0xee;
                    // A part of it first.
                    CHILD_CHECK(sbrk(-size / 4096 / 2 * 4096) != reinterpret_cast<void*>(-1));
                    const pid_t child = Fork([&] {
                      // The parent's pages, whatever it does with its end.
                      for (intptr_t i = round % 7; i < kStep / 4; i += 100 * (1 + round % 3)) CHILD_CHECK(heap[i] == 0xee);
                      usleep(round * 10);
                      for (intptr_t i = round % 7; i < kStep / 4; i += 100 * (1 + round % 3)) CHILD_CHECK(heap[i] == 0xee);
                      return 0;
                    });
                    CHILD_CHECK(brk(start) == 0);
                    heap = static_cast<unsigned char*>(sbrk(2 * kStep));
                    for (intptr_t i = 0; i < 2 * kStep; i++) CHILD_CHECK(heap[i] == 0);
                    memset(heap, 0xdd, kStep);
                    CHILD_CHECK(brk(start) == 0);
                    int status;
                    CHILD_CHECK(waitpid(child, &status, 0) == child && status == 0);
                  }
                  return 0;
                }),
                0);
}

TEST(Brk, ImpossibleRequestReturnsTheOldBreak) {
  long now = syscall(SYS_brk, 0);
  EXPECT_EQ(syscall(SYS_brk, 1), now);
  EXPECT_EQ(syscall(SYS_brk, 0x7fffffff0000), now);
}

TEST(Brk, DataLimitHolds) {
  EXPECT_EXITED(RunChild([] {
                  rlimit limit = {1 << 20, 1 << 20};
                  CHILD_CHECK(setrlimit(RLIMIT_DATA, &limit) == 0);
                  long now = syscall(SYS_brk, 0);
                  CHILD_CHECK(syscall(SYS_brk, now + (64 << 20)) == now);
                  return 0;
                }),
                0);
}

TEST(Mremap, GrowsInPlaceOrMovesWithContent) {
  void* p = mmap(nullptr, kPage, PROT_READ | PROT_WRITE, kAnonymous, -1, 0);
  strcpy(static_cast<char*>(p), "content");
  char* q = static_cast<char*>(mremap(p, kPage, 64 * kPage, MREMAP_MAYMOVE));
  ASSERT_NE(q, MAP_FAILED);
  EXPECT_STREQ(q, "content");
  EXPECT_EQ(q[63 * kPage], 0);
  q[63 * kPage] = 1;
  EXPECT_EQ(mremap(q, 64 * kPage, kPage, 0), q);
  EXPECT_STREQ(q, "content");
  EXPECT_KILLED(RunChild([q] { return *static_cast<volatile char*>(q + kPage); }), SIGSEGV);
  munmap(q, kPage);
}

TEST(Mremap, CannotGrowInPlaceOverANeighbour) {
  PrivateMemory memory(2 * kPage);
  EXPECT_ERRNO(mremap(memory.data(), kPage, 2 * kPage, 0), ENOMEM);
}

TEST(Mremap, FixedMovesOverWhatWasThere) {
  PrivateMemory source(kPage), target(3 * kPage);
  source.data()[0] = 's';
  *target.page(1) = 't';
  EXPECT_EQ(mremap(source.data(), kPage, kPage, MREMAP_MAYMOVE | MREMAP_FIXED, target.page(1)),
            target.page(1));
  EXPECT_EQ(*target.page(1), 's');
  EXPECT_KILLED(RunChild([&] { return *static_cast<volatile char*>(source.data()); }), SIGSEGV);
}

TEST(Mremap, ZeroOldSizeDuplicatesASharedMapping) {
  SharedMemory memory;
  memory.data()[0] = 1;
  char* copy = static_cast<char*>(mremap(memory.data(), 0, kPage, MREMAP_MAYMOVE));
  ASSERT_NE(copy, MAP_FAILED);
  copy[1] = 2;
  EXPECT_EQ(memory.data()[1], 2);
  EXPECT_EQ(copy[0], 1);
  munmap(copy, kPage);
}

TEST(Mremap, Errors) {
  PrivateMemory memory(4 * kPage);
  EXPECT_ERRNO(mremap(memory.data() + 1, kPage, kPage, 0), EINVAL);
  EXPECT_ERRNO(mremap(memory.data(), kPage, 0, 0), EINVAL);
  EXPECT_ERRNO(mremap(memory.data(), kPage, kPage, 0x80), EINVAL);
  EXPECT_ERRNO(mremap(memory.data(), kPage, kPage, MREMAP_FIXED, memory.page(2)), EINVAL);
  EXPECT_ERRNO(mremap(memory.data(), 2 * kPage, 2 * kPage, MREMAP_MAYMOVE | MREMAP_FIXED,
                      memory.page(1)),
               EINVAL)
      << "the ranges overlap";
  ASSERT_OK(munmap(memory.page(3), kPage));
  EXPECT_ERRNO(mremap(memory.page(3), kPage, 2 * kPage, MREMAP_MAYMOVE), EFAULT);
  EXPECT_ERRNO(mremap(memory.page(2), 2 * kPage, 3 * kPage, MREMAP_MAYMOVE), EFAULT);
}

TEST(Mremap, FileMappingKeepsItsOffset) {
  TempDir dir;
  std::string content;
  for (int i = 0; i < 4; i++) content += std::string(kPage, 'a' + i);
  Fd fd(open(dir.File("f", content).c_str(), O_RDONLY));
  void* p = mmap(nullptr, kPage, PROT_READ, MAP_SHARED, fd, kPage);
  char* q = static_cast<char*>(mremap(p, kPage, 3 * kPage, MREMAP_MAYMOVE));
  ASSERT_NE(q, MAP_FAILED);
  EXPECT_EQ(q[0], 'b');
  EXPECT_EQ(q[2 * kPage], 'd');
  munmap(q, 3 * kPage);
}

TEST(Madvise, DontneedZeroesPrivateAnonymous) {
  PrivateMemory memory(4 * kPage);
  memset(memory.data(), 1, memory.size());
  ASSERT_OK(madvise(memory.page(1), 2 * kPage, MADV_DONTNEED));
  EXPECT_EQ(*memory.page(0), 1);
  EXPECT_EQ(*memory.page(1), 0);
  EXPECT_EQ(*memory.page(2), 0);
  EXPECT_EQ(*memory.page(3), 1);
}

TEST(Madvise, DontneedRestoresPrivateFileContent) {
  TempDir dir;
  Fd fd(open(dir.File("f", "file").c_str(), O_RDONLY));
  Mapping map(kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd);
  map.data()[0] = 'X';
  ASSERT_OK(madvise(map.data(), kPage, MADV_DONTNEED));
  EXPECT_STREQ(map.data(), "file");
}

TEST(Madvise, DontneedKeepsSharedContent) {
  SharedMemory memory;
  memory.data()[0] = 5;
  ASSERT_OK(madvise(memory.data(), kPage, MADV_DONTNEED));
  EXPECT_EQ(memory.data()[0], 5);
}

TEST(Madvise, DontneedAfterForkIsPrivate) {
  PrivateMemory memory(kPage);
  memory.data()[0] = 5;
  EXPECT_EXITED(RunChild([&] {
                  CHILD_CHECK(madvise(memory.data(), kPage, MADV_DONTNEED) == 0);
                  CHILD_CHECK(memory.data()[0] == 0);
                  return 0;
                }),
                0);
  EXPECT_EQ(memory.data()[0], 5);
}

TEST(Madvise, DontforkLeavesAHole) {
  PrivateMemory memory(2 * kPage);
  ASSERT_OK(madvise(memory.data(), kPage, MADV_DONTFORK));
  EXPECT_KILLED(RunChild([&] { return *static_cast<volatile char*>(memory.page(0)); }), SIGSEGV);
  EXPECT_EXITED(RunChild([&] { return *static_cast<volatile char*>(memory.page(1)); }), 0);
}

TEST(Madvise, WipeonforkZeroesInTheChild) {
  PrivateMemory memory(kPage);
  memory.data()[0] = 1;
  ASSERT_OK(madvise(memory.data(), kPage, MADV_WIPEONFORK));
  EXPECT_EXITED(RunChild([&] { return memory.data()[0]; }), 0);
  EXPECT_EQ(memory.data()[0], 1);
}

TEST(Madvise, HintsAndErrors) {
  PrivateMemory memory(2 * kPage);
  for (int advice : {MADV_NORMAL, MADV_RANDOM, MADV_SEQUENTIAL, MADV_WILLNEED, MADV_FREE,
                     MADV_COLD, MADV_DONTDUMP, MADV_DODUMP}) {
    EXPECT_OK(madvise(memory.data(), kPage, advice)) << advice;
  }
  EXPECT_ERRNO(madvise(memory.data(), kPage, 12345), EINVAL);
  EXPECT_ERRNO(madvise(memory.data() + 1, kPage, MADV_DONTNEED), EINVAL);
  EXPECT_OK(madvise(memory.data(), 0, MADV_DONTNEED));
  ASSERT_OK(munmap(memory.page(1), kPage));
  EXPECT_ERRNO(madvise(memory.data(), 2 * kPage, MADV_DONTNEED), ENOMEM);
}

TEST(Madvise, RemovePunchesASharedHole) {
  SharedMemory memory(2 * kPage);
  *memory.page(0) = *memory.page(1) = 1;
  ASSERT_OK(madvise(memory.page(0), kPage, MADV_REMOVE));
  EXPECT_EQ(*memory.page(0), 0);
  EXPECT_EQ(*memory.page(1), 1);
}

TEST(Mlock, LocksAndChecksTheRange) {
  PrivateMemory memory(2 * kPage);
  EXPECT_OK(mlock(memory.data(), kPage));
  EXPECT_OK(munlock(memory.data(), kPage));
  ASSERT_OK(munmap(memory.page(1), kPage));
  EXPECT_ERRNO(mlock(memory.data(), 2 * kPage), ENOMEM);
  EXPECT_ERRNO(mlock2(memory.data(), kPage, 0x80), EINVAL);
  EXPECT_ERRNO(mlockall(0), EINVAL);
}

}  // namespace
}  // namespace conformance
