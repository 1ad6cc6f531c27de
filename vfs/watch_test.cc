#include "vfs/watch.h"

#include <gtest/gtest.h>

#include "vfs/fs/tmpfs/tmpfs.h"
#include "vfs/testing/world.h"

namespace vfs {
namespace {

RefPtr<FileSystem> NewTmpfs() {
  auto creds = MakeRef<Credentials>();
  return tmpfs::TmpFileSystem::Create("tmpfs", "", *creds).value();
}

std::string EventName(uint32_t event) {
  static constexpr std::pair<uint32_t, const char*> kNames[] = {
      {IN_ACCESS, "access"},        {IN_ATTRIB, "attrib"},     {IN_CLOSE_WRITE, "close_write"}, {IN_CLOSE_NOWRITE, "close"},
      {IN_CREATE, "create"},        {IN_DELETE, "delete"},     {IN_DELETE_SELF, "delete_self"}, {IN_MODIFY, "modify"},
      {IN_MOVE_SELF, "move_self"},  {IN_MOVED_FROM, "from"},   {IN_MOVED_TO, "to"},             {IN_OPEN, "open"},
      {IN_UNMOUNT, "unmount"},
  };
  std::string text;
  for (auto& [bit, name] : kNames) {
    if ((event & bit) != 0) text += name;
  }
  return (event & IN_ISDIR) != 0 ? text + "/" : text;
}

class Recorder final : public Watch {
 public:
  void OnEvent(uint32_t event, uint32_t cookie, std::string_view name) override {
    log += EventName(event);
    if (!name.empty()) log += ":" + std::string(name);
    log += ' ';
    if (cookie != 0) cookies.push_back(cookie);
  }
  void OnIgnored() override { log += "ignored "; }
  std::string Take() { return std::exchange(log, ""); }

  std::string log;
  std::vector<uint32_t> cookies;
};

TEST(WatchTest, OfADirectory) {
  RunOnFiber([] {
    World w(NewTmpfs());
    w.Mkdir("/d");
    Recorder watch;
    watch.Attach(w.Place("/d"), IN_ALL_EVENTS);
    w.WriteFile("/d/f", "x");
    EXPECT_EQ(watch.Take(), "create:f open:f close_write:f ");
    RefPtr<FileDescription> file = w.Open("/d/f", O_RDWR | O_TRUNC).value();
    NotifyModified(*file);
    NotifyAccessed(*file);
    file.reset();
    EXPECT_EQ(watch.Take(), "modify:f open:f modify:f access:f close_write:f ");
    CHECK_OK(SetAttr(w.context, w.Place("/d/f"), {.valid = SetAttributes::kMode, .mode = 0600}));
    w.Mkdir("/d/sub");
    EXPECT_EQ(watch.Take(), "attrib:f create/:sub ");
    CHECK_OK(Rename(w.context, "/d/f", w.context, "/d/g", 0));
    EXPECT_EQ(watch.Take(), "from:f to:g ");
    ASSERT_EQ(watch.cookies.size(), 2u);
    EXPECT_EQ(watch.cookies[0], watch.cookies[1]);
    CHECK_OK(Unlink(w.context, "/d/g"));
    CHECK_OK(Rmdir(w.context, "/d/sub"));
    EXPECT_EQ(watch.Take(), "delete:g delete/:sub ");
    CHECK_OK(Rmdir(w.context, "/d"));
    EXPECT_EQ(watch.Take(), "delete_self ignored ");
    EXPECT_FALSE(watch.attached());
    EXPECT_EQ(watch_count, 0u);
  });
}

TEST(WatchTest, OfAFile) {
  RunOnFiber([] {
    World w(NewTmpfs());
    w.WriteFile("/f", "x");
    Recorder watch;
    watch.Attach(w.Place("/f"), IN_ALL_EVENTS & ~(IN_OPEN | IN_CLOSE));
    Dentry::SetCacheLimit(0);  // the watch keeps what it watches
    Dentry::SetCacheLimit(32768);
    CHECK_OK(Link(w.context, w.Place("/f"), w.context, "/g"));
    CHECK_OK(Rename(w.context, "/f", w.context, "/h", 0));
    EXPECT_EQ(watch.Take(), "attrib move_self ");
    RefPtr<FileDescription> file = w.Open("/g", O_RDONLY).value();
    CHECK_OK(Unlink(w.context, "/h"));
    CHECK_OK(Unlink(w.context, "/g"));
    EXPECT_EQ(watch.Take(), "attrib attrib ");
    file.reset();
    EXPECT_EQ(watch.Take(), "delete_self ignored ");
  });
}

TEST(WatchTest, EndsWithTheMount) {
  RunOnFiber([] {
    World w(NewTmpfs());
    w.Mkdir("/m");
    CHECK_OK(MountFs(w.context, NewTmpfs(), w.Place("/m"), 0));
    w.WriteFile("/m/f", "x");
    Recorder watch;
    watch.Attach(w.Place("/m/f"), IN_MODIFY);
    CHECK_OK(Unmount(w.context, w.Place("/m"), 0));
    EXPECT_EQ(watch.Take(), "unmount ignored ");
  });
}

TEST(WatchTest, HandlersMayDestroyWatches) {
  RunOnFiber([] {
    struct Victim final : Watch {
      void OnEvent(uint32_t, uint32_t, std::string_view) override { (*events)++; }
      void OnIgnored() override {}
      int* events;
    };
    struct Killer final : Watch {
      void OnEvent(uint32_t, uint32_t, std::string_view) override { victims.clear(); }
      void OnIgnored() override {}
      std::vector<std::unique_ptr<Victim>> victims;
    };
    World w(NewTmpfs());
    int events = 0;
    Killer killer;
    killer.Attach(w.Place("/"), IN_CREATE);
    for (int i = 0; i < 3; i++) {
      killer.victims.push_back(std::make_unique<Victim>());
      killer.victims.back()->events = &events;
      killer.victims.back()->Attach(w.Place("/"), IN_CREATE);
    }
    w.Mkdir("/d");
    EXPECT_EQ(events, 0);
    EXPECT_EQ(watch_count, 1u);
  });
}

}  // namespace
}  // namespace vfs
