#include "vfs/path_walk.h"

#include <gtest/gtest.h>

#include "vfs/fs/tmpfs/tmpfs.h"
#include "vfs/testing/world.h"

namespace vfs {
namespace {

RefPtr<FileSystem> NewTmpfs(std::string_view options = "") {
  auto creds = MakeRef<Credentials>();
  return tmpfs::TmpFileSystem::Create("tmpfs", options, *creds).value();
}

Errno WalkError(const WalkContext& context, std::string_view name, unsigned flags = kWalkFollow, uint64_t resolve = 0) {
  return ErrorOf(Walk(context, name, flags, resolve));
}

TEST(PathWalk, ComponentsDotsAndSlashes) {
  RunOnFiber([] {
    World w(NewTmpfs());
    w.Mkdir("/a");
    w.Mkdir("/a/b");
    w.WriteFile("/a/b/file", "x");
    uint64_t b = w.Stat("/a/b")->ino;
    for (const char* name : {"a/b", "//a///b//", "/a/./b/.", "/a/b/../b", "/../../a/b", "/a/b/../../a/b/"}) {
      EXPECT_EQ(w.Stat(name).value().ino, b) << name;
    }
    EXPECT_EQ(w.Stat("/..")->ino, w.Stat("/")->ino);
    EXPECT_EQ(WalkError(w.context, ""), Errno::kENOENT);
    EXPECT_EQ(WalkError(w.context, "", kWalkEmptyPath), Errno{});
    EXPECT_EQ(WalkError(w.context, "/a/missing"), Errno::kENOENT);
    EXPECT_EQ(WalkError(w.context, "/missing/b"), Errno::kENOENT);
    EXPECT_EQ(WalkError(w.context, "/a/b/file/x"), Errno::kENOTDIR);
    EXPECT_EQ(WalkError(w.context, "/a/b/file/"), Errno::kENOTDIR);
    EXPECT_EQ(WalkError(w.context, "/a/b/file/."), Errno::kENOTDIR);
    EXPECT_EQ(WalkError(w.context, "/a/b/file", kWalkDirectory), Errno::kENOTDIR);
    EXPECT_EQ(WalkError(w.context, "/" + std::string(256, 'x')), Errno::kENAMETOOLONG);
    EXPECT_EQ(WalkError(w.context, "/" + std::string(255, 'x')), Errno::kENOENT);
    EXPECT_EQ(WalkError(w.context, std::string(4096, '/')), Errno::kENAMETOOLONG);
  });
}

TEST(PathWalk, SymbolicLinks) {
  RunOnFiber([] {
    World w(NewTmpfs());
    w.Mkdir("/d");
    w.WriteFile("/d/file", "x");
    CHECK_OK(Symlink(w.context, "d", "/link"));
    CHECK_OK(Symlink(w.context, "/d/../d/file", "/absolute"));
    CHECK_OK(Symlink(w.context, "missing", "/dangling"));
    CHECK_OK(Symlink(w.context, "loop2", "/loop1"));
    CHECK_OK(Symlink(w.context, "loop1", "/loop2"));
    EXPECT_EQ(w.Stat("/link/file")->ino, w.Stat("/d/file")->ino);
    EXPECT_EQ(w.Stat("/absolute")->ino, w.Stat("/d/file")->ino);
    EXPECT_TRUE(S_ISLNK(w.Stat("/link", 0)->mode));
    EXPECT_TRUE(S_ISDIR(w.Stat("/link/", 0)->mode));
    EXPECT_EQ(WalkError(w.context, "/dangling"), Errno::kENOENT);
    EXPECT_EQ(WalkError(w.context, "/dangling", 0), Errno{});
    EXPECT_EQ(WalkError(w.context, "/loop1"), Errno::kELOOP);
    EXPECT_EQ(WalkError(w.context, "/loop1/x", 0), Errno::kELOOP);
    EXPECT_EQ(WalkError(w.context, "/absolute/", 0), Errno::kENOTDIR);
  });
}

TEST(PathWalk, FortyLinksAndNoMore) {
  RunOnFiber([] {
    World w(NewTmpfs());
    w.WriteFile("/l0", "end");
    for (int i = 1; i <= 41; i++) {
      CHECK_OK(Symlink(w.context, "l" + std::to_string(i - 1), "/l" + std::to_string(i)));
    }
    EXPECT_EQ(WalkError(w.context, "/l40"), Errno{});
    EXPECT_EQ(WalkError(w.context, "/l41"), Errno::kELOOP);
  });
}

TEST(PathWalk, SearchPermission) {
  RunOnFiber([] {
    World w(NewTmpfs());
    w.Mkdir("/closed", 0700);
    w.WriteFile("/closed/file", "x");
    w.Mkdir("/search", 0711);
    w.WriteFile("/search/file", "x");
    WalkContext user = w.As(1000, 1000);
    EXPECT_EQ(WalkError(user, "/closed/file"), Errno::kEACCES);
    EXPECT_EQ(WalkError(user, "/closed/missing"), Errno::kEACCES);
    EXPECT_EQ(WalkError(user, "/closed"), Errno{});
    EXPECT_EQ(WalkError(user, "/closed/.."), Errno::kEACCES);
    EXPECT_EQ(WalkError(user, "/search/file"), Errno{});
    EXPECT_EQ(ErrorOf(Open(user, "/search", O_RDONLY, 0)), Errno::kEACCES);
  });
}

TEST(PathWalk, ResolveFlags) {
  RunOnFiber([] {
    World w(NewTmpfs());
    w.Mkdir("/a");
    w.Mkdir("/a/b");
    w.WriteFile("/a/file", "x");
    w.WriteFile("/top", "x");
    CHECK_OK(Symlink(w.context, "/file", "/a/absolute"));
    CHECK_OK(Symlink(w.context, "../top", "/a/up"));
    CHECK_OK(Symlink(w.context, "file", "/a/inside"));
    WalkContext in_a = w.context;
    in_a.start = w.Place("/a");
    EXPECT_EQ(WalkError(in_a, "b/../file", kWalkFollow, RESOLVE_BENEATH), Errno{});
    EXPECT_EQ(WalkError(in_a, "../top", kWalkFollow, RESOLVE_BENEATH), Errno::kEXDEV);
    EXPECT_EQ(WalkError(in_a, "/a/file", kWalkFollow, RESOLVE_BENEATH), Errno::kEXDEV);
    EXPECT_EQ(WalkError(in_a, "up", kWalkFollow, RESOLVE_BENEATH), Errno::kEXDEV);
    EXPECT_EQ(WalkError(in_a, "absolute", kWalkFollow, RESOLVE_BENEATH), Errno::kEXDEV);
    EXPECT_EQ(WalkError(in_a, "absolute", kWalkFollow, RESOLVE_IN_ROOT), Errno{});
    EXPECT_EQ(WalkError(in_a, "../../file", kWalkFollow, RESOLVE_IN_ROOT), Errno{});
    EXPECT_EQ(WalkError(in_a, "inside", kWalkFollow, RESOLVE_NO_SYMLINKS), Errno::kELOOP);
    EXPECT_EQ(WalkError(in_a, "inside", 0, RESOLVE_NO_SYMLINKS), Errno{});
    EXPECT_EQ(WalkError(in_a, "never-seen", 0, RESOLVE_CACHED), Errno::kEAGAIN);
    EXPECT_EQ(WalkError(in_a, "file", 0, RESOLVE_CACHED), Errno{});

    CHECK_OK(MountFs(w.context, NewTmpfs(), w.Place("/a/b"), 0));
    EXPECT_EQ(WalkError(in_a, "b", 0, RESOLVE_NO_XDEV), Errno::kEXDEV);
    WalkContext in_b = w.context;
    in_b.start = w.Place("/a/b");
    EXPECT_EQ(WalkError(in_b, "..", 0, RESOLVE_NO_XDEV), Errno::kEXDEV);
    EXPECT_EQ(WalkError(in_b, "/a", 0, RESOLVE_NO_XDEV), Errno{});
  });
}

TEST(PathWalk, RemovedWorkingDirectory) {
  RunOnFiber([] {
    World w(NewTmpfs());
    w.Mkdir("/gone");
    WalkContext inside = w.context;
    inside.start = w.Place("/gone");
    CHECK_OK(Rmdir(w.context, "/gone"));
    EXPECT_EQ(WalkError(inside, "."), Errno{});
    EXPECT_EQ(WalkError(inside, ".."), Errno{});
    EXPECT_EQ(WalkError(inside, "x"), Errno::kENOENT);
    EXPECT_EQ(ErrorOf(Mkdir(inside, "x", 0755)), Errno::kENOENT);
    EXPECT_EQ(ErrorOf(Open(inside, "x", O_CREAT | O_WRONLY, 0644)), Errno::kENOENT);
    EXPECT_EQ(PathName(inside.start, w.context.root), "/gone (deleted)");
  });
}

TEST(PathWalk, Names) {
  RunOnFiber([] {
    World w(NewTmpfs());
    w.Mkdir("/a");
    w.Mkdir("/a/b");
    CHECK_OK(MountFs(w.context, NewTmpfs(), w.Place("/a/b"), 0));
    w.Mkdir("/a/b/c");
    Path c = w.Place("/a/b/c");
    EXPECT_EQ(PathName(c, w.context.root), "/a/b/c");
    EXPECT_EQ(PathName(w.context.root, w.context.root), "/");
    EXPECT_EQ(PathName(c, w.Place("/a")), "/b/c");
    EXPECT_EQ(PathName(w.Place("/a"), c), "(unreachable)/a");
    CHECK_OK(Rename(w.context, "/a/b/c", w.context, "/a/b/d", 0));
    EXPECT_EQ(PathName(c, w.context.root), "/a/b/d");
  });
}

TEST(PathWalk, DeepTreesNeedNoDeepStack) {
  RunOnFiber([] {
    World w(NewTmpfs());
    WalkContext at = w.context;
    for (int i = 0; i < 20000; i++) {
      CHECK_OK(Mkdir(at, "d", 0755));
      at.start = Walk(at, "d", 0).value();
    }
    EXPECT_EQ(PathName(at.start, w.context.root).size(), 40000u);
  });
}

TEST(DentryCache, IsBoundedAndKeepsWhatIsUsed) {
  RunOnFiber([] {
    size_t before = Dentry::CacheSize();
    Dentry::SetCacheLimit(100);
    {
      World w(NewTmpfs());
      w.Mkdir("/kept");
      w.WriteFile("/kept/file", "x");
      Path kept = w.Place("/kept/file");
      for (int i = 0; i < 1000; i++) (void)w.Stat("/missing" + std::to_string(i));
      EXPECT_LE(Dentry::CacheSize(), 101u);
      EXPECT_EQ(w.Place("/kept/file").dentry, kept.dentry);
    }
    Dentry::SetCacheLimit(16384);
    EXPECT_LE(Dentry::CacheSize(), before);
  });
}

// A directory whose lookups park, as those of a remote one do.
class SlowDirectory final : public Inode {
 public:
  SlowDirectory(FileSystem* fs, RefPtr<Inode> file) : Inode(fs), file_(std::move(file)) {}
  Result<Attributes> Stat() override {
    Attributes attr;
    attr.mode = S_IFDIR | 0755;
    return attr;
  }
  uint32_t type() const override { return S_IFDIR; }
  Result<RefPtr<Inode>> Lookup(std::string_view name) override {
    lookups++;
    waiting.push_back(base::Fiber::Current());
    base::Fiber::Park();
    if (!exists) return Errno::kENOENT;
    return file_;
  }
  Result<RefPtr<Inode>> Create(std::string_view name, const CreateOptions&) override {
    exists = true;
    return file_;
  }
  Result<void> Unlink(std::string_view, Inode&) override {
    exists = false;
    return {};
  }
  Result<RefPtr<FileDescription>> Open(const OpenOptions&, const Credentials&) override { return Errno::kEIO; }
  void Continue() {
    auto fibers = std::move(waiting);
    waiting.clear();
    for (base::Fiber* fiber : fibers) fiber->Unpark();
  }

