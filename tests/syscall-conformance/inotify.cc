// inotify(7)
#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "util/check.h"
#include "util/clock.h"
#include "util/fd.h"
#include "util/memory.h"
#include "util/temp_dir.h"

namespace conformance {
namespace {

struct Event {
  int wd;
  uint32_t mask, cookie;
  std::string name;
};

using MaskList = std::vector<uint32_t>;

struct Inotify : testing::Test {
  std::vector<Event> Events() {
    alignas(inotify_event) char buffer[8192];
    std::vector<Event> events;
    ssize_t n;
    while ((n = read(fd, buffer, sizeof(buffer))) > 0) {
      for (ssize_t at = 0; at < n;) {
        auto* event = reinterpret_cast<inotify_event*>(buffer + at);
        events.push_back({event->wd, event->mask, event->cookie,
                          event->len > 0 ? event->name : ""});
        at += sizeof(inotify_event) + event->len;
      }
    }
    return events;
  }
  MaskList Masks() {
    MaskList masks;
    for (auto& event : Events()) masks.push_back(event.mask);
    return masks;
  }
  int Watch(const std::string& path, uint32_t mask) {
    int wd = inotify_add_watch(fd, path.c_str(), mask);
    EXPECT_GE(wd, 1);
    return wd;
  }

  TempDir dir;
  Fd fd{inotify_init1(IN_NONBLOCK | IN_CLOEXEC)};
};

TEST_F(Inotify, CreateWriteCloseDelete) {
  int wd = Watch(dir.path(), IN_CREATE | IN_MODIFY | IN_CLOSE_WRITE | IN_DELETE | IN_OPEN);
  dir.File("f", "x");
  ASSERT_OK(unlink((dir / "f").c_str()));
  auto events = Events();
  ASSERT_EQ(events.size(), 5u);
  uint32_t expected[] = {IN_CREATE, IN_OPEN, IN_MODIFY, IN_CLOSE_WRITE, IN_DELETE};
  for (int i = 0; i < 5; i++) {
    EXPECT_EQ(events[i].mask, expected[i]) << i;
    EXPECT_EQ(events[i].wd, wd);
    EXPECT_EQ(events[i].name, "f");
  }
}

TEST_F(Inotify, DirectoriesAreMarked) {
  Watch(dir.path(), IN_CREATE | IN_DELETE);
  ASSERT_OK(mkdir((dir / "d").c_str(), 0755));
  ASSERT_OK(rmdir((dir / "d").c_str()));
  EXPECT_EQ(Masks(), (MaskList{IN_CREATE | IN_ISDIR, IN_DELETE | IN_ISDIR}));
}

TEST_F(Inotify, RenameIsTwoEventsWithOneCookie) {
  dir.File("a");
  Watch(dir.path(), IN_MOVE);
  ASSERT_OK(rename((dir / "a").c_str(), (dir / "b").c_str()));
  auto events = Events();
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].mask, unsigned{IN_MOVED_FROM});
  EXPECT_EQ(events[0].name, "a");
  EXPECT_EQ(events[1].mask, unsigned{IN_MOVED_TO});
  EXPECT_EQ(events[1].name, "b");
  EXPECT_NE(events[0].cookie, 0u);
  EXPECT_EQ(events[0].cookie, events[1].cookie);
}

TEST_F(Inotify, WatchedFileItself) {
  std::string path = dir.File("f", "x");
  Watch(path, IN_ALL_EVENTS);
  ASSERT_OK(chmod(path.c_str(), 0600));
  Fd file(open(path.c_str(), O_RDONLY));
  char c;
  ASSERT_EQ(read(file, &c, 1), 1);
  file.Reset();
  EXPECT_EQ(Masks(), (MaskList{IN_ATTRIB, IN_OPEN, IN_ACCESS, IN_CLOSE_NOWRITE}));
  ASSERT_OK(unlink(path.c_str()));
  EXPECT_EQ(Masks(), (MaskList{IN_ATTRIB, IN_DELETE_SELF, IN_IGNORED}));
}

