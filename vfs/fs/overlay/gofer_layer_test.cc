// The overlay that every container's root is: memory over files that a gofer serves.

#include <gtest/gtest.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <optional>

#include "base/kernel_lock.h"
#include "gofer/testing.h"
#include "vfs/fs/gofer/connection.h"
#include "vfs/fs/gofer/gofer_fs.h"
#include "vfs/fs/overlay/test_util.h"

namespace overlay {
namespace {

class OverlayOverGofer : public testing::Test {
 protected:
  void Run(std::function<void(World&)> body, bool shared = false) {
    gofer::TestGofer gofer({{host_.path(), true}});
    connection_ = goferfs::Connection::Create(gofer.TakeSocket());
    RunOnFiber([&] {
      RefPtr<FileSystem> files =
          goferfs::Create(connection_, {.shared = shared, .read_only = true}).value();
      RefPtr<FileSystem> upper = NewTmpfs();
      World w(CreateOverlay(
                  {.upper = upper->root(), .lowers = {files->root()}, .layers = {upper, files}})
                  .value());
      body(w);
    });
    KernelLock::Section section;
    connection_.reset();
  }
  uint64_t calls() const { return connection_->calls(); }

  gofer::TempDirectory host_;
  RefPtr<goferfs::Connection> connection_;
};

TEST_F(OverlayOverGofer, WarmFilesCostNoCall) {
  host_.Mkdir("dir");
  host_.Write("dir/file", "content");
  Run([&](World& w) {
    EXPECT_EQ(w.ReadFile("/dir/file"), "content");
    EXPECT_EQ(ErrorOf(w.Stat("/dir/none")), Errno::kENOENT);
    w.WriteFile("/dir/first", "");  // copies the directory up, once
    uint64_t before = calls();
    EXPECT_EQ(w.ReadFile("/dir/file"), "content");
    EXPECT_EQ(w.Stat("/dir/file")->size, 7u);
    EXPECT_EQ(w.Stat("/dir/file")->ino, w.Open("/dir/file", O_RDONLY).value()->Stat()->ino);
    EXPECT_EQ(ErrorOf(w.Stat("/dir/none")), Errno::kENOENT);
    w.WriteFile("/dir/none", "made");
    CHECK_OK(Unlink(w.context, "/dir/none"));
    EXPECT_EQ(calls(), before);
  });
}

TEST_F(OverlayOverGofer, MapsTheHostFile) {
  host_.Write("file", std::string(8192, 'm'));
  Run([&](World& w) {
    auto file = w.Open("/file", O_RDONLY).value();
    RefPtr<Mappable> map = file->Map().value();
    Mappable::Pages pages = map->Translate(4096, 4096, false).value();
    EXPECT_FALSE(pages.in_memory_file);
    EXPECT_EQ(pages.offset, 4096u);
    EXPECT_EQ(w.Open("/file", O_RDONLY).value()->Map().value(), map);
    auto writer = w.Open("/file", O_RDWR).value();
    EXPECT_TRUE(writer->Map().value()->Translate(0, 4096, true)->in_memory_file);
  });
}

TEST_F(OverlayOverGofer, ChangesNeverReachTheHost) {
  host_.Mkdir("dir");
  host_.Mkdir("dir/sub");
  host_.Write("dir/file", "old");
  host_.Write("dir/sub/deep", std::string(700'000, 'd'));
  ASSERT_EQ(link((host_ / "dir/file").c_str(), (host_ / "dir/other").c_str()), 0);
  ASSERT_EQ(symlink("file", (host_ / "dir/link").c_str()), 0);
  Run([&](World& w) {
    EXPECT_EQ(w.Stat("/dir/file")->nlink, 2u);
    w.WriteFile("/dir/file", "new");
    EXPECT_EQ(w.ReadFile("/dir/other"), "new");
    EXPECT_EQ(w.ReadFile("/dir/link"), "new");
    CHECK_OK(Rename(w.context, "/dir", w.context, "/moved", 0));
    EXPECT_EQ(w.List("/moved"), (Names{"file", "link", "other", "sub"}));
    EXPECT_EQ(w.ReadFile("/moved/sub/deep").size(), 700'000u);
    EXPECT_EQ(w.ReadFile("/moved/other"), "new");
    EXPECT_EQ(w.Stat("/moved/other")->ino, w.Stat("/moved/file")->ino);
    EXPECT_EQ(w.Stat("/moved/other")->nlink, 2u);
    for (const char* name : {"/moved/file", "/moved/link", "/moved/other", "/moved/sub/deep"})
      CHECK_OK(Unlink(w.context, name));
    CHECK_OK(Rmdir(w.context, "/moved/sub"));
    CHECK_OK(Rmdir(w.context, "/moved"));
    EXPECT_EQ(w.List("/"), Names{});
  });
  EXPECT_EQ(host_.Read("dir/file"), "old");
  EXPECT_EQ(host_.Read("dir/sub/deep").size(), 700'000u);
}

TEST_F(OverlayOverGofer, SharedFilesAreLookedAtAgain) {
  host_.Write("file", "1");
  Run(
      [&](World& w) {
        EXPECT_EQ(w.ReadFile("/file"), "1");
        EXPECT_EQ(ErrorOf(w.Stat("/late")), Errno::kENOENT);
        host_.Write("late", "x");
        EXPECT_EQ(w.ReadFile("/late"), "x");
        ASSERT_EQ(unlink((host_ / "file").c_str()), 0);
        EXPECT_EQ(ErrorOf(w.Stat("/file")), Errno::kENOENT);
        w.WriteFile("/file", "mine");
        host_.Write("file", "theirs");
        EXPECT_EQ(w.ReadFile("/file"), "mine");
        CHECK_OK(Unlink(w.context, "/late"));
        host_.Write("late", "again");
        EXPECT_EQ(ErrorOf(w.Stat("/late")), Errno::kENOENT);
      },
      true);
}

}  // namespace
}  // namespace overlay