  bool exists = true;
  int lookups = 0;
  std::vector<base::Fiber*> waiting;

 private:
  RefPtr<Inode> file_;
};

class SlowFileSystem final : public FileSystem {
 public:
  SlowFileSystem() : FileSystem("slow", "slow") {
    auto creds = MakeRef<Credentials>();
    files_ = tmpfs::TmpFileSystem::Create("tmpfs", "", *creds).value();
    root_ = MakeRef<SlowDirectory>(this, files_->root()->CreateUnnamed({.mode = S_IFREG | 0644}).value());
  }
  RefPtr<Inode> root() override { return root_; }
  Result<struct statfs> StatFs() override { return Errno::kENOSYS; }

 private:
  RefPtr<FileSystem> files_;
  RefPtr<SlowDirectory> root_;
};

TEST(DentryCache, TwoLookupsOfOneNameEndWithOneDentry) {
  RefPtr<Dentry> found[2];
  std::unique_ptr<World> w;
  SlowDirectory* slow = nullptr;
  RunOnFiber([&] {
    w = std::make_unique<World>(RefPtr<FileSystem>(MakeRef<SlowFileSystem>()));
    slow = static_cast<SlowDirectory*>(&w->context.root.inode());
    for (auto& result : found) {
      base::Fiber::Start([&] { result = Walk(w->context, "file", 0).value().dentry; });
    }
  });
  EXPECT_EQ(slow->lookups, 2);
  RunOnFiber([&] { slow->Continue(); });
  EXPECT_TRUE(found[0]);
  EXPECT_EQ(found[0], found[1]);
  RunOnFiber([&] {
    for (auto& result : found) result.reset();
    w.reset();
  });
}

TEST(DentryCache, ALookupThatIsOvertakenByRemovalLeavesNoStaleName) {
  std::unique_ptr<World> w;
  SlowDirectory* slow = nullptr;
  Errno walk = Errno::kEIO, unlink = Errno::kEIO, again = Errno{};
  RunOnFiber([&] {
    w = std::make_unique<World>(RefPtr<FileSystem>(MakeRef<SlowFileSystem>()));
    slow = static_cast<SlowDirectory*>(&w->context.root.inode());
    base::Fiber::Start([&] { walk = ErrorOf(Walk(w->context, "file", 0)); });
    base::Fiber::Start([&] { unlink = ErrorOf(Unlink(w->context, "file")); });
  });
  // The removal waits for the lookup, then finds the name in the cache.
  EXPECT_EQ(slow->lookups, 1);
  RunOnFiber([&] { slow->Continue(); });
  EXPECT_EQ(walk, Errno{});
  EXPECT_EQ(unlink, Errno{});
  RunOnFiber([&] {
    again = ErrorOf(Walk(w->context, "file", 0));
    w.reset();
  });
  EXPECT_EQ(again, Errno::kENOENT);
}

}  // namespace
}  // namespace vfs