TEST_F(Inotify, IdenticalPendingEventsAreMerged) {
  std::string path = dir.File("f");
  Watch(path, IN_MODIFY);
  Fd file(open(path.c_str(), O_WRONLY));
  for (int i = 0; i < 5; i++) ASSERT_EQ(write(file, "x", 1), 1);
  EXPECT_EQ(Masks(), (MaskList{IN_MODIFY}));
}

TEST_F(Inotify, OneshotRemovesItself) {
  std::string path = dir.File("f");
  Watch(path, IN_ATTRIB | IN_ONESHOT);
  ASSERT_OK(chmod(path.c_str(), 0600));
  ASSERT_OK(chmod(path.c_str(), 0644));
  EXPECT_EQ(Masks(), (MaskList{IN_ATTRIB, IN_IGNORED}));
}

TEST_F(Inotify, AddingAgainReplacesOrExtendsTheMask) {
  std::string path = dir.File("f");
  int wd = Watch(path, IN_OPEN);
  EXPECT_EQ(Watch(path, IN_ATTRIB | IN_MASK_ADD), wd);
  ASSERT_OK(chmod(path.c_str(), 0600));
  EXPECT_EQ(Masks(), (MaskList{IN_ATTRIB}));
  EXPECT_EQ(Watch(path, IN_OPEN), wd);
  ASSERT_OK(chmod(path.c_str(), 0644));
  EXPECT_EQ(Masks(), (MaskList{}));
  EXPECT_ERRNO(inotify_add_watch(fd, path.c_str(), IN_OPEN | IN_MASK_CREATE), EEXIST);
}

TEST_F(Inotify, RemoveSendsIgnored) {
  int wd = Watch(dir.path(), IN_CREATE);
  ASSERT_OK(inotify_rm_watch(fd, wd));
  EXPECT_EQ(Masks(), (MaskList{IN_IGNORED}));
  EXPECT_ERRNO(inotify_rm_watch(fd, wd), EINVAL);
  dir.File("f");
  EXPECT_EQ(Masks(), (MaskList{}));
}

TEST_F(Inotify, PollFionreadAndSmallBuffer) {
  Watch(dir.path(), IN_CREATE);
  pollfd event = {fd, POLLIN, 0};
  EXPECT_EQ(poll(&event, 1, 0), 0);
  dir.File("f");
  EXPECT_EQ(poll(&event, 1, 0), 1);
  int bytes = 0;
  ASSERT_OK(ioctl(fd, FIONREAD, &bytes));
  EXPECT_EQ(bytes, 32) << "the name is padded to the size of the header";
  char small[20];
  EXPECT_ERRNO(read(fd, small, sizeof(small)), EINVAL);
}

TEST_F(Inotify, BlockedReadWakes) {
  ASSERT_OK(fcntl(fd, F_SETFL, 0));
  Watch(dir.path(), IN_CREATE);
  std::thread other([&] {
    SleepMs(50);
    dir.File("f");
  });
  char buffer[256];
  EXPECT_EQ(read(fd, buffer, sizeof(buffer)), 32);
  other.join();
}

TEST_F(Inotify, Errors) {
  std::string path = dir.File("f");
  EXPECT_ERRNO(inotify_init1(0x1), EINVAL);
  EXPECT_ERRNO(inotify_add_watch(fd, (dir / "none").c_str(), IN_OPEN), ENOENT);
  EXPECT_ERRNO(inotify_add_watch(fd, path.c_str(), 0), EINVAL);
  EXPECT_ERRNO(inotify_add_watch(fd, path.c_str(), IN_OPEN | IN_ONLYDIR), ENOTDIR);
  EXPECT_ERRNO(inotify_add_watch(-1, path.c_str(), IN_OPEN), EBADF);
  EXPECT_ERRNO(inotify_add_watch(0, path.c_str(), IN_OPEN), EINVAL);
  EXPECT_ERRNO(inotify_add_watch(fd, BadPointer<char>(), IN_OPEN), EFAULT);
}

}  // namespace
}  // namespace conformance
