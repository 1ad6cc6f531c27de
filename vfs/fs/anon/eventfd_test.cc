#include "vfs/fs/anon/eventfd.h"

#include <gtest/gtest.h>
#include <sys/eventfd.h>

namespace anonfs {
namespace {

RefPtr<const Credentials> Creds() {
  return RefPtr<const Credentials>(Credentials::Root(MakeRef<base::UserNamespace>(nullptr, 0)));
}
Result<size_t> Add(vfs::FileDescription& file, uint64_t value) { return file.Write(IoVec(&value, sizeof value)); }
Result<uint64_t> Take(vfs::FileDescription& file) {
  uint64_t value = 0;
  TRY(file.Read(IoVec(&value, sizeof value)));
  return value;
}

TEST(EventFd, CountsAndResets) {
  auto file = CreateEvent(3, 0, Creds()).value();
  EXPECT_EQ(*Add(*file, 4), 8u);
  EXPECT_EQ(file->Readiness(), EventMask{EPOLLIN | EPOLLOUT});
  EXPECT_EQ(*Take(*file), 7u);
  EXPECT_EQ(Take(*file).error(), Errno::kEAGAIN);
  EXPECT_EQ(file->Readiness(), EventMask{EPOLLOUT});
}

TEST(EventFd, SemaphoreGivesOneAtATime) {
  auto file = CreateEvent(2, EFD_SEMAPHORE, Creds()).value();
  EXPECT_EQ(*Take(*file), 1u);
  EXPECT_EQ(*Take(*file), 1u);
  EXPECT_EQ(Take(*file).error(), Errno::kEAGAIN);
}

TEST(EventFd, Limits) {
  auto file = CreateEvent(0, 0, Creds()).value();
  EXPECT_EQ(Add(*file, UINT64_MAX).error(), Errno::kEINVAL);
  EXPECT_EQ(*Add(*file, UINT64_MAX - 1), 8u);
  EXPECT_EQ(file->Readiness(), EventMask{EPOLLIN});
  EXPECT_EQ(Add(*file, 1).error(), Errno::kEAGAIN);
  EXPECT_EQ(*Add(*file, 0), 8u);
  vfs::FileAs<EventFile>(file.get())->Signal();
  EXPECT_EQ(file->Readiness(), EventMask{EPOLLIN | EPOLLERR});
  char small[7];
  EXPECT_EQ(file->Read(IoVec(small, 7)).error(), Errno::kEINVAL);
  EXPECT_EQ(file->Write(IoVec(small, 7)).error(), Errno::kEINVAL);
  EXPECT_EQ(CreateEvent(0, 2, Creds()).error(), Errno::kEINVAL);
}

}  // namespace
}  // namespace anonfs
