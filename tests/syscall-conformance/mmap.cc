// mmap(2), munmap(2), msync(2), mincore(2)
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "util/check.h"
#include "util/child.h"
#include "util/fd.h"
#include "util/memory.h"
#include "util/signals.h"
#include "util/temp_dir.h"

namespace conformance {
namespace {

constexpr int kReadWrite = PROT_READ | PROT_WRITE;
constexpr int kAnonymous = MAP_PRIVATE | MAP_ANONYMOUS;

TEST(Mmap, AnonymousIsZeroedAndWritable) {
  PrivateMemory memory(1 << 20);
  for (size_t i = 0; i < memory.size(); i += 511) ASSERT_EQ(memory.data()[i], 0);
  memset(memory.data(), 0x5a, memory.size());
  for (size_t i = 0; i < memory.size(); i += 511) ASSERT_EQ(memory.data()[i], 0x5a);
}

TEST(Mmap, ReusedAddressIsZeroedAgain) {
  for (int i = 0; i < 20; i++) {
    PrivateMemory memory(64 * kPage);
    for (size_t p = 0; p < 64; p++) {
      ASSERT_EQ(*memory.page(p), 0);
      *memory.page(p) = 1;
    }
  }
}

TEST(Mmap, Errors) {
  TempDir dir;
  Fd reader(open(dir.File("f", "x").c_str(), O_RDONLY));
  Fd writer(open((dir / "f").c_str(), O_WRONLY));
  EXPECT_ERRNO(mmap(nullptr, 0, PROT_READ, kAnonymous, -1, 0), EINVAL);
  EXPECT_ERRNO(mmap(nullptr, kPage, PROT_READ, MAP_ANONYMOUS, -1, 0), EINVAL);
  EXPECT_ERRNO(mmap(nullptr, kPage, PROT_READ, MAP_PRIVATE, -1, 0), EBADF);
  EXPECT_ERRNO(mmap(nullptr, kPage, PROT_READ, MAP_PRIVATE, reader, 1), EINVAL);
  EXPECT_ERRNO(mmap(nullptr, kPage, kReadWrite, MAP_SHARED, reader, 0), EACCES);
  EXPECT_ERRNO(mmap(nullptr, kPage, PROT_READ, MAP_PRIVATE, writer, 0), EACCES);
  EXPECT_ERRNO(mmap(nullptr, ~0UL - 4095, PROT_READ, kAnonymous, -1, 0), ENOMEM);
  EXPECT_ERRNO(mmap(nullptr, 1UL << 47, PROT_NONE, kAnonymous | MAP_NORESERVE, -1, 0), ENOMEM);
  int ends[2];
  ASSERT_OK(pipe(ends));
  Fd a(ends[0]), b(ends[1]);
  EXPECT_ERRNO(mmap(nullptr, kPage, PROT_READ, MAP_PRIVATE, a, 0), ENODEV);
  Fd directory(open(dir.c_str(), O_RDONLY));
  EXPECT_ERRNO(mmap(nullptr, kPage, PROT_READ, MAP_PRIVATE, directory, 0), ENODEV);
}

TEST(Mmap, FixedNeedsAlignmentAndUserAddress) {
  PrivateMemory memory(4 * kPage);
  EXPECT_ERRNO(mmap(memory.data() + 1, kPage, PROT_READ, kAnonymous | MAP_FIXED, -1, 0), EINVAL);
  void* top = reinterpret_cast<void*>(0x7ffffffff000);
  EXPECT_ERRNO(mmap(top, kPage, PROT_READ, kAnonymous | MAP_FIXED, -1, 0), ENOMEM);
  void* kernel = reinterpret_cast<void*>(0xffff800000000000);
  EXPECT_ERRNO(mmap(kernel, kPage, PROT_READ, kAnonymous | MAP_FIXED, -1, 0), ENOMEM);
}

TEST(Mmap, FixedReplacesTheMiddle) {
  PrivateMemory memory(3 * kPage);
  memset(memory.data(), 7, memory.size());
  void* got = mmap(memory.page(1), kPage, kReadWrite, kAnonymous | MAP_FIXED, -1, 0);
  EXPECT_EQ(got, memory.page(1));
  EXPECT_EQ(*memory.page(0), 7);
  EXPECT_EQ(*memory.page(1), 0);
  EXPECT_EQ(*memory.page(2), 7);
}

TEST(Mmap, FixedNoreplaceIsEexist) {
  PrivateMemory memory(2 * kPage);
  EXPECT_ERRNO(
      mmap(memory.page(1), kPage, PROT_READ, kAnonymous | MAP_FIXED_NOREPLACE, -1, 0), EEXIST);
  ASSERT_OK(munmap(memory.page(1), kPage));
  EXPECT_EQ(mmap(memory.page(1), kPage, PROT_READ, kAnonymous | MAP_FIXED_NOREPLACE, -1, 0),
            memory.page(1));
}

TEST(Mmap, FreeHintIsUsedTakenHintIsNot) {
  PrivateMemory memory(3 * kPage);
  ASSERT_OK(munmap(memory.page(1), kPage));
  void* got = mmap(memory.page(1), kPage, PROT_READ, kAnonymous, -1, 0);
  EXPECT_EQ(got, memory.page(1));
  void* elsewhere = mmap(memory.page(1), kPage, PROT_READ, kAnonymous, -1, 0);
  EXPECT_NE(elsewhere, MAP_FAILED);
  EXPECT_NE(elsewhere, memory.page(1));
  munmap(elsewhere, kPage);
}

TEST(Mmap, PrivateFileWritesStayPrivate) {
  TempDir dir;
  std::string path = dir.File("f", "original");
  Fd fd(open(path.c_str(), O_RDONLY));
  Mapping map(kPage, kReadWrite, MAP_PRIVATE, fd);
  EXPECT_STREQ(map.data(), "original");
  map.data()[0] = 'X';
  EXPECT_EQ(ReadFile(path), "original");
  Mapping second(kPage, PROT_READ, MAP_PRIVATE, fd);
  EXPECT_EQ(second.data()[0], 'o');
}

TEST(Mmap, SharedFileIsTheFile) {
  TempDir dir;
  std::string path = dir.File("f", "original");
  Fd fd(open(path.c_str(), O_RDWR));
  Mapping map(kPage, kReadWrite, MAP_SHARED, fd), other(kPage, PROT_READ, MAP_SHARED, fd);
  map.data()[0] = 'X';
  EXPECT_EQ(ReadFile(path), "Xriginal");
  EXPECT_EQ(other.data()[0], 'X');
  ASSERT_EQ(pwrite(fd, "Y", 1, 1), 1);
  EXPECT_EQ(map.data()[1], 'Y');
  EXPECT_OK(msync(map.data(), kPage, MS_SYNC));
}

TEST(Mmap, MappingOutlivesDescriptorAndName) {
  TempDir dir;
  std::string path = dir.File("f", "data");
  Fd fd(open(path.c_str(), O_RDONLY));
  Mapping map(kPage, PROT_READ, MAP_SHARED, fd);
  fd.Reset();
  ASSERT_OK(unlink(path.c_str()));
  EXPECT_STREQ(map.data(), "data");
}

TEST(Mmap, TailOfLastFilePageIsZero) {
  TempDir dir;
  Fd fd(open(dir.File("f", std::string(100, 'x')).c_str(), O_RDONLY));
  Mapping map(kPage, PROT_READ, MAP_PRIVATE, fd);
  for (size_t i = 100; i < kPage; i++) ASSERT_EQ(map.data()[i], 0);
}

TEST(Mmap, FileOffsetSelectsThePage) {
  TempDir dir;
  std::string content;
  for (int i = 0; i < 5; i++) content += std::string(kPage, 'a' + i);
  Fd fd(open(dir.File("f", content).c_str(), O_RDWR));
  Mapping map(2 * kPage, kReadWrite, MAP_SHARED, fd, 2 * kPage);
  EXPECT_EQ(*map.page(0), 'c');
  EXPECT_EQ(*map.page(1), 'd');
  *map.page(1) = 'Z';
  char c;
  ASSERT_EQ(pread(fd, &c, 1, 3 * kPage), 1);
  EXPECT_EQ(c, 'Z');
}

TEST(Mmap, BeyondEndOfFileIsSigbus) {
  TempDir dir;
  Fd fd(open(dir.File("f", "x").c_str(), O_RDWR));
  Mapping map(2 * kPage, kReadWrite, MAP_SHARED, fd);
  EXPECT_EXITED(RunChild([&] {
                  static char* bad = map.page(1);
                  ScopedHandler handler(
                      SIGBUS, +[](int, siginfo_t* info, void*) {
                        _exit(info->si_code == BUS_ADRERR && info->si_addr == bad ? 44 : 45);
                      });
                  *static_cast<volatile char*>(map.page(1)) = 1;
                  return 1;
                }),
                44);
  // The kernel's own access is an error, not a signal.
  EXPECT_ERRNO(pread(fd, map.page(1), 1, 0), EFAULT);
  // Growing the file makes the page usable.
  ASSERT_OK(ftruncate(fd, 2 * kPage));
  *map.page(1) = 5;
  char c;
  ASSERT_EQ(pread(fd, &c, 1, kPage), 1);
  EXPECT_EQ(c, 5);
}

TEST(Mmap, TruncateTakesMappedPagesAway) {
  TempDir dir;
  Fd fd(open(dir.File("f", std::string(2 * kPage, 'x')).c_str(), O_RDWR));
  Mapping map(2 * kPage, kReadWrite, MAP_SHARED, fd);
  *map.page(1) = 'y';
  ASSERT_OK(ftruncate(fd, kPage));
  EXPECT_KILLED(RunChild([&] { return *static_cast<volatile char*>(map.page(1)); }), SIGBUS);
  ASSERT_OK(ftruncate(fd, 2 * kPage));
  EXPECT_EQ(*map.page(1), 0);
}

TEST(Mmap, PrivateFilePagesAreCopiedOnForkToo) {
  TempDir dir;
  Fd fd(open(dir.File("f", "abc").c_str(), O_RDONLY));
  Mapping map(kPage, kReadWrite, MAP_PRIVATE, fd);
  map.data()[0] = 'P';
  EXPECT_EXITED(RunChild([&] {
                  CHILD_CHECK(map.data()[0] == 'P' && map.data()[1] == 'b');
                  map.data()[1] = 'C';
                  return 0;
                }),
                0);
  EXPECT_EQ(map.data()[1], 'b');
}

TEST(Mmap, SharedAnonymousAcrossProcesses) {
  SharedMemory memory(4 * kPage);
  pid_t pid = Fork([&] {
    for (int i = 0; i < 4; i++) *memory.page(i) = static_cast<char>(i + 1);
    return 0;
  });
  EXPECT_EXITED(Wait(pid), 0);
  for (int i = 0; i < 4; i++) EXPECT_EQ(*memory.page(i), i + 1);
}

TEST(Mmap, CodeCanBeWrittenThenRun) {
  // mov $42, %eax; ret
  const unsigned char code[] = {0xb8, 42, 0, 0, 0, 0xc3};
  PrivateMemory memory(kPage, kReadWrite);
  memcpy(memory.data(), code, sizeof(code));
  ASSERT_OK(mprotect(memory.data(), kPage, PROT_READ | PROT_EXEC));
  EXPECT_EQ(reinterpret_cast<int (*)()>(memory.data())(), 42);
  ASSERT_OK(mprotect(memory.data(), kPage, kReadWrite | PROT_EXEC));
  memory.data()[1] = 43;
  EXPECT_EQ(reinterpret_cast<int (*)()>(memory.data())(), 43);
}

TEST(Mmap, SystemCallFromFreshlyMappedCode) {
  // mov $39, %eax; syscall; ret: code that no loader has ever seen.
  const unsigned char code[] = {0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0xc3};
  PrivateMemory memory(kPage, kReadWrite | PROT_EXEC);
  memcpy(memory.data(), code, sizeof(code));
  for (int i = 0; i < 100; i++) {
    ASSERT_EQ(reinterpret_cast<int (*)()>(memory.data())(), getpid());
  }
}

TEST(Mmap, GigabytesOfReservationAreFree) {
  void* p = mmap(nullptr, 64UL << 30, PROT_NONE, kAnonymous | MAP_NORESERVE, -1, 0);
  ASSERT_NE(p, MAP_FAILED);
  char* middle = static_cast<char*>(p) + (32UL << 30);
  ASSERT_OK(mprotect(middle, kPage, kReadWrite));
  *middle = 1;
  EXPECT_OK(munmap(p, 64UL << 30));
}

TEST(Mmap, AddressSpaceLimitIsEnomem) {
  EXPECT_EXITED(RunChild([] {
                  // The first number is what is mapped already, in pages.
                  rlim_t used = std::stoul(ReadFile("/proc/self/statm")) * kPage;
                  rlimit limit = {used + (64 << 20), used + (64 << 20)};
                  CHILD_CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
                  CHILD_CHECK(mmap(nullptr, 128 << 20, PROT_NONE, kAnonymous, -1, 0) ==
                                  MAP_FAILED &&
                              errno == ENOMEM);
                  CHILD_CHECK(mmap(nullptr, kPage, PROT_NONE, kAnonymous, -1, 0) != MAP_FAILED);
                  return 0;
                }),
                0);
}

TEST(Mmap, Map32bitStaysLow) {
  void* p = mmap(nullptr, kPage, kReadWrite, kAnonymous | MAP_32BIT, -1, 0);
  ASSERT_NE(p, MAP_FAILED);
  EXPECT_LT(reinterpret_cast<uintptr_t>(p), 1UL << 31);
  munmap(p, kPage);
}

TEST(Mmap, PopulateAndLockedAreUsable) {
  Mapping populated(8 * kPage, kReadWrite, kAnonymous | MAP_POPULATE);
  populated.page(7)[0] = 1;
  unsigned char resident[8] = {};
  ASSERT_OK(mincore(populated.data(), 8 * kPage, resident));
  for (unsigned char r : resident) EXPECT_EQ(r & 1, 1);
}

TEST(Mmap, DevZeroIsAnonymousMemory) {
  Fd zero(open("/dev/zero", O_RDWR));
  Mapping map(kPage, kReadWrite, MAP_PRIVATE, zero);
  EXPECT_EQ(map.data()[0], 0);
  map.data()[0] = 1;
  Mapping shared(kPage, kReadWrite, MAP_SHARED, zero);
  EXPECT_EXITED(RunChild([&] { return shared.data()[0] = 9, 0; }), 0);
  EXPECT_EQ(shared.data()[0], 9);
}

TEST(Munmap, MiddleLeavesBothEnds) {
  PrivateMemory memory(3 * kPage);
  *memory.page(0) = *memory.page(2) = 9;
  ASSERT_OK(munmap(memory.page(1), kPage));
  EXPECT_EQ(*memory.page(0) + *memory.page(2), 18);
  EXPECT_KILLED(RunChild([&] { return *static_cast<volatile char*>(memory.page(1)); }), SIGSEGV);
}

TEST(Munmap, UnmappedRangeIsFineBadArgumentsAreNot) {
  PrivateMemory memory(2 * kPage);
  EXPECT_OK(munmap(memory.page(1), kPage));
  EXPECT_OK(munmap(memory.page(1), kPage));
  EXPECT_ERRNO(munmap(memory.data() + 1, kPage), EINVAL);
  EXPECT_ERRNO(munmap(memory.data(), 0), EINVAL);
  EXPECT_ERRNO(munmap(reinterpret_cast<void*>(0xffff800000000000), kPage), EINVAL);
}

TEST(Msync, Errors) {
  PrivateMemory memory(2 * kPage);
  EXPECT_OK(msync(memory.data(), kPage, MS_ASYNC));
  EXPECT_ERRNO(msync(memory.data(), kPage, MS_SYNC | MS_ASYNC), EINVAL);
  EXPECT_ERRNO(msync(memory.data() + 1, kPage, MS_SYNC), EINVAL);
  ASSERT_OK(munmap(memory.page(1), kPage));
  EXPECT_ERRNO(msync(memory.data(), 2 * kPage, MS_SYNC), ENOMEM);
}

TEST(Mincore, Errors) {
  PrivateMemory memory(2 * kPage);
  unsigned char resident[2];
  EXPECT_ERRNO(mincore(memory.data() + 1, kPage, resident), EINVAL);
  EXPECT_ERRNO(mincore(memory.data(), kPage, BadPointer<unsigned char>()), EFAULT);
  ASSERT_OK(munmap(memory.page(1), kPage));
  EXPECT_ERRNO(mincore(memory.data(), 2 * kPage, resident), ENOMEM);
}

TEST(Mmap, ThreadsMapAndUnmapConcurrently) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; t++) {
    threads.emplace_back([t] {
      for (int i = 0; i < 100; i++) {
        PrivateMemory memory(8 * kPage);
        for (int p = 0; p < 8; p++) *memory.as<int>() = t * 1000 + i;
        ASSERT_EQ(*memory.as<int>(), t * 1000 + i);
      }
    });
  }
  for (auto& thread : threads) thread.join();
}

}  // namespace
}  // namespace conformance
