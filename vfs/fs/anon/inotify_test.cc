#include "vfs/fs/anon/inotify.h"

#include <gtest/gtest.h>
#include <sys/inotify.h>

#include <cstring>

#include "vfs/operations.h"

namespace anonfs {
namespace {

RefPtr<const Credentials> Creds() {
  return RefPtr<const Credentials>(Credentials::Root(MakeRef<base::UserNamespace>(nullptr, 0)));
}

class Thing : public vfs::FileDescription {
 public:
  explicit Thing(std::string_view name) { vfs::InitAnonymous(*this, name, S_IFREG | 0600, O_RDWR, Creds()); }
};

class InotifyTest : public testing::Test {
 protected:
  // "wd:mask:name" of each event that one read gives.
  std::string Read(size_t size = 4096) {
    std::vector<char> buffer(size);
    Result<size_t> n = file_->Read(IoVec(buffer.data(), size));
    if (!n.ok()) return std::string(base::ErrnoName(n.error()));
    std::string all;
    for (size_t at = 0; at < *n;) {
      inotify_event event;
      memcpy(&event, &buffer[at], sizeof event);
      char line[100];
      snprintf(line, sizeof line, "%d:%x:%s ", event.wd, event.mask, event.len > 0 ? &buffer[at + sizeof event] : "");
      all += line;
      at += sizeof event + event.len;
    }
    return all;
  }
  vfs::Inode& inode() { return thing_->inode(); }

  RefPtr<vfs::FileDescription> file_ = CreateInotify(0, Creds()).value();
  InotifyFile& inotify_ = *vfs::FileAs<InotifyFile>(file_.get());
  RefPtr<vfs::FileDescription> thing_ = MakeRef<Thing>("thing");
};

TEST_F(InotifyTest, QueuesEvents) {
  EXPECT_EQ(*inotify_.AddWatch(thing_->path(), IN_CREATE | IN_ATTRIB), 1);
  EXPECT_EQ(Read(), "EAGAIN");
  vfs::ReportName(inode(), "name", IN_CREATE);
  vfs::ReportName(inode(), "name", IN_DELETE);  // not asked for
  vfs::ReportSelf(inode(), IN_ATTRIB);
  vfs::ReportSelf(inode(), IN_ATTRIB);  // the same again
  EXPECT_EQ(file_->Readiness(), EventMask{EPOLLIN});
  EXPECT_EQ(Read(), "1:100:name 1:4: ");
  EXPECT_EQ(file_->Readiness(), 0u);
}

TEST_F(InotifyTest, SmallBuffers) {
  ASSERT_TRUE(inotify_.AddWatch(thing_->path(), IN_CREATE).ok());
  vfs::ReportName(inode(), "a", IN_CREATE);
  vfs::ReportName(inode(), "0123456789abcdef", IN_CREATE);
  EXPECT_EQ(Read(31), "EINVAL");
  EXPECT_EQ(Read(32 + 47), "1:100:a ");
  EXPECT_EQ(Read(48), "1:100:0123456789abcdef ");
}

TEST_F(InotifyTest, MasksOfOneInode) {
  EXPECT_EQ(*inotify_.AddWatch(thing_->path(), IN_CREATE), 1);
  EXPECT_EQ(*inotify_.AddWatch(thing_->path(), IN_DELETE | IN_MASK_ADD), 1);
  vfs::ReportName(inode(), "n", IN_CREATE);
  vfs::ReportName(inode(), "n", IN_DELETE);
  EXPECT_EQ(Read(), "1:100:n 1:200:n ");
  EXPECT_EQ(*inotify_.AddWatch(thing_->path(), IN_DELETE), 1);
  vfs::ReportName(inode(), "n", IN_CREATE);
  EXPECT_EQ(Read(), "EAGAIN");
  EXPECT_EQ(inotify_.AddWatch(thing_->path(), IN_CREATE | IN_MASK_CREATE).error(), Errno::kEEXIST);
  EXPECT_EQ(inotify_.AddWatch(thing_->path(), IN_MASK_ADD | IN_MASK_CREATE).error(), Errno::kEINVAL);
  EXPECT_EQ(inotify_.AddWatch(thing_->path(), 0).error(), Errno::kEINVAL);
}

TEST_F(InotifyTest, Ends) {
  ASSERT_TRUE(inotify_.AddWatch(thing_->path(), IN_CREATE | IN_ONESHOT).ok());
  vfs::ReportName(inode(), "n", IN_CREATE);
  vfs::ReportName(inode(), "m", IN_CREATE);
  EXPECT_EQ(Read(), "1:100:n 1:8000: ");
  EXPECT_EQ(inotify_.RemoveWatch(1).error(), Errno::kEINVAL);
  EXPECT_EQ(*inotify_.AddWatch(thing_->path(), IN_CREATE), 2);
  EXPECT_TRUE(inotify_.RemoveWatch(2).ok());
  EXPECT_EQ(Read(), "2:8000: ");
  EXPECT_EQ(vfs::watch_count, 0u);
}

TEST_F(InotifyTest, AFullQueueSaysSo) {
  ASSERT_TRUE(inotify_.AddWatch(thing_->path(), IN_CREATE).ok());
  for (int i = 0; i < 20000; i++) vfs::ReportName(inode(), i % 2 == 0 ? "a" : "b", IN_CREATE);
  const std::string all = Read(1 << 20);
  EXPECT_TRUE(all.ends_with("-1:4000: ")) << all.substr(all.size() - 40);
}

}  // namespace
}  // namespace anonfs
