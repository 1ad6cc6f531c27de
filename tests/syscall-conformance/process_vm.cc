// process_vm_readv(2), process_vm_writev(2)
#include <sys/syscall.h>
#include <sys/uio.h>

#include "util/check.h"
#include "util/child.h"
#include "util/fd.h"
#include "util/memory.h"

namespace conformance {
namespace {

// A child with known memory that waits to be told to go on and then exits with its first byte.
struct ProcessVm : testing::Test {
  ProcessVm() {
    strcpy(memory.data(), "first");
    strcpy(memory.page(1), "second");
    int ends[2];
    EXPECT_OK(pipe(ends));
    reader.Reset(ends[0]);
    writer.Reset(ends[1]);
    pid = Fork([this] {
      writer.Reset();
      memory.page(1)[0] = 'S';  // So that the child's copy differs from ours.
      char c;
      while (read(reader, &c, 1) == 1) {
      }
      return static_cast<int>(memory.data()[0]);
    });
  }
  int Finish() {
    writer.Reset();
    return Wait(std::exchange(pid, 0));
  }
  ~ProcessVm() override {
    if (pid != 0) Finish();
  }
  PrivateMemory memory{3 * kPage};
  Fd reader, writer;
  pid_t pid = 0;
};

TEST_F(ProcessVm, ReadsAndWritesAcross) {
  char buffer[16] = {};
  iovec local = {buffer, 6}, remote = {memory.data(), 6};
  EXPECT_EQ(process_vm_readv(pid, &local, 1, &remote, 1, 0), 6);
  EXPECT_STREQ(buffer, "first");
  char text[] = "Z";
  local = {text, 1};
  remote = {memory.data(), 1};
  EXPECT_EQ(process_vm_writev(pid, &local, 1, &remote, 1, 0), 1);
  EXPECT_EQ(memory.data()[0], 'f');
  EXPECT_EXITED(Finish(), 'Z');
}

TEST_F(ProcessVm, GathersManyRemoteRanges) {
  char a[3], b[9] = {};
  iovec local[] = {{a, 3}, {b, 8}}, remote[] = {{memory.data(), 5}, {memory.page(1), 6}};
  for (int i = 0; i < 100; i++) {
    // The child writes its mark concurrently.
    ASSERT_EQ(process_vm_readv(pid, local, 2, remote, 2, 0), 11);
    if (b[2] == 'S') break;
    usleep(1000);
  }
  EXPECT_EQ(std::string(a, 3), "fir");
  EXPECT_STREQ(b, "stSecond");
}

TEST_F(ProcessVm, PartialTransferStopsAtTheFault) {
  ASSERT_OK(munmap(memory.page(2), kPage));
  char buffer[32];
  iovec local = {buffer, 32};
  iovec remote[] = {{memory.data(), 4}, {BadPointer(), 4}};
  EXPECT_EQ(process_vm_readv(pid, &local, 1, remote, 2, 0), 4);
  remote[0] = {BadPointer(), 4};
  EXPECT_ERRNO(process_vm_readv(pid, &local, 1, remote, 1, 0), EFAULT);
}

TEST_F(ProcessVm, Errors) {
  char buffer[4];
  iovec local = {buffer, 4}, remote = {memory.data(), 4};
  EXPECT_ERRNO(process_vm_readv(pid, &local, 1, &remote, 1, 1), EINVAL);
  EXPECT_ERRNO(process_vm_readv(0x7ffffff0, &local, 1, &remote, 1, 0), ESRCH);
  EXPECT_ERRNO(process_vm_readv(pid, &local, 1025, &remote, 1, 0), EINVAL);
  EXPECT_ERRNO(process_vm_readv(pid, BadPointer<iovec>(), 1, &remote, 1, 0), EFAULT);
  EXPECT_EQ(process_vm_readv(pid, &local, 0, &remote, 1, 0), 0);
  EXPECT_EXITED(RunChild([&] {
                  CHILD_CHECK(setresuid(1000, 1000, 1000) == 0);
                  CHILD_ERRNO(process_vm_readv(pid, &local, 1, &remote, 1, 0), EPERM);
                  return 0;
                }),
                0);
}

}  // namespace
}  // namespace conformance
