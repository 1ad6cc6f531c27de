// memfd_create(2) and file seals
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "util/check.h"
#include "util/child.h"
#include "util/fd.h"
#include "util/helper.h"
#include "util/memory.h"
#include "util/temp_dir.h"

namespace conformance {
namespace {

TEST(Memfd, IsAnUnlinkedReadWriteFile) {
  Fd fd(memfd_create("name", 0));
  ASSERT_OK(fd.get());
  struct stat st;
  ASSERT_OK(fstat(fd, &st));
  EXPECT_TRUE(S_ISREG(st.st_mode));
  EXPECT_EQ(st.st_nlink, 0u);
  EXPECT_EQ(st.st_size, 0);
  ASSERT_EQ(write(fd, "data", 4), 4);
  char buffer[4];
  EXPECT_EQ(pread(fd, buffer, 4, 0), 4);
  char target[64] = {};
  ASSERT_OK(readlink(("/proc/self/fd/" + std::to_string(fd)).c_str(), target, 63));
  EXPECT_STREQ(target, "/memfd:name (deleted)");
}

TEST(Memfd, FlagsAndNames) {
  Fd cloexec(memfd_create("", MFD_CLOEXEC)), plain(memfd_create("", 0));
  EXPECT_EQ(fcntl(cloexec, F_GETFD), FD_CLOEXEC);
  EXPECT_EQ(fcntl(plain, F_GETFD), 0);
  EXPECT_ERRNO(memfd_create("x", 0x40000000), EINVAL);
  EXPECT_OK(close(memfd_create(std::string(249, 'x').c_str(), 0)));
  EXPECT_ERRNO(memfd_create(std::string(250, 'x').c_str(), 0), EINVAL);
  EXPECT_ERRNO(memfd_create(BadPointer<char>(), 0), EFAULT);
}

TEST(Memfd, SharedMappingAcrossProcesses) {
  Fd fd(memfd_create("x", 0));
  ASSERT_OK(ftruncate(fd, kPage));
  EXPECT_EXITED(RunChild([&] {
                  Mapping map(kPage, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
                  map.data()[5] = 7;
                  return 0;
                }),
                0);
  Mapping map(kPage, PROT_READ, MAP_SHARED, fd);
  EXPECT_EQ(map.data()[5], 7);
}

TEST(Seals, WithoutAllowSealingNothingCanBeAdded) {
  Fd fd(memfd_create("x", 0));
  EXPECT_EQ(fcntl(fd, F_GET_SEALS), F_SEAL_SEAL);
  EXPECT_ERRNO(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EPERM);
  int ends[2];
  ASSERT_OK(pipe(ends));
  Fd reader(ends[0]), writer(ends[1]);
  EXPECT_ERRNO(fcntl(reader, F_GET_SEALS), EINVAL);
}

TEST(Seals, ShrinkGrowAndWrite) {
  Fd fd(memfd_create("x", MFD_ALLOW_SEALING));
  ASSERT_OK(ftruncate(fd, 2 * kPage));
  EXPECT_EQ(fcntl(fd, F_GET_SEALS), 0);
  ASSERT_OK(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK));
  EXPECT_ERRNO(ftruncate(fd, kPage), EPERM);
  ASSERT_OK(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW));
  EXPECT_ERRNO(ftruncate(fd, 3 * kPage), EPERM);
  EXPECT_ERRNO(pwrite(fd, "x", 1, 2 * kPage), EPERM);
  ASSERT_EQ(pwrite(fd, "x", 1, 0), 1);
  ASSERT_OK(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
  EXPECT_ERRNO(pwrite(fd, "x", 1, 0), EPERM);
  EXPECT_ERRNO(mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), EPERM);
  Mapping private_map(kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd);
  EXPECT_EQ(private_map.data()[0], 'x');
  EXPECT_EQ(fcntl(fd, F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
  ASSERT_OK(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL));
  EXPECT_ERRNO(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EPERM);
}

TEST(Seals, WriteSealNeedsNoWritableMapping) {
  Fd fd(memfd_create("x", MFD_ALLOW_SEALING));
  ASSERT_OK(ftruncate(fd, kPage));
  {
    Mapping map(kPage, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
    EXPECT_ERRNO(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EBUSY);
    ASSERT_OK(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE));
    map.data()[0] = 1;
  }
  EXPECT_ERRNO(pwrite(fd, "x", 1, 0), EPERM);
  EXPECT_OK(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
  EXPECT_ERRNO(fcntl(fd, F_ADD_SEALS, 0x8000), EINVAL);
}

RegisterHelper eight_helper("eight", [](int, char**) { return 8; });

TEST(Memfd, CanBeExecuted) {
  Fd fd(memfd_create("program", MFD_CLOEXEC));
  std::string program = ReadFile(SelfPath());
  ASSERT_EQ(write(fd, program.data(), program.size()), static_cast<ssize_t>(program.size()));
  // A descriptor open for writing makes the file busy, so reopen it for reading.
  Fd reader(open(("/proc/self/fd/" + std::to_string(fd)).c_str(), O_RDONLY | O_CLOEXEC));
  fd.Reset();
  HelperArgv argv("eight");
  EXPECT_EXITED(RunChild([&] {
                  syscall(SYS_execveat, reader.get(), "", argv.data(), environ, AT_EMPTY_PATH);
                  return 95;
                }),
                8);
}

}  // namespace
}  // namespace conformance
